"""Data as they are: texts to read through, or tables of rows, from files of this machine or from ourselves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from tb_widgets.data.formats.encoding import find_encoding, read_characters
from tb_widgets.data.formats.files import LocalFile, passed_over
from tb_widgets.data.formats.values import Column, Part
from tb_widgets.data.sources.builtin import read_text
from tb_widgets.data.sources.resolve import resolve_source
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec
from tb_widgets.wording import listed

__all__ = ["LONGEST_PIECE", "Column", "Piece", "Table", "Texts", "open_data"]

LONGEST_PIECE = 65536
"""Most characters of a piece."""

_REACH = LONGEST_PIECE // 4  # how far before the end of a piece a line break is looked for
_LOOKED_AT = 32  # files whose encoding is found out at once


class Piece(NamedTuple):
    """Some of a text, and whether its document ends with it."""

    text: str
    ends_document: bool


class Measured(NamedTuple):
    """Facts of a document that was read: SHA-256 of its text in UTF-8, its length, and whether it is blank."""

    digest: str
    characters: int
    is_blank: bool


@dataclass
class Texts:
    """Plain text files; each is one document.

    Attributes
    ----------
    name
        Built-in source, or name of the file or of what was asked for.
    size
        Bytes on disk; of a built-in text, in UTF-8.
    files
        The files, none for a built-in text.
    notes
        Sentences about what was found out, for example an encoding.
    own_validation
        The files that are held back, where ``data.validation_split`` names them.
    """

    name: str
    size: int
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    _documents: Sequence[Callable[[], Iterator[str]]] = field(repr=False)
    own_validation: Texts | None = None

    @cached_property
    def measured(self) -> list[Measured]:
        """What is known of each document. Reads all of them, once."""
        return [_measured(document) for document in self._documents]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the text in UTF-8, hexadecimal; of several documents, over theirs."""
        digests = [document.digest for document in self.measured]
        if self.own_validation is not None:
            digests += ["held back", self.own_validation.fingerprint]
        return digests[0] if len(digests) == 1 else hashlib.sha256("/".join(digests).encode()).hexdigest()

    @property
    def documents(self) -> int:
        """How many there are."""
        return len(self._documents)

    @property
    def has_documents(self) -> bool:
        """Whether there are several in the training part or in the one that is held back."""
        own = self.own_validation
        return self.documents > 1 or (own is not None and own.documents > 1)

    def pieces(self) -> Iterator[Piece]:
        """Yield the documents in order, in pieces of at most 65,536 characters, cut at line breaks that are near.

        Raises
        ------
        DataError
            If a file can't be read, is not text, or changes meanwhile, or if all of them are blank.
        """
        blank = True
        for document in self._documents:
            rest = ""
            for text in document():
                rest += text
                while len(rest) > LONGEST_PIECE:
                    end = rest.rfind("\n", LONGEST_PIECE - _REACH, LONGEST_PIECE) + 1 or LONGEST_PIECE
                    blank = blank and rest[:end].isspace()
                    yield Piece(rest[:end], ends_document=False)
                    rest = rest[end:]
            blank = blank and not rest.strip()
            yield Piece(rest, ends_document=True)
        if blank:
            raise DataError(
                f"{self.name} is empty: it contains only whitespace.", hint="Choose a file with text in it."
            )


