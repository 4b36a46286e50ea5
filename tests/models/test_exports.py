"""Models of the user's own: every documented form builds, every known fault is said in its own words."""

import json
import os
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from torch import nn

from tb_widgets.errors import ModelError
from tb_widgets.models.describe import describe, given_name
from tb_widgets.models.load import build, from_module
from tb_widgets.models.source import ModelSource
from tb_widgets.models.sources.resolve import resolve
from tb_widgets.spec import ModelSpec

PARTS = """
class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)
    def forward(self, x):
        return x + self.linear(x)
"""
MODEL = (
    PARTS
    + """
class {name}(nn.Module):
    def __init__(self{parameters}):
        super().__init__()
        self.embedding_0_token = nn.Embedding({vocab}, {width})
        self.embedding_0_pos = nn.Embedding(12, {width})
        self.ffn_0 = Block({width})
        self.output_0 = nn.Linear({width}, {vocab})
    def forward(self, {inputs}):
        position = torch.arange({input}.shape[1])
        x = self.embedding_0_token({input}) + self.embedding_0_pos(position)
        logits = self.output_0(self.ffn_0(x))
        return {result}
"""
)


def code(  # noqa: PLR0917
    name="CustomTransformer",
    parameters="",
    vocab="50",
    width="8",
    inputs="input_ids",
    input="input_ids",
    result="logits",
):
    return MODEL.format(
        name=name, parameters=parameters, vocab=vocab, width=width, inputs=inputs, input=input, result=result
    )


@pytest.mark.parametrize("name", ["CustomTransformer", "Model", "MyOwn"])
def test_the_model_is_found_among_its_blocks(export, name):
    model = export.build(code(name))
    assert type(model.module).__name__ == name
    assert (model.vocab_size, model.context_limit) == (50, 12)
    assert model.parameters == 50 * 8 + 12 * 8 + 8 * 8 + 8 + 8 * 50 + 50


@pytest.mark.parametrize(
    ("inputs", "input", "by_name"),
    [
        ("input_ids", "input_ids", None),
        ("input_0_tokens", "input_0_tokens", None),
        ("x", "x", None),
        ("input_ids, attention_mask=None", "input_ids", None),
        ("input_ids=None, attention_mask=None, labels=None, **kwargs", "input_ids", None),
        ("attention_mask=None, input_ids=None", "input_ids", "input_ids"),
        ("*, input_ids", "input_ids", "input_ids"),
    ],
)
def test_every_documented_signature_is_called_rightly(export, inputs, input, by_name):
    model = export.build(code(inputs=inputs, input=input))
    assert model.adapter.arguments == {"tokens": by_name or ""}
    assert model.token_logits(torch.zeros(2, 5, dtype=torch.int64)).shape == (2, 5, 50)


@pytest.mark.parametrize(
    "result",
    [
        "logits",
        "(logits, None)",
        "[logits]",
        "{'hidden': x, 'logits': logits}",
        "{'loss': None, 'last_hidden_state': logits}",
        "{'scores': logits}",
        "__import__('types').SimpleNamespace(loss=None, logits=logits)",
    ],
)
def test_logits_are_found_in_whatever_forward_returns(export, result):
    assert export.build(code(result=result)).token_logits(torch.zeros(2, 5, dtype=torch.int64)).shape == (2, 5, 50)


def test_a_documented_name_wins_over_a_class_that_stands_apart(export):
    for text in (code("Model") + PARTS.replace("Block", "Spare"), PARTS.replace("Block", "Spare") + code("Model")):
        assert type(export.build(text).module).__name__ == "Model"


def test_build_model_settles_every_doubt(export):
    text = code("Model") + code("CustomTransformer") + "\ndef build_model():\n    return Model()\n"
    assert type(export.build(text).module).__name__ == "Model"


