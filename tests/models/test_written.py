"""What a file says about its own sizes is read in every place in which people write them."""

import ast

import pytest

from tb_widgets.models import syntax
from tb_widgets.models.describe import describe
from tb_widgets.models.sources.resolve import resolve

GPT = """
from dataclasses import dataclass, field
from typing import NamedTuple
SIZE = 60
{config}
class Block(nn.Module):
    def __init__(self, config):
        self.attn = nn.MultiheadAttention(8, 2)
class GPT(nn.Module):
    def __init__(self, {argument}):
        super().__init__()
        self.transformer = nn.ModuleDict(dict(
            wte=nn.Embedding({vocabulary}, 8),
            wpe=nn.Embedding({context}, 8),
            h=nn.ModuleList([Block(config) for _ in range(2)]),
        ))
        self.segments = nn.Embedding(2, 8)
        self.lm_head = nn.Linear(8, {vocabulary}, bias=False)
    def forward(self, idx, targets=None):
        return idx
"""
FIELDS = "vocab_size: int = {vocab}\n    block_size: int = 4 * 8\n    name: str = 'x'\n"
DATACLASS = "@dataclass\nclass GPTConfig:\n    " + FIELDS.format(vocab=50304)
NAMED_TUPLE = "class Sizes(NamedTuple):\n    " + FIELDS.format(vocab=50304)
PLAIN = "class ModelArgs:\n    vocab_size = field(default=50304)\n    block_size = 32\n"
INIT = "class Config(PretrainedConfig):\n    def __init__(self, vocab_size=50304, *, block_size=32): pass\n"


@pytest.mark.parametrize("config", [DATACLASS, NAMED_TUPLE, PLAIN, INIT, ""])
@pytest.mark.parametrize("size", ["config.{}", "config['{}']", "self.{}", "{}"])
def test_a_config_class_tells_the_sizes_and_config_json_may_differ(export, config, size):
    code = GPT.format(
        config=config, argument="config", vocabulary=size.format("vocab_size"), context=size.format("block_size")
    )
    summary = describe(resolve(export.write(code), vocab_size=64, context_length=8))
    expected = (50304, 32) if config else (None, None)
    assert (summary.title, summary.vocab_size, summary.context_limit) == ("GPT", *expected)
    for text in ('{"vocab_size": 65, "max_seq_len": 16}', '{"nodes": [{"params": {"vocab_size": 65, "n_ctx": 16}}]}'):
        summary = describe(resolve(export.write(code, text), vocab_size=64, context_length=8))
        assert summary.vocab_size == 65
        assert "max_seq_len" not in text or summary.context_limit == 16


def test_what_is_written_in_the_code_stands_above_config_json(export):
    code = GPT.format(config="", argument="block_size=9", vocabulary="SIZE", context="block_size")
    summary = describe(resolve(export.write(code, '{"vocab_size": 65}'), vocab_size=64, context_length=8))
    assert (summary.vocab_size, summary.context_limit) == (60, 9)
    code = code.replace("nn.Embedding(block_size, 8)", "None").replace(
        "self.segments =", "self.pos = nn.Parameter(torch.zeros(1, 7, 8))\n        self.segments ="
    )
    assert describe(resolve(export.write(code), vocab_size=64, context_length=8)).context_limit == 7


def test_overrides_may_name_the_fields_of_a_config_class(export):
    code = GPT.format(config=DATACLASS, argument="config", vocabulary="config.vocab_size", context="config.block_size")
    spec = export.write(code).model_copy(update={"config": {"block_size": 12}})
    assert describe(resolve(spec, vocab_size=64, context_length=8)).context_limit == 12
    assert resolve(spec, vocab_size=None, context_length=8).config == {"block_size": 12}


def test_what_is_computed_is_left_out():
    tree = ast.parse("A = 2 * 3 - 1\nB = f()\nC = 'x' * 9\nD = 9 ** 9\nE = 2 * (1 / 2)\nF = -1\nG = 'text'\n")
    assert syntax.constants(tree) == {"A": 5, "G": "text"}
