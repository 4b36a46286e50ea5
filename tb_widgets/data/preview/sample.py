"""The beginning of some data: as much as can be read while somebody waits. Imports no torch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from tb_widgets.data.reading.columns import ColumnRoles, learns_from_running_text, map_columns
from tb_widgets.data.reading.examples import Example, cell_text, class_name, find_examples
from tb_widgets.data.reading.open import Table, Texts, open_data
from tb_widgets.data.sources.resolve import resolve_source
from tb_widgets.spec import DataSpec, Task
from tb_widgets.spec.tasks import Role

MOST_CHARACTERS, MOST_ROWS, MOST_SECONDS = 1_000_000, 20_000, 0.8
"""How much is read at most; whichever comes first."""

_SHOWN_ROWS, _SHOWN_COLUMNS, _SHOWN_CHARACTERS = 5, 8, 200
_MEASURED_ROWS, _MEASURED_VALUES = 200, 100_000
_SHORT_TEXT, _MUCH_LONGER = 120, 2.0  # characters of a title or an address; and how many times as long a text is
_PACKED = (".gz", ".zip")


@dataclass
class Sample:
    """The beginning of some data.

    Attributes
    ----------
    name
        Built-in source or file name.
    unit
        What is counted: ``line`` of a plain text, or ``row``.
    texts
        The units, blank ones among them.
    answers
        Labels or targets, where the task has some.
    classes
        Names of the classes, where the task sorts into classes and the sample tells them.
    documents
        Whether the data have several documents.
    ends
        Places of the lines that end a document; of rows each does.
    share
        How much of the data was read, 0 to 1; ``None`` where that can't be told.
    header, first_rows
        The first rows as a person reads them.
    mapping
        Columns by role, and why; ``None`` where there are no columns.
    longer_column
        A column whose texts are much longer than those that are read, and how many times as long.
    notes
        What was found out on opening.
    """

    name: str
    unit: str
    texts: list[str] = field(default_factory=list)
    answers: list[str] | None = None
    classes: tuple[str, ...] = ()
    documents: bool = False
    ends: frozenset[int] = frozenset()
    share: float | None = 1.0
    header: tuple[str, ...] = ()
    first_rows: tuple[tuple[str, ...], ...] = ()
    mapping: ColumnRoles | None = None
    longer_column: tuple[str, float] | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def whole(self) -> list[int]:
        """Places of the units that hold something; of rows with answers, both a text and an answer."""
        answers = self.answers if self.answers is not None else self.texts
        return [
            place
            for place, (text, answer) in enumerate(zip(self.texts, answers, strict=True))
            if answer.strip() and text.strip()
        ]


def read_sample(data: DataSpec, task: Task) -> Sample:
    """Read the beginning of what a task would read.

    Raises
    ------
    DataError
        If the data can't be opened, or their columns can't be told.
    """
    if learns_from_running_text(data, task):
        opened = open_data(data)
        return _of_texts(opened) if isinstance(opened, Texts) else _of_table(opened, data, task)
    if resolve_source(data).is_built_in:
        return _of_ours(data, task)
    opened = open_data(data)
    if isinstance(opened, Texts):
        find_examples(data, task)  # says why it can't be
    assert isinstance(opened, Table)  # noqa: S101  (for the type checker)
    return _of_table(opened, data, task)


class _Bounded:
    """Yields what is read until enough was read; ``is_all`` tells whether that was everything."""

    def __init__(self) -> None:
        self.characters = 0
        self.is_all = True
        self._until = time.monotonic() + MOST_SECONDS

    def take(self, rows: Iterable[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
        for number, row in enumerate(rows):
            if number >= MOST_ROWS or self.characters > MOST_CHARACTERS or time.monotonic() > self._until:
                self.is_all = False
                return
            self.characters += sum(map(len, row))
            yield row


def _of_texts(texts: Texts) -> Sample:
    bounded = _Bounded()
    # Many short lines are no rows: only characters and time bound them.
    closes: list[bool] = []

    def told() -> Iterator[tuple[str]]:
        for piece in texts.pieces():
            closes.append(piece.ends_document)
            yield (piece.text,)

    pieces = [text for (text,) in bounded.take(told())]
    lines, ends = _lines_of(zip(pieces, closes, strict=False))  # one more may have been read than was taken
    share = 1.0
    if not bounded.is_all:
        read = sum(len(piece.encode("utf-8", "replace")) for piece in pieces)
        share = min(1.0, read / max(1, texts.size))
    beginnings = (line.strip()[:_SHOWN_CHARACTERS] for line in lines)
    return Sample(
        name=texts.name,
        unit="line",
        texts=lines,
        documents=texts.has_documents,
        ends=ends if texts.has_documents else frozenset(),
        share=None if not bounded.is_all and _is_packed(texts.files) else share,
        header=("text",),
        first_rows=tuple((line,) for line in islice(filter(None, beginnings), _SHOWN_ROWS)),
        notes=texts.notes,
    )


def _lines_of(pieces: Iterable[tuple[str, bool]]) -> tuple[list[str], frozenset[int]]:
    """Return the lines of documents that come in pieces, and the places of those that end one."""
    lines: list[str] = []
    ends: list[int] = []
    text = ""
    for piece, closes in pieces:
        text += piece
        if closes:
            lines += text.splitlines(keepends=True)
            if text.strip():  # a file without content is left out
                ends.append(len(lines) - 1)
            text = ""
    return [*lines, *text.splitlines(keepends=True)], frozenset(ends)


def _of_table(table: Table, data: DataSpec, task: Task) -> Sample:
    mapping = map_columns(table, task, data.columns)
    roles = [role for role in ("text", "source", "label", "target") if role in mapping.roles]
    columns = {column.name: column for column in table.columns}
    names = [mapping.roles[role] for role in roles]
    class_names = columns[names[-1]].names if roles[-1] == "label" else ()
    named = class_name(columns[names[-1]])

    def said(role: Role, value: object) -> str:
        return named(value) if role == "label" else cell_text(value)

    bounded = _Bounded()
    rows = list(
        bounded.take(
            tuple(said(role, value) for role, value in zip(roles, row, strict=True)) for row in table.rows(names)
        )
    )
    share = 1.0 if bounded.is_all else _share_of_rows(table, len(rows))
    header = tuple(dict.fromkeys([*names, *columns]))[:_SHOWN_COLUMNS]
    return Sample(
        name=table.name,
        unit="row",
        texts=[row[0] for row in rows],
        answers=[row[1] for row in rows] if len(roles) == 2 else None,
        classes=class_names or (tuple(dict.fromkeys(row[1] for row in rows if row[1])) if "label" in roles else ()),
        documents=True,
        share=share,
        header=header,
        first_rows=tuple(
            tuple(cell_text(value)[:_SHOWN_CHARACTERS] for value in row)
            for row in _with_content(table, header, len(names))
        ),
        mapping=mapping,
        longer_column=_longer_column(table, mapping),
        notes=table.notes,
    )


def _longer_column(table: Table, mapping: ColumnRoles) -> tuple[str, float] | None:
    """Return the column that may have been meant: its texts are long, and those of the chosen one are short."""
    chosen = mapping.roles.get("text")
    others = [column.name for column in table.columns if column.kind == "text"]
    others = [name for name in others if name not in mapping.roles.values()][:_SHOWN_COLUMNS]
    if chosen is None or not others:
        return None
    rows = table.first_rows([chosen, *others], _MEASURED_ROWS)
    lengths = [sum(len(cell_text(row[place])) for row in rows) for place in range(len(others) + 1)]
    longest = max(range(1, len(lengths)), key=lengths.__getitem__)
    if lengths[0] > _SHORT_TEXT * len(rows) or lengths[longest] <= _MUCH_LONGER * lengths[0] or not lengths[0]:
        return None
    return others[longest - 1], lengths[longest] / lengths[0]


def _with_content(table: Table, header: tuple[str, ...], read: int) -> list[tuple[Any, ...]]:
    """Return the first rows that a model would read: those with something in each of the columns that are read."""
    rows = table.first_rows(header, _MEASURED_ROWS)
    told = [row for row in rows if all(map(cell_text, row[:read]))]
    return (told or rows)[:_SHOWN_ROWS]


def _share_of_rows(table: Table, read: int) -> float | None:
    """Return about which share of a table so many rows are; ``None`` where the file's size does not tell."""
    if table.count:
        return read / table.count
    if table.name.lower().endswith(_PACKED):
        return None
    number = min(_MEASURED_ROWS, 1 + _MEASURED_VALUES // len(table.columns))
    first = table.first_rows([column.name for column in table.columns], number)
    size = sum(len(cell_text(value).encode("utf-8", "replace")) + 1 for row in first for value in row)
    return min(1.0, read * size / len(first) / max(1, table.size))


def _of_ours(data: DataSpec, task: Task) -> Sample:
    found = find_examples(data, task)
    rows: list[Example] = [row for row in found.read() if row is not None]
    return Sample(
        name=found.name,
        unit="row",
        texts=[row.text for row in rows],
        answers=[row.answer for row in rows],
        classes=found.classes,
        documents=True,
        header=found.sides,
        first_rows=tuple(tuple(row) for row in rows[:_SHOWN_ROWS]),
    )


def _is_packed(files: tuple[Path, ...]) -> bool:
    return any(file.suffix.lower() in _PACKED for file in files)
