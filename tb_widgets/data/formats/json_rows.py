"""Rows out of JSON: lists of records, mappings of lists, and JSON lines; none but a mapping is read as a whole.

The standard library's decoder does the reading. Others were tried: pyarrow rounds large whole numbers, makes times of
texts and reads no lists; ijson knows neither lines nor large numbers. Both name no place in the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any

from tb_widgets.data.formats.encoding import Encoding, read_characters, read_lines
from tb_widgets.data.formats.files import LocalFile
from tb_widgets.data.formats.values import Column, Part, TableRecord, columns_of, flat, pick, well_formed
from tb_widgets.errors import DataError

_LARGEST_VALUE = 64 * 2**20
_NEAR_END = 16  # a number, a literal or an escape that is cut in two is told within so many characters of the cut
_BLANKS = re.compile(r"[ \t\r\n]*")
_AS_LINES = "Save it as a list of records, or as JSON lines, one record per line."


def open_json(file: LocalFile, encoding: Encoding, late: frozenset[str] = frozenset()) -> Part:
    """Open a file of JSON, whichever of its forms it has.

    Parameters
    ----------
    file, encoding
        What to read.
    late
        Columns that are looked for in all of the file where they do not occur in its first rows.

    Raises
    ------
    DataError
        If it is no JSON, or has none of the forms that make rows.
    """
    reader = _Reader(file, encoding.codec)
    first = reader.next()
    if not first:
        raise DataError(f"{file} is empty: it contains only whitespace.", hint="Choose a file with rows in it.")
    if first == "[":
        form = _of_list
    elif file.kind == "jsonl" or (first == "{" and reader.is_lines()):
        form = _of_lines
    elif first == "{":
        form = _of_mapping
    else:
        raise reader.refused("it starts with neither [ nor {")
    read = partial(form, file, encoding.codec)
    columns = list(columns_of(read()))
    for name in sorted(late - {column.name for column in columns}):
        columns += columns_of(row._replace(values={name: row.values[name]}) for row in read() if name in row.values)
    known = {column.name: column for column in columns}

    def rows(names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        chosen: list[Column] = [known[name] for name in names]
        return (pick(record, chosen, file) for record in read())

    return Part(tuple(columns), rows, notes=(encoding.note,) if encoding.note else ())


def _record(value: Any, place: str, characters: int, file: LocalFile) -> TableRecord:
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, dict):
        raise DataError(f"{file}, {place}: {str(value)[:40]} is not a record with named fields.", hint=_AS_LINES)
    return TableRecord(place, characters, flat(value))


def _of_lines(file: LocalFile, codec: str) -> Iterator[TableRecord]:
    for number, line in enumerate(read_lines(file, codec), start=1):
        if not line.strip():
            continue
        try:
            value = _mended(json.loads(line), line, 0, len(line))
        except (ValueError, RecursionError) as error:
            raise _not_json(file, number, getattr(error, "colno", 1), _why(error)) from error
        yield _record(value, f"line {number:,}", len(line), file)


def _of_list(file: LocalFile, codec: str) -> Iterator[TableRecord]:
    reader = _Reader(file, codec)
    reader.next()
    reader.at += 1  # the bracket
    after = reader.next()
    if after == "]":
        return
    for number in count(1):
        place, before = f"row {number:,} (line {reader.place(reader.at)[0]:,})", reader.at
        value = reader.value()
        yield _record(value, place, reader.at - before, file)
        after = reader.next()
        if after not in (",", "]"):
            raise reader.refused("a comma or ] is missing" if after else "the ] at its end is missing")
        reader.at += 1
        if after == "]":
            break
        reader.next()
    if reader.next():
        raise reader.refused("there is more after its end")


def _of_mapping(file: LocalFile, codec: str) -> Iterator[TableRecord]:
    reader = _Reader(file, codec)
    reader.next()
    content = reader.value()
    characters = reader.at
    if reader.next():
        raise reader.refused("there is more after its end")
    rows = [value for value in content.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if len(rows) == 1:
        share = characters // len(rows[0])
        yield from (_record(value, f"row {n:,}", share, file) for n, value in enumerate(rows[0], start=1))
    elif content and all(isinstance(value, list) for value in content.values()):
        lengths = {name: len(value) for name, value in content.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length:,}" for name, length in list(lengths.items())[:8])
            raise DataError(f"{file}: its columns have different lengths: {told}.", hint=_AS_LINES)
        for n, values in enumerate(zip(*content.values(), strict=True), start=1):
            yield _record(dict(zip(content, values, strict=True)), f"row {n:,}", 0, file)
    elif content and all(isinstance(value, dict) for value in content.values()):
        raise DataError(f"{file} maps keys to records instead of listing rows.", hint=_AS_LINES)
    else:
        raise DataError(f"{file} contains a single record instead of rows.", hint=_AS_LINES)


class _Reader:
    """Reader of one value after another; ``at`` is its place in the text that it holds."""

    def __init__(self, file: LocalFile, codec: str) -> None:
        self.file, self.at = file, 0
        self._parts, self._text = read_characters(file, codec), ""
        self._decode = json.JSONDecoder().raw_decode
        self._counted, self._line, self._column = 0, 1, 1  # up to where line breaks were counted, and its place

    def _more(self) -> bool:
        """Drop what is used up, and hold at least twice what is left; false at the end of the file."""
        self.place(self.at)
        parts = [self._text[self.at :]]
        held = wanted = len(parts[0])
        while held <= min(2 * wanted, _LARGEST_VALUE) and (part := next(self._parts, None)) is not None:
            parts.append(part)
            held += len(part)
        self._text, self.at, self._counted = "".join(parts), 0, 0
        return held > wanted

    def place(self, at: int) -> tuple[int, int]:
        """Return line and column of a position, which never goes back."""
        self._line += self._text.count("\n", self._counted, at)
        line_break = self._text.rfind("\n", self._counted, at)
        self._column = at - line_break if line_break >= 0 else self._column + at - self._counted
        self._counted = at
        return self._line, self._column

    def next(self) -> str:
        """Skip blanks, and return the character that comes next, nothing at the end."""
        while True:
            self.at = _BLANKS.match(self._text, self.at).end()  # type: ignore[union-attr]  # it always matches
            if self.at < len(self._text):
                return self._text[self.at]
            if not self._more():
                return ""

    def value(self) -> Any:
        """Read one value, and stand behind it."""
        while True:
            try:
                value, end = self._decode(self._text, self.at)
                value = _mended(value, self._text, self.at, end)
            except (ValueError, RecursionError) as error:
                place = error.pos if isinstance(error, json.JSONDecodeError) else self.at
                is_open = str(error).startswith("Unterminated string") or place >= len(self._text) - _NEAR_END
                if isinstance(error, json.JSONDecodeError) and is_open:
                    if len(self._text) - self.at > _LARGEST_VALUE:
                        line, _ = self.place(self.at)
                        raise DataError(
                            f"{self.file}, line {line:,}: the value that starts here is longer than "
                            f"{_LARGEST_VALUE // 2**20} million characters.",
                            hint=_AS_LINES,
                        ) from error
                    place -= self.at
                    if self._more():
                        continue
                raise self.refused(_why(error), place) from error
            self.at = end
            return value

    def is_lines(self) -> bool:
        """Tell whether a file named .json has one record in a line, and another after it."""
        end = self._text.find("\n", self.at)
        if end < 0:
            return False
        try:
            json.loads(self._text[self.at : end])
        except (ValueError, RecursionError):
            return False
        self.at = end
        return self.next() == "{"

    def refused(self, why: str, at: int | None = None) -> DataError:
        return _not_json(self.file, *self.place(self.at if at is None else at), why)


def _mended(value: Any, text: str, start: int, end: int) -> Any:
    """Replace halves of surrogate pairs in a value that was read from a part of a text: only escapes can write them."""
    return _well_formed(value) if text.find("\\u", start, end) >= 0 else value


def _well_formed(value: Any) -> Any:
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, list):
        return [_well_formed(inner) for inner in value]
    if isinstance(value, dict):
        return {well_formed(name): _well_formed(inner) for name, inner in value.items()}
    return value


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg.lower().removesuffix(" at").removesuffix(" starting")
    return "too deeply nested" if isinstance(error, RecursionError) else str(error)


def _not_json(file: LocalFile, line: int, column: int, why: str) -> DataError:
    return DataError(
        f"{file} is not valid JSON: line {line:,}, column {column:,}: {why}.", hint="Fix this place, or save it again."
    )
