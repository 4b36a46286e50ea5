"""Encoding of a file, and its text piece by piece or line by line."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from tb_widgets.data.formats.files import LocalFile
from tb_widgets.data.formats.guessing import guess, guess_shifted, guess_wide
from tb_widgets.errors import DataError

_LONGEST_LINE = 64 * 2**20
_JUDGED = 8  # blocks of a megabyte that auto looks at
# UTF-32's mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Encoding(NamedTuple):
    """Encoding of a file: a name that Python knows, and a sentence where it was guessed."""

    codec: str
    note: str = ""


def find_encoding(file: LocalFile, chosen: str = "auto") -> Encoding:
    """Return the encoding of a file: what was chosen, else what its first 8 MB say.

    Raises
    ------
    DataError
        If there is no such encoding, or the file is not text.
    """
    if chosen == "auto":
        return _detect(file)
    try:
        "".encode(chosen)
    except LookupError as error:
        raise DataError(
            f"data.encoding: there is no encoding {chosen!r}.",
            hint="Set it to auto, or for example to utf-8 or cp1252.",
        ) from error
    # A byte order mark is no character of the text.
    return Encoding("utf-8-sig" if codecs.lookup(chosen).name == "utf-8" else chosen)


@lru_cache(maxsize=1024)
def _detect(file: LocalFile) -> Encoding:
    raw = b"".join(islice(file.blocks(), _JUDGED))
    for mark, codec in _MARKS:
        if raw.startswith(mark):
            return Encoding(codec)
    zero = raw.find(b"\0")
    if zero >= 0:
        guessed = guess_wide(raw)
        if guessed is None:
            raise _not_text(file, f"byte {zero:,}")
    else:
        guessed = guess_shifted(raw)
    if guessed is None:
        try:
            codecs.getincrementaldecoder("utf-8")().decode(raw)
        except UnicodeDecodeError as error:
            guessed = None if _is_mostly_utf8(raw) else guess(raw)
            if guessed is None:
                raise _misfit(file, "utf-8", error.start, raw[error.start]) from error
        else:
            return Encoding("utf-8")
    return Encoding(guessed, f"{file} is not UTF-8. Detected encoding: {guessed}.")


def _is_mostly_utf8(raw: bytes) -> bool:
    """Tell whether a few bytes are damaged in what is UTF-8 otherwise, and would be spoilt by another encoding."""
    text = raw.decode("utf-8", "replace")
    foreign = len(text) - len(text.encode("ascii", "ignore"))
    return text.count("\ufffd") < foreign / 4


def read_characters(file: LocalFile, codec: str) -> Iterator[str]:
    """Yield the text of a file in pieces of about a megabyte, line ends as they are.

    Raises
    ------
    DataError
        If the file can't be read, holds a zero, or bytes that the encoding does not know; with their place.
    """
    decoder = codecs.getincrementaldecoder(codec)()
    done = characters = 0
    for block in file.blocks():
        text = _decoded(decoder, block, file, codec, done)
        if characters == 0:
            text = text.lstrip("\ufeff")  # a byte order mark, or several where something wrote a second one
        if "\0" in text:
            raise _not_text(file, f"character {characters + text.index(chr(0)):,}")
        yield text
        done += len(block)
        characters += len(text)
    yield _decoded(decoder, b"", file, codec, done, final=True)


def _decoded(
    decoder: codecs.IncrementalDecoder, block: bytes, file: LocalFile, codec: str, done: int, *, final: bool = False
) -> str:
    try:
        return decoder.decode(block, final)
    except UnicodeDecodeError as error:
        # The decoder may have kept bytes of the block before, or taken off a byte order mark.
        place = done + len(block) - len(error.object) + error.start
        raise _misfit(file, codec, place, error.object[error.start]) from error


def read_lines(file: LocalFile, codec: str, *, any_end: bool = False) -> Iterator[str]:
    """Yield the lines of a file, each with its line feed, or where ``any_end`` counts with what else ends it.

    Raises
    ------
    DataError
        As :func:`read_characters`, and if a line is longer than 64 million characters; the message names the line.
    """
    pending: list[str] = []
    length, number = 0, 1
    ends = ("\n", "\r") if any_end else ("\n",)
    for text in _whole_ends(read_characters(file, codec)):
        for line in io.StringIO(text, newline="" if any_end else "\n"):
            pending.append(line)
            length += len(line)
            if length > _LONGEST_LINE:
                raise DataError(
                    f"{file}: line {number:,} is longer than {_LONGEST_LINE // 2**20} million characters.",
                    hint="Each line is one row: is this the right type of file?",
                )
            if line.endswith(ends):
                yield "".join(pending)
                number += 1
                pending.clear()
                length = 0
    if pending:
        yield "".join(pending)


def _whole_ends(texts: Iterator[str]) -> Iterator[str]:
    """Keep a carriage return at the end of a text back until it is known whether a line feed follows."""
    keeper = io.IncrementalNewlineDecoder(None, translate=False)
    for text in texts:
        yield keeper.decode(text)
    yield keeper.decode("", final=True)


def _not_text(file: LocalFile, place: str) -> DataError:
    return DataError(
        f"{file} is not a text file: {place} is zero.",
        hint="Choose plain text or a table. Convert PDF and Word files first.",
    )


def _misfit(file: LocalFile, codec: str, place: int, value: int) -> DataError:
    title = codec.removesuffix("-sig").upper()
    return DataError(
        f"{file} is not {title} text: byte {place:,} ({value:02x}) does not fit.",
        hint="Save it again with the encoding UTF-8, or set data.encoding to the one it is in, for example cp1252.",
    )
