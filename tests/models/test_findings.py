"""What stands out in a model's code is listed by line, in words for a beginner, and nothing of it is run."""

import ast

import pytest

from tb_widgets.models import source_text
from tb_widgets.models.source import ModelSource
from tb_widgets.models.sources.resolve import resolve
from tb_widgets.models.trust.findings import Finding, findings
from tb_widgets.spec import ModelSpec

ORDINARY = '''"""Generated model: Plain"""
from __future__ import annotations

import math
from collections import namedtuple
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional, TypeVar

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    from einops import rearrange
except ImportError:
    rearrange = None

T = TypeVar("T")
SIZES = {"small": (4, 128), "large": (12, 4 * 192)}
DTYPE: torch.dtype = torch.float32
half = lambda x: x / 2


@dataclass
class Config:
    """Sizes."""

    width: int = 8
    rates: list = field(default_factory=list)


class Sizes(namedtuple("Sizes", "a b")):
    pass


class Model(nn.Module):
    def __init__(self, act=nn.GELU()):
        super().__init__()
        self.table = nn.Embedding(9, 8)
        for i in range(2):
            setattr(self, f"layer_{i}", nn.Linear(8, 8))

    @torch.no_grad()
    def forward(self, x):
        "Say — what it does."
        for i in range(2):
            x = getattr(self, f"layer_{i}")(x)
        self.eval()
        return torch.compile(self.table)(x).logits


if __name__ == "__main__":
    print(Model())
'''


def whats(code):
    return [(finding.line, finding.what) for finding in findings(code)]


def test_an_ordinary_model_and_ours_have_none():
    assert findings(ORDINARY) == []
    source: ModelSource = resolve(ModelSpec(), vocab_size=64, context_length=8)
    assert findings(source.files["model.py"]) == []


