"""Known faults of exports are mended in place, and a mended model is called, masked and trained like any other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tb_widgets.errors import ModelError, SpecError
from tb_widgets.models import zoo
from tb_widgets.models.load import build
from tb_widgets.models.repairs.repairs import apply_repairs, open_faults, repairs
from tb_widgets.models.source import ModelSource, frozen, read_source, write_source
from tb_widgets.models.sources.resolve import resolve
from tb_widgets.spec import ModelSpec, RunSpec
from tests.models import broken

TEXT = "Each word is followed by another word, and the model reads them one after the other. " * 4

WHAT_EACH_NEEDS = {
    "TIED": ["missing-steps", "causal-mask"],
    "WITH_OUTPUT": ["missing-steps", "causal-mask"],
    "COMMENTS": ["missing-steps", "causal-mask"],
    "STACKED": ["missing-steps", "causal-mask"],
    "UNDECLARED": ["undeclared-input", "causal-mask"],
    "UNDECLARED_TYPED": ["undeclared-input", "causal-mask"],
    "UNDECLARED_AND_MISSING": ["undeclared-input", "missing-steps", "causal-mask"],
    "UNMASKED": ["causal-mask"],
    "BATCH_LAST": ["causal-mask"],
    "TURNED": ["causal-mask"],
    "ENCODER": ["causal-mask"],
    "ENCODER_BATCH_LAST": ["causal-mask"],
    "LAYERS": ["causal-mask"],
    "BLOCKS": ["causal-mask"],
}


def source_of(code: str, config: str = "{}") -> ModelSource:
    return frozen({"source": "here", "kind": "path"}, {"model.py": code, "config.json": config})


def export(name: str) -> ModelSource:
    return source_of(getattr(broken, name), broken.BLOCKS_CONFIG if name == "BLOCKS" else "{}")


def ids(source: ModelSource) -> list[str]:
    return [repair.id for repair in repairs(source)]


def built(source: ModelSource):
    torch.manual_seed(0)
    return build(source, ModelSpec(task="causal-lm"))


def moved(model) -> torch.Tensor:
    """How far the logits at each of 12 places move when the token at place 7 changes."""
    model.module.eval()
    tokens = torch.randint(64, (2, 12))
    changed = tokens.clone()
    changed[:, 7] = (changed[:, 7] + 1) % 64
    with torch.no_grad():
        return (model.token_logits(tokens) - model.token_logits(changed)).abs().amax((0, 2))


@pytest.mark.parametrize("name", WHAT_EACH_NEEDS)
def test_a_mended_export_has_the_right_shape_sees_no_future_and_learns(name):
    source = export(name)
    assert ids(source) == WHAT_EACH_NEEDS[name]
    mended = apply_repairs(source, WHAT_EACH_NEEDS[name])
    assert ids(mended) == []
    assert open_faults(mended) == []
    model = built(mended)
    assert model.token_logits(torch.zeros(3, 9, dtype=torch.int64)).shape == (3, 9, 64)
    far = moved(model)
    assert far[:7].max() < 1e-5
    assert far[7:].min() > 1e-5
    assert learns(model)


def learns(model) -> bool:
    letters = sorted(set(TEXT))
    data = torch.tensor([letters.index(letter) for letter in TEXT])
    optimizer = torch.optim.AdamW(model.module.parameters(), lr=3e-3)
    model.module.train()
    losses = []
    for step in range(40):
        begins = torch.arange(step % 9, len(data) - 33, 37)
        rows = torch.stack([data[begin : begin + 33] for begin in begins])
        loss = torch.nn.functional.cross_entropy(model.token_logits(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[-1] < 0.8 * losses[0] and losses[0] < 8.0


@pytest.mark.parametrize("name", ["UNMASKED", "ENCODER", "LAYERS", "BLOCKS"])
def test_without_the_repair_the_future_leaks(name):
    assert moved(built(export(name)))[:7].min() > 1e-5


@pytest.mark.parametrize("name", WHAT_EACH_NEEDS)
def test_nothing_but_the_mended_lines_changes(name):
    source = export(name)
    code = apply_repairs(source, ids(source)).files["model.py"]
    before, after = source.files["model.py"].splitlines(True), code.splitlines(True)
    assert {line for line in before if "#" in line} - {line for line in after if "#" in line} <= {
        "        for n, layer in enumerate(self.layers): h = layer(h)  # one line\n",
    }
    assert ("\r\n" in code) == ("\r\n" in source.files["model.py"])
    assert code.count("\n") == code.count("\r\n") or "\r" not in code
    gone = [line for line in before if line not in after]
    assert len(gone) <= 9
    for repair in repairs(source):
        assert repair.diff.startswith("--- a/model.py\n+++ b/model.py\n@@ ")
        assert 2 <= repair.why.count(". ") + 1 <= 3


def test_the_diff_shows_what_is_rebuilt():
    tied, masked = repairs(export("TIED"))
    added = [line[1:].strip() for line in tied.diff.splitlines()[3:] if line.startswith("+")]
    assert added == [
        "def forward(self, input_0_tokens):",
        "residual_0_output = embedding_0_x + mhsa_0_output",
        "residual_1_output = layernorm_0_output + ffn_0_output",
        "output_0_logits = layernorm_1_output @ self.embedding_0_token.weight.t() "
        "* layernorm_1_output.size(-1) ** -0.5",
    ]
    assert (
        "there is no output layer, so the logits come from the token embedding embedding_0_token (tied weights)"
        in tied.why
    )
    assert (tied.after, masked.after) == ((), ("missing-steps",))
    assert "embedding_0_x, attn_mask=causal_mask, is_causal=True, need_weights=False)" in masked.diff
    assert "fills in masked tokens" in masked.why
    assert "batch_first" not in masked.why
    assert "texts see each other: batch_first=True fixes that" in repairs(export("BATCH_LAST"))[0].why
    (stacked, _) = repairs(export("STACKED"))
    assert "+        residual_1_output = residual_0_output + ffn_0_output" in stacked.diff
    assert "before the norm" in stacked.why
    assert "tied" not in stacked.why


def test_an_origin_says_what_was_mended(tmp_path):
    source = export("UNDECLARED_AND_MISSING")
    once = apply_repairs(source, ["undeclared-input"])
    assert once.origin["repairs"] == ["undeclared-input"]
    both = apply_repairs(once, ["missing-steps"])
    assert both.origin["repairs"] == ["undeclared-input", "missing-steps"]
    assert both.origin["sha256_before"] == source.origin["sha256"]
    assert both.origin["sha256"]["model.py"] != source.origin["sha256"]["model.py"]
    assert both.files == apply_repairs(source, ["missing-steps", "undeclared-input"]).files
    write_source(both, tmp_path / "model")
    assert read_source(tmp_path / "model") == both
    assert apply_repairs(source, []) is source


def test_the_spec_asks_for_repairs(tmp_path):
    (tmp_path / "model.py").write_text(broken.UNDECLARED)
    (tmp_path / "config.json").write_text("{}")
    spec = ModelSpec(source=str(tmp_path), repairs=["undeclared-input", "causal-mask"])
    mended = resolve(spec, vocab_size=None, context_length=8)
    assert mended.origin["repairs"] == ["undeclared-input", "causal-mask"]
    assert built(mended).vocab_size == 64
    with pytest.raises(SpecError, match=r"model.repairs: entry 1 must be undeclared-input, missing-steps or causal"):
        RunSpec().with_values({"model.repairs": ["paint-it-red"]})
    with pytest.raises(ModelError, match=r"model.repairs: missing-steps does not apply .* Available: undeclared"):
        resolve(spec.model_copy(update={"repairs": ["missing-steps"]}), vocab_size=None, context_length=8)
    with pytest.raises(ModelError, match=r"which does not have that fault. Remove it from model.repairs."):
        resolve(ModelSpec(repairs=["causal-mask"]), vocab_size=64, context_length=8)
    with pytest.raises(ModelError, match=r"there is no repair 'x'\. Choose from: undeclared-input, missing-steps"):
        apply_repairs(mended, ["x"])


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("TIED", "input_0_tokens, mhsa", "input_0_tokens, input_1_tokens, mhsa", "forward has 2 inputs"),
        ("TIED", "return output_0_logits", "output_0_logits", "does not end with a return"),
        ("TIED", "        ffn_0_output", "        if T: ffn_0_output", "inside a loop or branch (line 4"),
        ("TIED", "self.ffn_0(layernorm_0_output)", "self.ffn_0(stray)", "forward also uses stray"),
        ("TIED", "tok_emb + pos_emb", "tok_emb", "nothing says how residual_0_output combines them"),
        ("TIED", "residual_1_output)", "router_0_output)", "nothing in the file says how router_0_output is computed"),
        ("TIED", "self.embedding_0_token = nn", "self.a = self.b = nn", "no single token embedding"),
        ("UNDECLARED", "(tok_emb + pos_emb)", "(tok_emb + pos_emb + extra)", "forward uses extra and input_0_tokens"),
        ("UNDECLARED", "(self, )", "(self, x)", "forward takes x and also uses input_0_tokens"),
        ("UNMASKED", "batch_first=True", "batch_first=T", "is computed, not written"),
        (
            "BATCH_LAST",
            "    def forward",
            "    def f(self, x):\n        return x.transpose(0, 1)\n\n    def forward",
            "unclear which one is the length",
        ),
        ("ENCODER", "self.encoder(h)", "self.encoder(h + h)", "its length has no name"),
        (
            "BLOCKS",
            "def forward(self, x):\n        B",
            "def forward(self, x, cache=None):\n        B",
            "cached tokens",
        ),
    ],
)
def test_what_the_source_leaves_open_is_told_and_not_mended(name, old, new, reason):
    code = getattr(broken, name)
    assert old in code
    source = source_of(code.replace(old, new))
    told = {fault.id: fault.why for fault in open_faults(source)}
    assert any(reason in why for why in told.values()), told
    (kind,) = [kind for kind, why in told.items() if reason in why]
    assert kind not in ids(source)
    with pytest.raises(ModelError, match=f"{kind} does not apply to this model.py"):
        apply_repairs(source, [kind])


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("ENCODER", "self.encoder(h)", "self.encoder(h).mean(dim=1)"),
        ("ENCODER", "self.encoder(h)", "self.encoder(h)[:, 0]"),
        ("ENCODER", "nn.Linear(d_model, self.vocab_size)", "nn.Linear(d_model, 3)"),
        ("ENCODER", "class Net", "class BertForMaskedLM"),
        ("ENCODER", "def forward(self, x)", "def forward(self, x, tgt)"),
        ("ENCODER", "self.encoder(h)", "self.encoder(h, mask)"),
        ("ENCODER", "self.encoder(h)", "self.encoder(h, is_causal=True, mask=self.mask)"),
        ("UNMASKED", "embedding_0_x, embedding_0_x, embedding_0_x)", "tok_emb, embedding_0_x, embedding_0_x)"),
        ("UNMASKED", "embedding_0_x, embedding_0_x)", "embedding_0_x, embedding_0_x, attn_mask=self.mask)"),
    ],
)
def test_a_mask_is_not_offered_to_encoders_nor_where_there_is_one(name, old, new):
    code = getattr(broken, name)
    assert old in code
    source = source_of(code.replace(old, new))
    assert (ids(source), open_faults(source)) == ([], [])


def test_healthy_models_are_offered_nothing():
    for file in sorted((Path(zoo.__file__).parent).glob("*.py")):
        assert (ids(source_of(file.read_text())), open_faults(source_of(file.read_text()))) == ([], [])
    odd = "import torch.nn as nn\nfrom math import *\nclass Model(nn.Module):\n    def forward(self): return pi\n"
    assert (ids(source_of(odd)), open_faults(source_of(odd))) == ([], [])


@pytest.mark.parametrize("given", ["attn_mask=None, is_causal=False", "None, 0.0", "is_causal=False"])
def test_a_mask_that_is_switched_off_is_switched_on(given):
    code = broken.BLOCKS.replace("(q, k, v)", f"(q, k, v, {given})")
    mended = apply_repairs(source_of(code, broken.BLOCKS_CONFIG), ["causal-mask"])
    assert moved(built(mended))[:7].max() < 1e-5


def test_signatures_keep_the_form_in_which_they_are_written():
    code = broken.TIED.replace(f"self, input_0_tokens, {broken.STEPS}", "{}")
    for before, after in [
        ("self, a, mhsa_0_output, residual_0_output=None, residual_1_output=None", "self, a"),
        ("self, mhsa_0_output, a, *, flag=None", "self, a, *, flag=None"),
        ("self,\n        a,  # ids\n        mhsa_0_output,  # (B, T, C)\n    ", "self,\n        a,  # ids\n    "),
        ("self,\n        a,  # ids\n        mhsa_0_output: T = (\n        )\n    ", "self,\n        a,  # ids\n    "),
        ("self,\n        mhsa_0_output,\n        residual_0_output, a", "self, a"),
        ("self, a,\n        mhsa_0_output, residual_0_output,\n    ", "self, a,\n    "),
    ]:
        given = code.replace("{}", before).replace("input_0_tokens", "a")
        mended = apply_repairs(source_of(given), ["missing-steps"]).files["model.py"]
        assert f"    def forward({after}):\n" in mended


def test_steps_that_are_computed_are_only_no_longer_asked_for():
    code = broken.UNMASKED.replace("(self, input_0_tokens)", "(self, input_0_tokens, attention_mask, mhsa_0_output)")
    repair = repairs(source_of(code))[0]
    assert "asks for mhsa_0_output as if they were inputs, so it can't be called" in repair.why
    changed = [line for line in repair.diff.splitlines()[2:] if line[0] in "+-"]
    assert changed[1:] == ["+    def forward(self, input_0_tokens, attention_mask):"]


def test_reading_a_source_needs_no_torch():
    modules = "tb_widgets.models.trust.findings, tb_widgets.models.repairs.repairs"
    script = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_names_that_scopes_define_are_not_missing():
    code = """
