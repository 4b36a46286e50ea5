"""Rows out of csv and tsv files: their delimiter, whether there is a header, and what the columns hold.

Python's csv module does the reading. pyarrow would change values (007 becomes 7), refuses fields of a megabyte and
names no line; csv.Sniffer can't tell a single column, and knows nothing of tabs without quoting.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from tb_widgets.data.formats.encoding import Encoding, read_lines
from tb_widgets.data.formats.files import LocalFile
from tb_widgets.data.formats.values import SAMPLE_CHARACTERS, SAMPLE_ROWS, Column, Part, ValueKind
from tb_widgets.errors import DataError

_LONGEST_FIELD = 64 * 2**20
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_WHOLE = re.compile(r"\s*[+-]?\d+(\.0+)?\s*")  # 1.0 is what pandas writes where a number is missing elsewhere
# Words that are read in headers, and hardly ever in a first row.
_HEADER_WORDS = (
    "text label sentence content review document class category sentiment source target question answer input output "
    "prompt response id title body message"
)
_LONGEST_NAME = 64
_NAMED_DELIMITER = re.compile(r"sep=([^\"\r\n])[\r\n]*")  # Excel's first line, which is no row


class _Style(NamedTuple):
    delimiter: str
    quotes: bool
    skipped: int  # lines at the top
    header: bool = False


class _Row(NamedTuple):
    line: int  # in which it begins
    fields: list[str]


def open_delimited(file: LocalFile, encoding: Encoding) -> Part:
    """Open a csv or tsv file. All values are texts, as they are in the file.

    Raises
    ------
    DataError
        If it can't be read as one, or holds no row.
    """
    usual = "\t" if file.kind == "tsv" else ","
    sample, is_whole = _sample(read_lines(file, encoding.codec, any_end=True))
    named = _NAMED_DELIMITER.fullmatch(sample[0]) if sample else None
    skipped = 1 if named else 0
    delimiters = named[1] if named else usual if file.kind == "tsv" else "".join(_DELIMITERS)
    style = _find_style(sample, delimiters, skipped)
    rows = []
    try:
        for row in _read(iter(sample), style, file):
            rows.append(row.fields)
    except DataError:
        if is_whole or len(rows) < 2:  # else the sample may end between two quotes
            raise
    if not rows:
        raise DataError(f"{file} is empty: it contains only whitespace.", hint="Choose a file with rows in it.")
    style = style._replace(header=_has_header(rows))
    names = _names(rows[0] if style.header else [""] * len(rows[0]))
    below = rows[1:] if style.header else rows
    columns = [Column(name, _kind(row[n] for row in below if n < len(row))) for n, name in enumerate(names)]
    notes = [encoding.note] if encoding.note else []
    if not style.header:
        notes.append(f"{file} seems to have no header; its columns are named column_1, column_2 and so on.")
    if style.delimiter != usual and len(names) > 1:
        notes.append(f"{file} separates its fields with {_called(style.delimiter)}s.")
    places = {name: place for place, name in enumerate(names)}
    return Part(tuple(columns), partial(_rows, file, encoding.codec, style, places), notes=tuple(notes))


def _rows(
    file: LocalFile, codec: str, style: _Style, places: dict[str, int], names: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    chosen = [places[name] for name in names]
    rows = _read(read_lines(file, codec, any_end=True), style, file)
    if style.header:
        next(rows)
    for line, fields in rows:
        if len(fields) != len(places):
            raise DataError(
                f"{file}, line {line:,}: there are {len(fields):,} fields, but {len(places):,} in the first line.",
                hint=f"Put fields that contain a {_called(style.delimiter)} in double quotes, or fix this line.",
            )
        yield tuple(fields[place] for place in chosen)


def _called(delimiter: str) -> str:
    return _DELIMITERS.get(delimiter, f"{delimiter!r} character")


def _sample(lines: Iterable[str]) -> tuple[list[str], bool]:
    """Return the first lines, and whether they are all."""
    found: list[str] = []
    characters = 0
    for line in lines:
        found.append(line)
        characters += len(line)
        if len(found) > SAMPLE_ROWS or characters > SAMPLE_CHARACTERS:
            return found, False
    return found, True


def _read(lines: Iterator[str], style: _Style, file: LocalFile) -> Iterator[_Row]:
    """Yield rows; lines without anything are left out."""
    for _ in range(style.skipped):
        next(lines)
    reader = _reader(lines, style)
    while True:
        line = style.skipped + reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            quote = "a double quote is missing, or one inside a text is not doubled"
            raise DataError(
                f"{file}, line {line:,}: the row that starts here can't be read: {quote if style.quotes else error}.",
                hint='Write "" for a double quote inside a quoted field.',
            ) from error
        if row and (len(row) > 1 or row[0].strip()):
            yield _Row(line, row)


def _reader(lines: Iterable[str], style: _Style) -> Any:
    csv.field_size_limit(_LONGEST_FIELD)  # one setting for all of Python, which is 131,072 and too little for documents
    quoting: Any = csv.QUOTE_MINIMAL if style.quotes else csv.QUOTE_NONE
    return csv.reader(lines, delimiter=style.delimiter, quoting=quoting, strict=True)


def _find_style(sample: list[str], delimiters: str, skipped: int) -> _Style:
    """Return the style in which most rows have as many fields as most others, and more than one."""
    styles = [_Style(delimiter, True, skipped) for delimiter in delimiters]
    # Tabs, and what a file names itself, are often written without quoting, and a lone quote is then a character.
    unquoted = delimiters if len(delimiters) == 1 else "\t"
    return max([*styles, _Style(unquoted, False, skipped)], key=lambda style: _fitness(sample, style))


def _fitness(sample: list[str], style: _Style) -> tuple[float, int]:
    counts: Counter[int] = Counter()
    faults = 0
    reader = _reader(sample[style.skipped :], style)
    try:
        for row in reader:
            counts[len(row)] += bool(row)
    except csv.Error:
        faults = max(1, len(sample) - reader.line_num)
    fields, rows = counts.most_common(1)[0] if counts else (0, 0)
    return (rows / (counts.total() + faults) if fields > 1 else 0.0, fields)


def _has_header(rows: list[list[str]]) -> bool:
    names = [cell.strip() for cell in rows[0]]
    if not any(names) or any(_NUMBER.fullmatch(name) or len(name) > _LONGEST_NAME for name in names):
        return False
    if any(name.lower() in _HEADER_WORDS.split() for name in names):
        return True
    if len(set(names)) < len(names):
        return False
    below = [[row[n] for row in rows[1:] if n < len(row)] for n in range(len(names))]
    if any(_kind(values) in ("whole", "number", "truth") for values in below):
        return True
    # A name is short beside what stands under it, and does not occur there.
    is_short = [
        len(name.split()) <= 3 and len(name) * 4 < max(map(len, values), default=0)
        for name, values in zip(names, below, strict=True)
    ]
    return any(is_short) and not any(name in values for name, values in zip(names, below, strict=True))


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
    if all(map(_WHOLE.fullmatch, filled)):
        return "whole"
    if all(map(_NUMBER.fullmatch, filled)):
        return "number"
    return "truth" if all(value.strip().lower() in ("true", "false") for value in filled) else "text"
