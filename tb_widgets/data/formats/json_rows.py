"""Rows out of JSON: lists of records, mappings of lists, and JSON lines; none but a mapping is read as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from tb_widgets.data.formats.encoding import Encoding, read_characters, read_lines
from tb_widgets.data.formats.files import LocalFile
from tb_widgets.data.formats.values import Column, Record, columns_of, flat, pick, well_formed
from tb_widgets.errors import DataError

_LARGEST_RECORD = 64 * 2**20
_LARGEST_MAPPING = 64 * 2**20
_NEAR_END = 16  # a number, a literal or an escape that is cut in two is told within so many letters of the cut
_AS_LINES = "Save it as a list of records, or as JSON lines with one record in each line."


@dataclass(frozen=True)
class JsonPart:
    """A file of JSON, opened; it is read again for each pass."""

    file: LocalFile
    columns: tuple[Column, ...]
    read: Callable[[], Iterator[Record]]
    count: int | None = None
    notes: tuple[str, ...] = ()

    def rows(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield the values of these columns, row by row."""
        known = {column.name: column for column in self.columns}
        chosen = [known[name] for name in names]
        return (pick(record, chosen, self.file) for record in self.read())


def open_json(file: LocalFile, encoding: Encoding) -> JsonPart:
    """Open a file of JSON, whichever of its forms it has.

    Raises
    ------
    DataError
        If it is none, or has none of the forms that make rows.
    """
    codec = encoding.codec
    reader = _Letters(file, codec)
    first = reader.next_sign()
    if first == "[":
        read: Callable[[], Iterator[Record]] = lambda: _of_list(file, codec)  # noqa: E731
    elif first == "{" and (file.kind == "jsonl" or reader.is_lines()):
        read = lambda: _of_lines(file, codec)  # noqa: E731
    elif first == "{":
        read = lambda: _of_mapping(file, codec)  # noqa: E731
    elif file.kind == "jsonl" and first:
        read = lambda: _of_lines(file, codec)  # noqa: E731
    else:
        raise reader.refused("it begins with neither [ nor {") if first else _blank(file)
    return JsonPart(file, columns_of(read()), read, notes=(encoding.note,) if encoding.note else ())


def _blank(file: LocalFile) -> DataError:
    return DataError(f"{file} is empty: it holds blanks only.", hint="Give a file with rows in it.")


def _record(value: Any, place: str, letters: int, file: LocalFile) -> Record:
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, dict):
        raise DataError(f"{file}, {place}: {str(value)[:40]} is no record with named fields.", hint=_AS_LINES)
    return Record(place, letters, flat(value))


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


def _of_lines(file: LocalFile, codec: str) -> Iterator[Record]:
    for number, line in enumerate(read_lines(file, codec), start=1):
        if not line.strip():
            continue
        try:
            value = _mended(json.loads(line), line, 0, len(line))
        except (ValueError, RecursionError) as error:
            raise _not_json(file, number, getattr(error, "colno", 1), _why(error)) from error
        yield _record(value, f"line {number:,}", len(line), file)


def _of_list(file: LocalFile, codec: str) -> Iterator[Record]:
    reader = _Letters(file, codec)
    reader.next_sign()
    reader.at += 1  # the bracket
    if reader.next_sign() == "]":
        return
    for number in count(1):
        reader.next_sign()
        place, before = f"row {number:,} (line {reader.line:,})", reader.at
        value = reader.value()
        yield _record(value, place, reader.at - before, file)
        sign = reader.next_sign()
        if sign not in (",", "]"):
            raise reader.refused("a comma or ] is missing" if sign else "the ] at its end is missing")
        reader.at += 1
        if sign == "]":
            if reader.next_sign():
                raise reader.refused("there is more after its end")
            return