def test_sizes_come_from_config_by_name_or_another_spelling(export):
    text = code(parameters=", vocab_size, hidden_size=16", vocab="vocab_size", width="hidden_size")
    model = export.build(text, '{"vocab_size": 77, "d_model": 4}')
    assert (model.vocab_size, model.module.embedding_0_token.embedding_dim) == (77, 4)
    graph = '{"version": 1, "nodes": [{"params": {"vocab_size": 33}}, {"params": {"max_seq_len": 12}}, {}]}'
    assert export.build(text, graph).vocab_size == 33


def test_a_config_argument_reads_by_key_and_by_attribute(export):
    text = code(parameters=", config", vocab="config.vocab_size", width="config['width']")
    assert export.build(text, '{"vocab_size": 21, "width": 4}').vocab_size == 21
    with pytest.raises(ModelError, match=r"AttributeError: config.json has no 'vocab_size'"):
        export.build(text, '{"width": 4}')


def test_overrides_reach_the_constructor_and_are_frozen(export):
    text = code(parameters=", vocab_size=50", vocab="vocab_size")
    assert export.build(text, "{}", vocab_size=60).vocab_size == 60
    with pytest.raises(ModelError, match=r"model.config.vocabulary: neither .* nor the model's constructor has"):
        export.build(text, "{}", vocabulary=60)


def test_position_tables_that_are_bare_tensors_limit_the_context(export):
    text = code().replace(
        "self.embedding_0_pos = nn.Embedding(12, 8)", "self.pos_emb = nn.Parameter(torch.zeros(1, 9, 8))"
    )
    text = text.replace("self.embedding_0_pos(position)", "self.pos_emb[:, :input_ids.shape[1]]")
    assert export.build(text).context_limit == 9


