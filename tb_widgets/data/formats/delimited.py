"""Rows out of csv and tsv files: their delimiter, whether there is a header, and what the columns hold."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tb_widgets.data.formats.encoding import Encoding, read_lines
from tb_widgets.data.formats.files import LocalFile
from tb_widgets.data.formats.values import SAMPLE_CHARACTERS, SAMPLE_ROWS, Column, ValueKind
from tb_widgets.errors import DataError

_LONGEST_FIELD = 64 * 2**20
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_WHOLE = re.compile(r"\s*[+-]?\d+(\.0+)?\s*")  # 1.0 is what pandas writes where a number is missing elsewhere
# Words that are read in headers, and hardly ever in a first row.
_HEADER_WORDS = {
    "text",
    "label",
    "sentence",
    "content",
    "review",
    "document",
    "class",
    "category",
    "sentiment",
    "source",
}
_HEADER_WORDS |= {
    "target",
    "question",
    "answer",
    "input",
    "output",
    "prompt",
    "response",
    "id",
    "title",
    "body",
    "message",
}
_LONGEST_NAME = 64
_NAMES_DELIMITER = re.compile(r"sep=([^\"\r\n])[\r\n]*")  # Excel's first line, which is no row


class _Style(NamedTuple):
    delimiter: str
    quotes: bool


@dataclass(frozen=True)
class DelimitedPart:
    """A csv or tsv file, opened; it is read again for each pass. All values are texts, as they are in the file."""

    file: LocalFile
    codec: str
    style: _Style
    header: bool
    columns: tuple[Column, ...]
    notes: tuple[str, ...]
    count: int | None = None
    names_delimiter: bool = False

    def rows(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield the values of these columns, row by row."""
        known = {column.name: place for place, column in enumerate(self.columns)}
        places = [known[name] for name in names]
        lines = read_lines(self.file, self.codec, any_end=True)
        if self.names_delimiter:
            next(lines)
        rows = _read(lines, self.style, self.file, before=int(self.names_delimiter))
        if self.header:
            next(rows)
        for line, row in rows:
            if len(row) != len(known):
                raise DataError(
                    f"{self.file}, line {line:,}: there are {len(row):,} fields, and {len(known):,} in the first line.",
                    hint=f"Put fields that hold a {_called(self.style.delimiter)} in double quotes, or mend this line.",
                )
            yield tuple(row[place] for place in places)


def open_delimited(file: LocalFile, encoding: Encoding) -> DelimitedPart:
    """Open a csv or tsv file.

    Raises
    ------
    DataError
        If it can't be read as one, or holds no row.
    """
    sample, whole = _sample(read_lines(file, encoding.codec, any_end=True))
    named = _NAMES_DELIMITER.fullmatch(sample[0]) if sample else None
    if named is not None:
        style = max(
            (_Style(named[1], quotes) for quotes in (True, False)), key=lambda style: _fitness(sample[1:], style)
        )
        sample = sample[1:]
    else:
        style = _find_style(sample, ("\t",) if file.kind == "tsv" else tuple(_DELIMITERS))
    rows = []
    try:
        for _, row in _read(iter(sample), style, file, before=int(named is not None)):
            rows.append(row)
    except DataError:
        if whole or len(rows) < 2:  # else the sample may end between two quotes
            raise
    if not rows:
        raise DataError(f"{file} is empty: it holds blanks only.", hint="Give a file with rows in it.")
    header = _has_header(rows)
    names = _names(rows[0]) if header else [f"column_{n}" for n in range(1, len(rows[0]) + 1)]
    below = rows[1:] if header else rows
    columns = [Column(name, _kind(row[n] for row in below if n < len(row))) for n, name in enumerate(names)]
    notes = [encoding.note] if encoding.note else []
    if not header:
        notes.append(f"{file} seems to have no header; its columns are called column_1, column_2 and so on.")
    if style.delimiter != ("\t" if file.kind == "tsv" else ",") and len(names) > 1:
        notes.append(f"Fields of {file} are separated by {_called(style.delimiter)}s.")
    return DelimitedPart(
        file, encoding.codec, style, header, tuple(columns), tuple(notes), names_delimiter=named is not None
    )