@dataclass
class Table:
    """Rows with named columns, from one file or several that have the same columns.

    Attributes
    ----------
    name
        Name of the file, or of what was asked for.
    size
        Bytes on disk.
    columns
        What there is in a row. Mappings inside a row are columns of their own: ``translation.en``.
    count
        Number of rows where the files say it, else ``None``.
    own_validation
        The part that the data themselves hold back, where ``data.validation_split`` asks for it.
    notes
        Sentences about what was found out, for example an encoding or a missing header.
    """

    name: str
    size: int
    columns: tuple[Column, ...]
    count: int | None
    own_validation: Table | None
    notes: tuple[str, ...]
    _files: Sequence[LocalFile] = field(repr=False)
    _encoding: str = field(repr=False)
    _late: frozenset[str] = field(default=frozenset(), repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the files as they lie on disk, hexadecimal. Reads all of them, once."""
        own = "" if self.own_validation is None else self.own_validation.fingerprint
        parts = [self._encoding, *(file.digest() for file in self._files), own]
        return hashlib.sha256("/".join(parts).encode()).hexdigest()

    def rows(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield the values of some columns, row by row, ``None`` where there is none; again from the top at each call.

        Raises
        ------
        DataError
            If there is no such column, a file can't be read, a row is not as its column says, or all are empty.
        """
        empty = set(range(len(names)))
        for row in self._rows(names):
            if empty:
                empty -= {place for place in empty if not _is_blank(row[place])}
            yield row
        if empty:
            column = names[min(empty)]
            raise DataError(
                f"The column {column!r} of {self.name} is empty in every row.", hint="Choose another column or file."
            )

    def first_rows(self, names: Sequence[str], number: int) -> list[tuple[Any, ...]]:
        """Return the first rows, of some columns, as :meth:`rows` does; no more is read than needed."""
        with closing(self._rows(names)) as rows:
            return list(islice(rows, number))

    def _rows(self, names: Sequence[str]) -> Generator[tuple[Any, ...], None, None]:
        for file in self._files:
            part = _open_part(file, self._encoding, self._late)
            _check_columns(names, part, file)
            yield from part.rows(names)


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def open_data(data: DataSpec) -> Texts | Table:
    """Open what ``data.source`` names, if it is on this machine; of large files, only the beginning is read.

    Raises
    ------
    DataError
        If it is missing, was not fetched, can't be read, is empty, or holds files of several kinds; or if a setting
        makes no sense for it.
    """
    source = resolve_source(data)
    if source.is_built_in:
        _refuse(data, "comes with Python", "columns", "validation_split", "encoding", "config", "split", "streaming")
        text = read_text(data.source)
        return Texts(data.source, len(text.encode()), (), (), [lambda: iter((text,))])
    if source.kind != "hub":
        _refuse(data, "is not a Hub dataset", "config", "split", "streaming")
    files, held_back, left_out = source.parts()
    name = source.name
    own_name = f"{name} (validation)"
    if files[0].kind == "text":
        _refuse(data, "is plain text", "columns")
        own_texts = _texts(held_back, data.encoding, own_name) if held_back else None
        texts = _texts(files, data.encoding, name)
        return replace(texts, own_validation=own_texts, notes=_notes(texts, own_texts, left_out))
    chosen = frozenset(data.columns.values())
    own_table = _table(held_back, data.encoding, own_name, chosen=chosen) if held_back else None
    table = _table(files, data.encoding, name, chosen=chosen)
    return replace(table, own_validation=own_table, notes=_notes(table, own_table, left_out))


def _notes(found: Texts | Table, own: Texts | Table | None, left_out: list[LocalFile]) -> tuple[str, ...]:
    notes = [*found.notes, *(own.notes if own is not None else ())]
    if left_out:
        names = listed([file.member or file.path.name for file in left_out])
        notes.append(f"Skipped {names}: test files are used neither for training nor for validation.")
    return tuple(dict.fromkeys(notes))


def _texts(files: list[LocalFile], encoding: str, name: str) -> Texts:
    encodings = [find_encoding(file, encoding) for file in files[:_LOOKED_AT]]
    return Texts(
        name=name,
        size=sum({file.path: file.stamp.size for file in files}.values()),
        files=tuple(dict.fromkeys(file.path for file in files)),
        notes=tuple(found.note for found in encodings if found.note),
        _documents=[_Document(file, encoding) for file in files],
    )


def _table(files: list[LocalFile], encoding: str, name: str, *, chosen: frozenset[str]) -> Table:
    if files[0].kind == "parquet" and encoding != "auto":
        raise DataError(
            f"data.encoding: {name} is parquet, which has its own encoding.", hint="Set data.encoding to auto."
        )
    late = chosen - {column.name for column in _open_part(files[0], encoding, frozenset()).columns}
    first = _open_part(files[0], encoding, late)
    if not first.columns:
        raise DataError(f"{files[0]} has no rows.", hint="Choose a file with rows in it.")
    counts = [_open_part(file, encoding, late).count for file in files] if files[0].kind == "parquet" else [None]
    return Table(
        name=name,
        size=sum({file.path: file.stamp.size for file in files}.values()),
        columns=first.columns,
        count=None if None in counts else sum(count for count in counts if count is not None),
        own_validation=None,
        notes=(*first.notes, *_passed_over(files)),
        _files=files,
        _encoding=encoding,
        _late=late,
    )


def _passed_over(files: list[LocalFile]) -> Iterator[str]:
    if names := passed_over(files):
        yield f"Skipped {listed(names)} in the zip: {'it is no table' if len(names) == 1 else 'they are no tables'}."


@lru_cache(maxsize=64)
def _open_part(file: LocalFile, encoding: str, late: frozenset[str]) -> Part:
    """Open a file; of JSON, columns that are wanted and do not occur in the first rows are ``late``."""
    from tb_widgets.data.formats.delimited import open_delimited
    from tb_widgets.data.formats.json_rows import open_json
    from tb_widgets.data.formats.parquet import open_parquet

    if file.kind == "parquet":
        return open_parquet(file)
    found = find_encoding(file, encoding)
    return open_delimited(file, found) if file.kind in ("csv", "tsv") else open_json(file, found, late)


def _check_columns(names: Sequence[str], part: Part, file: LocalFile) -> None:
    known = dict.fromkeys(column.name for column in part.columns)
    for name in names:
        if name not in known:
            raise DataError(
                f"{file} has no column {name!r}; it has {listed([*known])}.",
                hint="Choose one of these in data.columns.",
            )


def _refuse(data: DataSpec, why: str, *fields: str) -> None:
    unset = DataSpec()
    for name in fields:
        if getattr(data, name) != getattr(unset, name):
            raise DataError(
                f"data.{name} is set, but {data.source} {why}.",
                hint=f"Reset data.{name}, or choose other data.",
            )


@dataclass(frozen=True)
class _Document:
    file: LocalFile
    encoding: str

    def __call__(self) -> Iterator[str]:
        return read_characters(self.file, find_encoding(self.file, self.encoding).codec)


@lru_cache(maxsize=64)
def _measured(document: Callable[[], Iterator[str]]) -> Measured:
    digest, characters, is_blank = hashlib.sha256(), 0, True
    for text in document():
        digest.update(text.encode("utf-8", "surrogatepass"))
        characters += len(text)
        is_blank = is_blank and not text.strip()
    return Measured(digest.hexdigest(), characters, is_blank)