import torch
from torch import nn
SCALE = 2
def helper():
    global late
    late = 1
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.Embedding(4, 4)
    def forward(self, *args):
        def inner(y):
            return [y * z for z in range(SCALE)]
        with torch.no_grad() as guard:
            pass
        try:
            print(__name__, late, guard)
        except ValueError as error:
            raise error
        return (lambda a, b=SCALE: a * b)(self.e(words)), words.shape
"""
    (repair,) = repairs(source_of(code))
    assert "+    def forward(self, words, *args):" in repair.diff
    assert ast.parse(apply_repairs(source_of(code), [repair.id]).files["model.py"])


@pytest.mark.parametrize("name", ["TIED", "UNDECLARED", "UNDECLARED_AND_MISSING"])
def test_the_error_of_a_broken_export_points_to_its_repairs(name):
    needed = [repair for repair in WHAT_EACH_NEEDS[name] if repair != "causal-mask"]
    with pytest.raises(ModelError) as caught:
        built(export(name))
    assert f"set model.repairs to [{', '.join(needed)}], or press Apply" in caught.value.hint
    assert caught.value.message.startswith("The model's forward ")
    built(apply_repairs(export(name), needed))


def test_the_error_of_an_export_that_can_t_be_mended_says_why():
    code = broken.UNDECLARED.replace("return", "extra = other.shape\n        return")
    with pytest.raises(ModelError) as caught:
        built(source_of(code))
    assert "not possible from the source alone, because forward uses input_0_tokens and other" in caught.value.hint