def test_probing_leaves_generator_and_training_mode_alone():
    class Tiny(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(5, 5)

        def forward(self, ids):
            return nn.functional.dropout(self.table(ids), 0.5, training=True)

    module = Tiny().train()
    state = torch.get_rng_state()
    model = from_module(module)
    assert torch.equal(state, torch.get_rng_state())
    assert module.training
    assert model.vocab_size == 5


def test_a_users_model_shadows_no_module(export):
    model = export.build(code())
    home = type(model.module).__module__
    assert home.startswith("tb_widgets_user_model_")
    assert home in sys.modules
    assert "model" not in sys.modules


def test_a_file_of_any_name_is_frozen_as_model_py(export):
    export.write(code())
    (export.folder / "model.py").rename(export.folder / "mine.py")
    source = resolve(ModelSpec(source=str(export.folder / "mine.py")), vocab_size=None, context_length=8)
    assert sorted(source.files) == ["config.json", "model.py"]
    assert build(source).vocab_size == 50


def test_a_model_is_called_as_its_file_says(export):
    spec = export.write(code())
    assert describe(resolve(spec, vocab_size=64, context_length=8)).title == "CustomTransformer"
    (export.folder / "model.py").write_text('"""Generated model: Little Bird"""\n' + code())
    summary = describe(resolve(spec, vocab_size=64, context_length=8))
    assert (summary.title, summary.vocab_size, summary.parameters) == ("Little Bird", None, None)


def failing(export, text, config="{}"):
    with pytest.raises(ModelError) as caught:
        export.build(text, config)
    return str(caught.value)


def test_missing_path_and_folder_without_model(export):
    with pytest.raises(ModelError, match=r"there is no file or folder 'nowhere' \(looked in .*zoo:gpt\."):
        resolve(ModelSpec(source="nowhere"), vocab_size=None, context_length=8)
    spec = ModelSpec(source=str(export.folder))
    with pytest.raises(ModelError, match=r"has no model\.py\. It is empty\."):
        resolve(spec, vocab_size=None, context_length=8)
    (export.folder / "Model.py").touch()
    with pytest.raises(ModelError, match=r"has no model\.py\. It contains Model\.py; names are case-sensitive\."):
        resolve(spec, vocab_size=None, context_length=8)


def test_a_file_without_a_config_has_its_sizes_from_its_code(export):
    spec = export.write(code(), config=None)
    source = resolve(spec, vocab_size=None, context_length=8)
    assert source.config == {}
    told = [c.why for c in build(source, spec).adapter.conclusions if c.what == "config"]
    assert told == ["No config.json beside the code: all sizes come from the code."]
    (export.folder / "Config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"but Config\.json\. Name it config\.json, in lowercase\."):
        resolve(spec, vocab_size=None, context_length=8)


def test_files_that_are_not_what_they_should_be(export):
    assert "is not valid JSON: line 2, column 3: Expecting property name" in failing(export, code(), "{\n  ,}")
    assert "must contain a JSON object {...}, not list" in failing(export, code(), "[1]")
    message = failing(export, "class Model(nn.Module)\n    pass\n")
    assert "model.py is not valid Python: line 3: expected ':', in “class Model(nn.Module)”." in message
    assert "config.json is empty" in failing(export, code(), " \n")
    (export.folder / "config.json").write_text("{}")
    (export.folder / "model.py").write_bytes(b"# caf\xe9\n")
    with pytest.raises(ModelError, match=r"model\.py is not UTF-8 text \(byte 5\)\. Save it again"):
        resolve(ModelSpec(source=str(export.folder)), vocab_size=None, context_length=8)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="permissions work differently on this system")
def test_a_file_without_permission():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for file in ("model.py", "config.json"):
            (folder / file).write_text("{}")
        (folder / "model.py").chmod(0)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            with pytest.raises(ModelError, match=r"model\.py can't be read: Permission denied\. Check its permissions"):
                resolve(ModelSpec(source=name), vocab_size=None, context_length=8)
        finally:
            if root:
                os.seteuid(0)


def test_no_model_and_several_models(export):
    assert "model.py defines no model" in failing(export, "import math\n")
    message = failing(export, code("First") + code("Second"))
    assert message.startswith("model.py defines several models: First, Second. Choose one in model.entry")


def test_constructors(export):
    message = failing(export, code(parameters=", vocab_size, depth_of_field", vocab="vocab_size"), '{"vocab_size": 9}')
    assert "CustomTransformer needs arguments that config.json lacks: depth_of_field." in message
    message = failing(export, code(width="8.5"))
    assert "CustomTransformer could not be built: TypeError" in message
    assert "(model.py, line 14: self.embedding_0_token = nn.Embedding(50, 8.5))" in message
    assert "build_model() returned dict, not an nn.Module" in failing(export, "def build_model():\n    return {}\n")


def test_code_that_fails_while_loading(export):
    assert "model.py imports 'no_such_package', which is not installed." in failing(export, "import no_such_package\n")
    message = failing(export, "width = 1 / 0\n")
    assert "model.py fails to load: ZeroDivisionError: division by zero (model.py, line 3: width" in message
    assert "SystemExit" in failing(export, "raise SystemExit(3)\n")


def test_forwards_that_fail(export):
    message = failing(export, code(result="missing_name"))
    assert (
        "forward fails on token ids of shape (3, 5): NameError: name 'missing_name' is not defined (model.py" in message
    )
    known = "input_0_tokens, mhsa_0_output, residual_0_output"
    message = failing(export, code(inputs=known, input="input_0_tokens"))
    assert (
        "The model's forward requires more than its input input_0_tokens: mhsa_0_output, residual_0_output." in message
    )
    assert "forward takes no input" in failing(export, code(inputs="", input="input_0_tokens"))
    assert "returned (3, 50)" in failing(export, code(result="logits[:, 0]"))
    assert "has 50 tokens, but it returns 8 logits per token: the output layer is missing" in failing(
        export, code(result="x")
    )
    assert "returns str without a tensor in it" in failing(export, code(result="'text'"))


def test_a_name_of_an_author_s_is_fit_for_a_list():
    long = json.dumps({"model_name": " \x1b[31m" + "Ä" * 200})
    assert given_name(ModelSource({}, {"model.py": "x = 1\n", "config.json": long})) == f"�[31m{'Ä' * 35} … {'Ä' * 40}"
    origin = {"description": "My net - Transformer Builder Export"}
    assert given_name(ModelSource(origin, {"model.py": "", "config.json": "{}"})) == "My net"
