"""Change single places of a model's code and leave every other byte of it alone."""

from __future__ import annotations

import ast
import builtins
import re
import symtable
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from tb_widgets.models import syntax
from tb_widgets.models.source import CODE

# Names that every module has without defining them.
_EVERYWHERE = frozenset(dir(builtins)) | {"__file__", "__path__", "__dict__"}

# What exports call the result of a step: mhsa_0_output, residual_1_output, output_0_logits.
_STEP = re.compile(r"([a-z]+)_(\d+)_(?:output|out|x|hidden|logits)")


@dataclass(frozen=True)
class Mended:
    """What a repair makes of the code, and how it is explained: a title, and what was wrong."""

    title: str
    why: str
    code: str


@dataclass(frozen=True)
class Refused:
    """Why a fault that was recognised is left to its author: the source does not say what was meant."""

    title: str
    why: str


class LeftOpen(Exception):  # noqa: N818  (not an error: the source leaves something open)
    """Why a fault can't be mended, as a sentence."""


class CodeDraft:
    """A code, and the edits to it; positions are those of the syntax tree of the unchanged code.

    Lines are counted as Python counts them, and columns in UTF-8 bytes, as syntax trees have them.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        self.tree = syntax.parse(code, CODE)
        self._text = code.encode()
        # bytes.splitlines knows the line ends that Python knows; str.splitlines knows more.
        lines = self._text.splitlines(keepends=True)
        self._starts = [0]
        for line in lines:
            self._starts.append(self._starts[-1] + len(line))
        self.lines = [line.decode() for line in lines]
        self.newline = "\r\n" if "\r\n" in code else "\n"
        self._edits: list[tuple[int, int, str]] = []

    def start(self, node: ast.expr | ast.stmt | ast.arg) -> int:
        """Return where a node begins, in bytes from the start of the code."""
        return self._starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt | ast.arg | ast.keyword) -> int:
        """Return where a node ends, in bytes from the start of the code."""
        assert node.end_lineno is not None  # noqa: S101  (for the type checker)
        assert node.end_col_offset is not None  # noqa: S101
        return self._starts[node.end_lineno - 1] + node.end_col_offset

    def line(self, number: int) -> int:
        """Return where a line begins, in bytes from the start of the code."""
        return self._starts[min(number, len(self._starts)) - 1]

    def text(self, start: int, end: int) -> str:
        """Return a piece of the unchanged code."""
        return self._text[start:end].decode()

    def said(self, node: ast.expr) -> str:
        """Return an expression as it stands in the code."""
        return self.text(self.start(node), self.end(node))

    def replace(self, start: int, end: int, text: str) -> None:
        """Put a text in the place of a piece of the code; the same once only, whoever asks for it."""
        if (start, end, text) not in self._edits:
            self._edits.append((start, end, text))

    def insert_line(self, number: int, text: str) -> None:
        """Put a line before the line of this number, counted from 1."""
        last = number > len(self.lines) and self.lines and not self.lines[-1].endswith(("\n", "\r"))
        place = self.line(number)
        self.replace(place, place, (self.newline if last else "") + text + self.newline)

    def need_torch(self) -> None:
        """Import torch, unless the code has it under that name."""
        for node in self.tree.body:
            if isinstance(node, ast.Import) and any(
                (alias.asname or alias.name.partition(".")[0]) == "torch" for alias in node.names
            ):
                return
        for node in self.tree.body:
            is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            if not (is_docstring or is_future):
                self.insert_line(node.lineno, "import torch")
                return

    def result(self) -> str:
        """Return the changed code.

        Raises
        ------
        ModelError
            If it is no longer Python: a fault of the repair, which must not reach a model.
        """
        text = self._text
        # From the end, so that earlier positions stay true; pieces put in at one place keep their order.
        for start, end, new in sorted(self._edits, key=lambda edit: edit[:2])[::-1]:
            text = text[:start] + new.encode() + text[end:]
        code = text.decode()
        syntax.parse(code, "The repaired model.py")
        return code


def own_line(draft: CodeDraft, call: ast.Call, parents: dict[int, ast.AST]) -> int | None:
    """Return the line of a call's statement, if a line can be put before it and sees the same names."""
    node: ast.AST = call
    while not isinstance(node, ast.stmt):
        if isinstance(node, ast.Lambda | ast.ListComp | ast.GeneratorExp | ast.DictComp | ast.SetComp | ast.IfExp):
            return None
        node = parents[id(node)]
    simple = isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Expr | ast.Return)
    blank = not draft.lines[node.lineno - 1].encode()[: node.col_offset].strip()
    return node.lineno if simple and blank else None


def is_step(name: str) -> bool:
    """Tell whether a name is an export's name for something that the model computes itself."""
    found = _STEP.fullmatch(name)
    return found is not None and found[1] != "input"


def method(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    """Return a method of a class, or ``None``."""
    return next((part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == name), None)


def models(tree: ast.Module) -> list[ast.ClassDef]:
    """Return the class that is the model, or several where the file leaves it open."""
    classes = syntax.module_classes(tree)
    return [classes[name] for name in syntax.choose_class(list(classes), tree)]


def required(function: ast.FunctionDef) -> list[str]:
    """Return the names of the arguments without a default, less ``self``."""
    arguments = function.args
    positional = [argument.arg for argument in arguments.posonlyargs + arguments.args]
    named = [a.arg for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is None]
    return positional[1 : len(positional) - len(arguments.defaults)] + named


def undefined(code: str, function: ast.FunctionDef) -> list[str]:
    """Return the names that a function reads and that nothing in the code defines, in alphabetical order.

    Raises
    ------
    ModelError
        If Python can't tell the scopes of the code apart.
    """
    tables, defined = _scopes(code)
    read = {
        symbol.get_name()
        for table in tables
        if table.get_name() == function.name and table.get_lineno() == function.lineno
        for inner in _tables(table)  # also its lambdas and comprehensions
        for symbol in inner.get_symbols()
        if symbol.is_global() and symbol.is_referenced()
    }
    return sorted(read - defined) if "*" not in defined else []


@lru_cache(maxsize=4)
def _scopes(code: str) -> tuple[list[symtable.SymbolTable], set[str]]:
    """Return all scopes of a code and the names that its module defines; ``*`` where it imports what is not seen."""
    tables = list(_tables(syntax.scopes(code, CODE)))
    defined = set(_EVERYWHERE)
    for symbol in tables[0].get_symbols():
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace():
            defined.add(symbol.get_name())
    for table in tables:
        defined |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_declared_global()}
    for node in ast.walk(syntax.parse(code, CODE)):
        if isinstance(node, ast.ImportFrom):
            defined |= {"*"} & {alias.name for alias in node.names}
    return tables, defined


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    waiting = [table]
    while waiting:
        table = waiting.pop()
        yield table
        waiting += table.get_children()