def _of_mapping(file: LocalFile, codec: str) -> Iterator[Record]:
    letters = 0
    parts = []
    for part in read_characters(file, codec):
        parts.append(part)
        letters += len(part)
        if letters > _LARGEST_MAPPING:
            raise DataError(
                f"{file} is one mapping of more than {_LARGEST_MAPPING // 2**20} million characters.", hint=_AS_LINES
            )
    text = "".join(parts)
    try:
        content = _mended(json.loads(text), text, 0, len(text))
    except (ValueError, RecursionError) as error:
        raise _not_json(file, getattr(error, "lineno", 1), getattr(error, "colno", 1), _why(error)) from error
    rows = [value for value in content.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    share = letters // max(1, len(rows[0]) if rows else 1)
    if len(rows) == 1:
        yield from (_record(value, f"row {n:,}", share, file) for n, value in enumerate(rows[0], start=1))
    elif content and all(isinstance(value, list) for value in content.values()):
        lengths = {name: len(value) for name, value in content.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length:,}" for name, length in list(lengths.items())[:8])
            raise DataError(f"{file}: its columns have different lengths: {told}.", hint=_AS_LINES)
        for n, values in enumerate(zip(*content.values(), strict=True), start=1):
            yield _record(dict(zip(content, values, strict=True)), f"row {n:,}", 0, file)
    elif content and all(isinstance(value, dict) for value in content.values()):
        raise DataError(f"{file} holds one record for each of its keys, and no rows in order.", hint=_AS_LINES)
    else:
        raise DataError(f"{file} holds a single record, and no rows.", hint=_AS_LINES)


class _Letters:
    """What was read of a file and not used up, and which line and column that is."""

    def __init__(self, file: LocalFile, codec: str) -> None:
        self.file = file
        self.at = 0
        self._letters = read_characters(file, codec)
        self._text = ""
        self._decoder = json.JSONDecoder()
        self._counted, self._lines, self._columns = 0, 0, 0  # up to where lines were counted, and which place it is
        self._ended = False

    def _more(self) -> bool:
        """Drop what is used up, and hold at least twice what is left; false at the end of the file."""
        self._place(self.at)
        parts = [self._text[self.at :]]
        self.at = self._counted = 0
        held = wanted = len(parts[0])
        while held <= 2 * wanted and not self._ended:
            part = next(self._letters, None)
            self._ended = part is None
            parts.append(part or "")
            held += len(parts[-1])
        self._text = "".join(parts)
        return held > wanted

    def _place(self, at: int) -> tuple[int, int]:
        """Return how many lines, and letters of its own line, are before a position, which never goes back."""
        breaks = self._text.count("\n", self._counted, at)
        start = self._text.rfind("\n", self._counted, at) + 1 if breaks else self._counted - self._columns
        self._counted, self._lines, self._columns = at, self._lines + breaks, at - start
        return self._lines, self._columns

    @property
    def line(self) -> int:
        return self._place(self.at)[0] + 1

    def next_sign(self) -> str:
        """Skip blanks, and return the sign that comes next, nothing at the end."""
        while True:
            while self.at < len(self._text) and self._text[self.at] in " \t\r\n":
                self.at += 1
            if self.at < len(self._text):
                return self._text[self.at]
            if not self._more():
                return ""

    def value(self) -> Any:
        """Read one value of JSON, and stand behind it."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self.at)
                value = _mended(value, self._text, self.at, end)
            except json.JSONDecodeError as error:
                cut_off = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _NEAR_END
                if cut_off and len(self._text) - self.at > _LARGEST_RECORD:
                    raise self.refused(
                        f"a record is longer than {_LARGEST_RECORD // 2**20} million characters"
                    ) from error
                behind = error.pos - self.at
                if not (cut_off and self._more()):
                    raise self.refused(_why(error), self.at + behind) from error
            except (ValueError, RecursionError) as error:
                raise self.refused(_why(error)) from error
            else:
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
        return self.next_sign() == "{"

    def refused(self, why: str, at: int | None = None) -> DataError:
        lines, columns = self._place(self.at if at is None else at)
        return _not_json(self.file, lines + 1, columns + 1, why)


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg.lower().removesuffix(" at").removesuffix(" starting")
    return "too deeply nested" if isinstance(error, RecursionError) else str(error)


def _not_json(file: LocalFile, line: int, column: int, why: str) -> DataError:
    return DataError(
        f"{file} is not valid JSON: line {line:,}, column {column:,}: {why}.", hint="Mend this place, or save it again."
    )
