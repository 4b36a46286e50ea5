"""Columns of tables: what kind of values they hold, and whether a value is of that kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from tb_widgets.errors import DataError

ValueKind = Literal["text", "whole", "number", "truth", "list", "image", "other"]

SAMPLE_ROWS, SAMPLE_CHARACTERS = 1000, 4_000_000
"""How much of a table is read to know its columns."""

_KINDS: dict[type, ValueKind] = {str: "text", bool: "truth", int: "whole", float: "number", list: "list"}
_WORDS: dict[ValueKind, str] = {
    "text": "text",
    "whole": "whole numbers",
    "number": "numbers",
    "truth": "true or false",
    "list": "lists",
    "image": "images",
    "other": "something else",
}


class Column(NamedTuple):
    """A column of a table: its name, what it holds, and the names of its classes where the file says them."""

    name: str
    kind: ValueKind
    names: tuple[str, ...] = ()

    @property
    def holds(self) -> str:
        """What it holds, in words."""
        return "class names" if self.names else _WORDS[self.kind]


@dataclass(frozen=True)
class Part:
    """One file of a table, opened; it is read again for each epoch.

    Attributes
    ----------
    columns
        What there is in a row.
    rows
        Yields the values of columns that are named, row by row.
    count
        Number of rows where the file says it.
    notes
        Sentences about what was found out.
    """

    columns: tuple[Column, ...]
    rows: Callable[[Sequence[str]], Iterator[tuple[Any, ...]]]
    count: int | None = None
    notes: tuple[str, ...] = ()


class TableRecord(NamedTuple):
    """One row as it was found, and where; ``characters`` says how much was read for it."""

    place: str
    characters: int
    values: Mapping[str, Any]


def kind_of(value: Any) -> ValueKind | None:
    """Return what a value is, ``None`` of none; 1.0 is whole, as what wrote it may know no whole numbers."""
    if value is None:
        return None
    return "whole" if isinstance(value, float) and value.is_integer() else _KINDS.get(type(value), "other")


def well_formed(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON can hold and no file, terminal or tokenizer takes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Turn mappings inside a row into columns of their own: ``translation: {en, fr}`` into ``translation.en``, ...."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            found.update({f"{name}.{inner}": part for inner, part in value.items()})
        else:
            found[name] = value
    return found


def columns_of(records: Iterable[TableRecord]) -> tuple[Column, ...]:
    """Judge the columns by the first rows: of what is mixed, the first kind counts, and the rest is told on reading."""
    kinds: dict[str, ValueKind | None] = {}
    characters = 0
    for number, record in enumerate(records, start=1):
        for name, value in record.values.items():
            kind = kind_of(value)
            known = kinds.setdefault(name, kind)
            if known is None or (known, kind) == ("whole", "number"):
                kinds[name] = kind
        characters += record.characters
        if number == SAMPLE_ROWS or characters > SAMPLE_CHARACTERS:
            break
    return tuple(Column(name, kind or "other") for name, kind in kinds.items())


def pick(record: TableRecord, columns: Sequence[Column], file: object) -> tuple[Any, ...]:
    """Return a row's values of some columns, ``None`` where there are none.

    Raises
    ------
    DataError
        If a value is of another kind than its column; the message names the place.
    """
    values = tuple(record.values.get(column.name) for column in columns)
    for value, column in zip(values, columns, strict=True):
        kind = kind_of(value)
        if kind in (None, column.kind) or column.kind == "other" or (column.kind, kind) == ("number", "whole"):
            continue
        raise DataError(
            f"{file}, {record.place}: column {column.name!r} contains {column.holds}, but here {_WORDS[kind]} "
            f"({str(value)[:40]}).",
            hint="Use one type of value throughout, or choose another column.",
        )
    return values