def _called(delimiter: str) -> str:
    return _DELIMITERS.get(delimiter, f"{delimiter!r} sign")


def _sample(lines: Iterable[str]) -> tuple[list[str], bool]:
    found: list[str] = []
    characters = 0
    for line in lines:
        found.append(line)
        characters += len(line)
        if len(found) > SAMPLE_ROWS or characters > SAMPLE_CHARACTERS:
            return found, False
    return found, True


def _read(lines: Iterator[str], style: _Style, file: LocalFile, *, before: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Yield the line in which each row begins, and its fields; lines without anything are left out.

    So many lines of the file are ``before`` those that are given.
    """
    reader = _reader(lines, style)
    while True:
        line = before + reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            quote = "a double quote is missing, or one inside a text is not doubled"
            why = quote if style.quotes else str(error)
            raise DataError(
                f"{file}, line {line:,}: the row that begins here can't be read: {why}.",
                hint='Write "" for a double quote inside a quoted field.',
            ) from error
        if row and (len(row) > 1 or row[0].strip()):
            yield line, row


def _reader(lines: Iterable[str], style: _Style) -> Any:
    csv.field_size_limit(_LONGEST_FIELD)  # one setting for all of Python, which is 131,072 and too little for documents
    quoting: Any = csv.QUOTE_MINIMAL if style.quotes else csv.QUOTE_NONE
    return csv.reader(lines, delimiter=style.delimiter, quoting=quoting, strict=True)


def _find_style(sample: list[str], delimiters: Sequence[str]) -> _Style:
    """Return the style in which most rows have as many fields as the first, and more than one."""
    # Tabs are often written without any quoting, and a lone quote is then a character.
    styles = [_Style(delimiter, True) for delimiter in delimiters] + [_Style("\t", False)]
    return max(styles, key=lambda style: _fitness(sample, style))


def _fitness(sample: list[str], style: _Style) -> tuple[float, int]:
    counts: Counter[int] = Counter()
    faults = 0
    reader = _reader(sample, style)
    try:
        for row in reader:
            counts[len(row)] += bool(row)
    except csv.Error:
        faults = max(1, len(sample) - reader.line_num)
    fields, rows = counts.most_common(1)[0] if counts else (0, 0)
    return (rows / (counts.total() + faults) if fields > 1 else 0.0, fields)


def _has_header(rows: list[list[str]]) -> bool:
    first, below = rows[0], rows[1:]
    names = [cell.strip() for cell in first]
    if not any(names) or any(_NUMBER.fullmatch(name) or len(name) > _LONGEST_NAME for name in names):
        return False
    if any(name.lower() in _HEADER_WORDS for name in names):
        return True
    if len(set(names)) < len(names):
        return False
    kinds = [_kind(row[n] for row in below if n < len(row)) for n in range(len(names))]
    if any(kind in ("whole", "number", "truth") for kind in kinds):
        return True
    # A name is short beside what stands under it, and does not occur there.
    longest = [max((len(row[n]) for row in below if n < len(row)), default=0) for n in range(len(names))]
    repeated = any(name in {row[n] for row in below if n < len(row)} for n, name in enumerate(names))
    return not repeated and any(
        len(name.split()) <= 3 and len(name) * 4 < most for name, most in zip(names, longest, strict=True)
    )


def _names(row: list[str]) -> list[str]:
    """Return names that are there and differ: an empty one is called by its place, a second one gets a number."""
    seen: Counter[str] = Counter()
    names = []
    for place, cell in enumerate(row, start=1):
        name = cell.strip() or f"column_{place}"
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _kind(values: Iterable[str]) -> ValueKind:
    filled = [value for value in values if value.strip()]
    if not filled:
        return "other"
    if all(_WHOLE.fullmatch(value) for value in filled):
        return "whole"
    if all(_NUMBER.fullmatch(value) for value in filled):
        return "number"
    return "truth" if all(value.strip().lower() in ("true", "false") for value in filled) else "text"
