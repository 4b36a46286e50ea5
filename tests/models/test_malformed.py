"""A thousand damaged files: reading them ends in an answer or in a ModelError, and executes nothing."""

import json
import re
import tempfile
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tb_widgets.errors import ModelError
from tb_widgets.models.describe import describe
from tb_widgets.models.repairs.repairs import apply_repairs, open_faults, repairs
from tb_widgets.models.source import ModelSource
from tb_widgets.models.sources.resolve import resolve
from tb_widgets.models.trust.findings import findings
from tb_widgets.spec import ModelSpec
from tests.models import broken

PLANT = "open({path!r}, 'w').write('executed')\n"
EXPORTS = [value for name, value in sorted(vars(broken).items()) if name.isupper() and "class " in value]
WORDS = """self.mhsa_0(x,x,x) nn.MultiheadAttention( batch_first= lambda F.scaled_dot_product_attention( mhsa_0_output
residual_0_output residual_9_output= output_0_logits input_0_tokens embedding_0_output return yield nonlocal global * **
*args, /, *, =None, : for x in self.layers: if async await := é 𝔵 ﬀ f'{x!r:{y}}' 0o8 1_0_ except @d ; ( ) [ ] ' #"""
PIECES = [
    *(word + " " for word in WORDS.split()),
    *("\n", "\r", "\r\n", "\f", "\t", "    ", "\0", "\\\n", '"""', "\u202e", "\ud800", "\ufeff", "\u2028", "9" * 5000),
    *("def forward(self, ", "):", "class A(nn.Module):\n", "import os\n", "from x import *\n", "match x:\n", "try:\n"),
    *("# residual: residual_1\n", "# x: embedding_0\n", "~-" * 400, "(" * 250, "a." * 1500, "1+" * 1500),
    "if x:\n  " * 99,
]


@st.composite
def damaged(draw):
    """An export with pieces taken out, doubled, moved or put in."""
    code = draw(st.sampled_from(EXPORTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(code)))
        end = min(len(code), start + draw(st.integers(0, 80)))
        new = draw(st.sampled_from([*PIECES, "", "", code[start:end] * 2, code[end : end + 60]]))
        code = code[:start] + new + code[end:]
    return code[: draw(st.integers(0, len(code)))] if draw(st.integers(0, 5)) == 0 else code


@st.composite
def rearranged(draw):
    """An export that is still Python more often than not: lines dropped, doubled or moved, names exchanged."""
    lines = draw(st.sampled_from(EXPORTS)).splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 4))):
        place, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        names = re.findall(r"[a-zA-Z_]\w*|\d+", lines[other])
        change = draw(st.sampled_from(["drop", "double", "move", "rename", "rename", "rename"]))
        if change == "drop":
            lines[place] = "\n"
        elif change == "double":
            lines.insert(other, lines[place])
        elif change == "move":
            lines.insert(other, lines.pop(place))
        elif names and (known := re.findall(r"[a-zA-Z_]\w*|\d+", lines[place])):
            new = draw(st.sampled_from([*names, "é", "𝔵", "x[0]", "x()", "[]", "(x, y)", "None", "1.5", "self"]))
            lines[place] = lines[place].replace(draw(st.sampled_from(known)), new)
    return "".join(lines)


words = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
junk = st.one_of(st.text(max_size=200), st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
ODD_CONFIGS = ['{"nodes": 3}', '{"nodes": [1, {"params": [2]}]}', "[" * 5000, "9" * 5000, '{"vocab_size": "x"}', "NaN"]
values = st.one_of(
    st.none(), st.integers(), st.text(max_size=5), st.lists(st.none()), st.dictionaries(st.text(), st.none())
)
keys = st.sampled_from(["vocab_size", "model_name", "nodes", "max_seq_len"])
configs = st.one_of(
    st.just("{}"), st.text(max_size=60), st.sampled_from(ODD_CONFIGS), st.dictionaries(keys, values).map(json.dumps)
)


def read_in_every_way(code: str, config: str, folder: Path) -> None:
    planted = folder / "planted"
    code = code.replace("import torch\n", "import torch\n" + PLANT.format(path=str(planted)), 1)
    for read in (findings, lambda text: look_at(frozen_of(text, config))):
        try:
            read(code)
        except ModelError as error:
            assert error.message  # noqa: PT017  (any other error fails the test)
    try:
        (folder / "model.py").write_bytes(code.encode("utf-8", "surrogatepass"))
        (folder / "config.json").write_bytes(config.encode("utf-8", "surrogatepass"))
        describe(resolve(ModelSpec(source=str(folder)), vocab_size=64, context_length=8))
    except ModelError as error:
        assert error.message  # noqa: PT017
    assert not planted.exists()


def frozen_of(code: str, config: str) -> ModelSource:
    return ModelSource(origin={"sha256": {}}, files={"model.py": code, "config.json": config})


def look_at(source: ModelSource) -> None:
    found = repairs(source)
    open_faults(source)
    rounds = 0
    while found:  # a repair may bring to light what another one mends, but that comes to an end
        rounds += 1
        assert rounds <= 3, source.files["model.py"]
        source = apply_repairs(source, [repair.id for repair in found])
        found = repairs(source)


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.one_of(damaged(), rearranged(), rearranged(), words, junk), configs)
def test_damaged_files_are_read_or_refused_and_never_run(code, config):
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of odd literals in what it parses
        read_in_every_way(code, config, Path(folder))


@pytest.mark.parametrize(
    "code", ["x = " + "(" * 250, "x = " + "-" * 100_000 + "1", "x = " + "a." * 50_000 + "a", "x = 1" + " + 1" * 100_000]
)
def test_nesting_beyond_measure_is_refused_or_read(code, tmp_path):
    read_in_every_way(code + "\n" + broken.UNMASKED, "{}", tmp_path)
    deep = code.replace("100_000", "").replace("x = ", "        x = ")[:1200].rstrip(" .+-")
    attention = "        y = F.scaled_dot_product_attention(q, k, v)\n"
    read_in_every_way(broken.BLOCKS.replace(attention, f"{attention}{deep}\n"), "{}", tmp_path)