@pytest.mark.parametrize(
    ("code", "what", "level"),
    [
        ("import os", "imports os", "look"),
        ("import os.path as p", "imports os.path", "look"),
        ("from subprocess import run as torch", "imports subprocess", "odd"),
        ("import socket", "imports socket", "odd"),
        ("import urllib.request", "imports urllib.request", "odd"),
        ("import ctypes", "imports ctypes", "odd"),
        ("import pickle", "imports pickle", "odd"),
        ("import threading", "imports threading", "odd"),
        ("import importlib", "imports importlib", "odd"),
        ("import base64", "imports base64", "odd"),
        ("import sys", "imports sys", "look"),
        ("from torch import hub", "imports torch.hub", "odd"),
        ("from torch.utils import cpp_extension", "imports torch.utils.cpp_extension", "odd"),
        ("import mamba_ssm", "imports mamba_ssm", "look"),
        ("from .parts import Block", "imports .parts", "look"),
        ("from math import *", "imports everything from math", "look"),
        ("def f():\n    import requests", "imports requests", "odd"),
        ("def f(): exec('1')", "calls exec()", "odd"),
        ("def f(): return eval('1')", "calls eval()", "odd"),
        ("def f(): compile('1', '', 'exec')", "calls compile()", "odd"),
        ("def f(): open('x')", "calls open()", "odd"),
        ("def f(): __import__('os')", "calls __import__()", "odd"),
        ("import torch\ndef f(): torch.load('x')", "calls torch.load()", "look"),
        ("import numpy as n\ndef f(): n.load('x')", "calls numpy.load()", "look"),
        ("import os as o\ndef f(): o.system('x')", "calls os.system()", "odd"),
        ("from os import system as relu\ndef f(): relu('x')", "calls os.system()", "odd"),
        ("def f(m): m.from_pretrained('x')", "calls .from_pretrained()", "look"),
        ("def f(m): m.write_text('x')", "calls .write_text()", "look"),
        ("def f(m, n): getattr(m, n)", "calls getattr() with a computed name", "look"),
        ("def f(m, n): getattr(m, '__' + n)", "calls getattr() with a computed name", "look"),
        ("def f(): ().__class__.__subclasses__()", "uses __subclasses__", "odd"),
        ("def f(m): getattr(m, '__globals__')", "uses __globals__", "odd"),
        ("def f(): __builtins__['x']", "uses __builtins__", "odd"),
        ("print(1)", "calls something at the top of the file", "look"),
        ("for i in range(3): pass", "does something at the top of the file", "look"),
        ("x = [print(1)]", "does something at the top of the file", "look"),
        ("class A:\n    print(1)", "calls something at the top of the file", "look"),
        ("try:\n    import math\nexcept ImportError:\n    print(1)", "calls something at the top of the file", "look"),
        ("@exec\nclass A: pass", "uses exec", "odd"),
        ("def f(): return map(eval, x)", "uses eval", "odd"),
        ("def f(x=launch()): pass", "calls something at the top of the file", "look"),
        ("class A:\n    def f(self, *, x=launch()): pass", "calls something at the top of the file", "look"),
        ("class A(make()): pass", "calls something at the top of the file", "look"),
        ("import math\nmath.pi = 3", "does something at the top of the file", "look"),
        ("x = 1  # \u202e hidden", "contains U+202E (right-to-left override)", "odd"),
        ("x = 'a\u200bb'", "contains U+200B (zero width space)", "odd"),
        ("x = 1  # \x08", "contains U+0008 (control character)", "odd"),
        ("x = 1  # \u2028", "contains U+2028 (line separator)", "odd"),
        ("x = 1  # \u2029", "contains U+2029 (paragraph separator)", "odd"),
        ("x = 1  # \x85", "contains U+0085 (control character)", "odd"),
        ("x = 1  # \x0b", "contains U+000B (control character)", "odd"),
        ("\x0cx = 1", "contains U+000C (control character)", "odd"),
        ("x = 1  # \x1c", "contains U+001C (control character)", "odd"),
        ("x = 1  # \ue000", "contains U+E000 (private-use character)", "odd"),
        ("x = 1  # \U000e0141", "contains U+E0141 (variation selector-82)", "odd"),
        ("x\u3164 = 1", "contains U+3164 (hangul filler)", "odd"),
        ("\u0440rint = 1", "mixes alphabets in the name \u0440rint", "odd"),
        ("def f(): \uff45val('1')", "writes eval in look-alike letters", "odd"),
        ("α = 1", "uses the name α", "look"),
        ("x = 1" + " " * 400 + "+ 1", "is 408 characters long", "look"),
        (f"x = '{'QUJD' * 60}'", "contains 240 characters that are not words", "odd"),
        (f"x = {bytes(range(200))!r}", "contains 200 characters that are not words", "odd"),
    ],
)
def test_each_thing_to_look_at_is_named_with_its_line(code, what, level):
    found = [finding for finding in findings("\n" + code) if finding.what == what]
    assert [finding.level for finding in found] == [level], findings("\n" + code)
    assert found[0].line > 1
    assert found[0].why.endswith(".")
    assert "safe" not in f"{found[0].what} {found[0].why}".lower()


def test_each_is_told_once_per_line_in_the_order_of_lines():
    code = "def f():\n    open(open('a').read()); open('b')\n    open('c')\nimport os\n"
    assert whats(code) == [(2, "calls open()"), (3, "calls open()"), (4, "imports os")]
    assert findings("import pickle")[0] == Finding(
        1, "imports pickle", "Loading such data can run code hidden in it.", "odd"
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("hidden", [*"\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e"])
def test_lines_are_counted_as_python_counts_them(hidden, end):
    code = end.join([f"# a comment{hidden}that goes on", "ä = 1", "import os", ""])
    statement = ast.parse(code).body[-1]
    assert (statement.lineno, "imports os") in whats(code)
    assert (statement.lineno - 1, "uses the name ä") in whats(code)
    assert source_text.lines(code)[statement.lineno - 1] == "import os"
    assert [line for line, what in whats(code) if what.startswith("contains U+")] == [1]


def test_words_in_texts_and_comments_are_not_names():
    assert whats('x = "ünïcode"  # ähnlich, exec(open())\n"""Ω"""\n') == []
