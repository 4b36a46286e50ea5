"""Texts to learn from, whatever they come from: which documents there are, and which of them are held back."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from tb_widgets.data.keyed_random import key_of
from tb_widgets.data.reading.columns import map_columns
from tb_widgets.data.reading.open import Table, Texts, open_data
from tb_widgets.data.reading.split import Span, split_text
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, Task

# Characters that a vocabulary is learned from at most; more would change little and cost minutes.
_SAMPLE = 16_000_000


@dataclass
class ReadCounts:
    """Counts of a corpus while it is read.

    Attributes
    ----------
    share
        How much of it has been read, 0 to 1.
    is_measured
        Whether that is the share of the characters, and not of files, rows, or bytes that hold other columns too.
    characters, documents
        Of both parts together.
    held_back
        Documents that are held back.
    empty
        Documents without a text; they are left out.
    in_both
        Training documents that are left out because the dataset's own validation part has the same text.
    """

    share: float = 0.0
    is_measured: bool = False
    characters: int = 0
    documents: int = 0
    held_back: int = 0
    empty: int = 0
    in_both: int = 0


@dataclass(frozen=True)
class Corpus(ABC):
    """A text, or documents.

    Attributes
    ----------
    name
        What people call it.
    fingerprint
        SHA-256 of what it is read from, and how; of a single text that of the text.
    has_documents
        Whether there are several, so that a special token has to stand between them.
    notes
        Sentences about what was found out, for example an encoding.
    validation_fraction
        Share to hold back, where the data hold back none themselves.
    """

    name: str
    fingerprint: str
    has_documents: bool
    notes: tuple[str, ...]
    validation_fraction: float

    @abstractmethod
    def read(self, seen: ReadCounts) -> Iterator[Span]:
        """Yield all of it in order, in bounded memory, and note in ``seen`` what comes by.

        Raises
        ------
        DataError
            If it can't be read, or one of the two parts is empty.
        """

    def training_texts(self) -> Iterator[str]:
        """Yield the training text; after each document stands a line break."""
        for span in self.read(ReadCounts()):
            if not span.held_back:
                yield f"{span.text}\n" if self.has_documents and span.closes else span.text


def text_to_learn_from(kind: str, texts: Iterable[str]) -> str:
    """Return what a tokenizer of a kind learns from.

    For ``byte`` that is nothing, for ``char`` the different characters; else the texts, or some spread evenly over them
    where they are longer than 16 million characters together.
    """
    if kind == "byte":
        return ""
    if kind == "char":
        return "".join(sorted(set(chain.from_iterable(texts))))
    kept: list[str] = []
    size, every = 0, 1
    for number, text in enumerate(texts):
        if number % every == 0:
            kept.append(text)
            size += len(text)
        while size > _SAMPLE and len(kept) > 1:
            kept = kept[::2]
            size, every = sum(map(len, kept)), every * 2
    return "".join(kept)


@dataclass(frozen=True)
class OneText(Corpus):
    """A single text, of which blocks are held back."""

    texts: Texts

    def read(self, seen: ReadCounts) -> Iterator[Span]:
        """See :meth:`Corpus.read`."""
        seen.documents, seen.is_measured = 1, True
        characters = self.texts.measured[0].characters
        for span in split_text((piece.text for piece in self.texts.pieces()), characters, self.validation_fraction):
            seen.characters += len(span.text)
            seen.share = seen.characters / characters
            yield span


@dataclass(frozen=True)
class SeveralTexts(Corpus):
    """Several texts, each of which is a document. Whole ones are held back, at least one."""

    texts: Texts

    def read(self, seen: ReadCounts) -> Iterator[Span]:
        """See :meth:`Corpus.read`."""
        keys = _keys(self.texts)
        known = sorted({key for key in keys if key is not None})
        if len(known) < 2:
            raise DataError(
                f"{self.name} has {len(keys):,} files, but no two different texts, so none can be kept for validation.",
                hint="Add different files, or use a single file: part of it is kept for validation.",
            )
        # A few files may all fall on one side; then the one next to the border changes over.
        border = min(max(_border(self.validation_fraction), known[0] + 1), known[-1])
        yield from _documents(self.texts, [key is not None and key < border for key in keys], seen, of=len(keys))


@dataclass(frozen=True)
class SplitTexts(Corpus):
    """Texts of which whole files are held back because they are called so. Equal ones are left out of training."""

    texts: Texts
    own: Texts

    def read(self, seen: ReadCounts) -> Iterator[Span]:
        """See :meth:`Corpus.read`."""
        files = self.texts.documents + self.own.documents
        known = {key for key in _keys(self.own) if key is not None}
        yield from _documents(self.own, [True] * self.own.documents, seen, of=files)
        sides = [None if key in known else False for key in _keys(self.texts)]
        yield from _documents(self.texts, sides, seen, of=files)
        if not 0 < seen.held_back < seen.documents:
            raise DataError(
                f"Nothing in {self.name} is left to train on: all of its texts are also in the validation set.",
                hint="Use different texts for training and validation.",
            )


def _keys(texts: Texts) -> list[int | None]:
    """Return what decides on which side each text is, ``None`` where there is nothing but blanks."""
    return [None if found.is_blank else key_of_text(found.digest) for found in texts.measured]


def _documents(texts: Texts, sides: Sequence[bool | None], seen: ReadCounts, *, of: int) -> Iterator[Span]:
    """Yield texts that are held back or not, as their side says, or left out without one; as blank ones are."""
    number = 0
    for piece in texts.pieces():
        side, is_blank = sides[number], texts.measured[number].is_blank
        if side is not None and not is_blank:
            seen.characters += len(piece.text)
            yield Span(piece.text, side, piece.ends_document)
        if piece.ends_document:
            number += 1
            if is_blank:
                seen.empty += 1
            elif side is None:
                seen.in_both += 1
            else:
                seen.documents += 1
                seen.held_back += side
            seen.share = (seen.empty + seen.in_both + seen.documents) / of


@dataclass(frozen=True)
class TableTexts(Corpus):
    """The texts of a table, each of which is a document."""

    table: Table
    column: str

    def read(self, seen: ReadCounts) -> Iterator[Span]:
        """See :meth:`Corpus.read`.

        The part of a document follows from its own text, so that the same text is never in both.
        """
        own = self.table.own_validation
        border = _border(self.validation_fraction)
        known = set()
        if own is not None:
            for text in self._texts(own, seen):
                known.add(key_of_text(text))
                yield self._counted(text, seen, held_back=True)
        for number, text in enumerate(self._texts(self.table, seen)):
            key = key_of_text(text)
            if self.table.count:
                seen.share = number / self.table.count
            else:
                seen.share = min(0.99, seen.characters / self.table.size)
            if own is None:
                yield self._counted(text, seen, held_back=key < border)
            elif key in known:
                seen.in_both += 1
            else:
                yield self._counted(text, seen, held_back=False)
        if not 0 < seen.held_back < seen.documents:
            raise self._one_sided(seen)

    def _one_sided(self, seen: ReadCounts) -> DataError:
        part = "validation" if seen.held_back == 0 else "training"
        told = f"The {part} set of {self.name} is empty: there are {seen.documents:,} texts, and "
        different = len({key_of_text(text) for text in self._texts(self.table, ReadCounts())})
        if self.table.own_validation is None and different < seen.documents:
            return DataError(
                f"{told}only {different:,} of them are different. Identical texts are never divided.",
                hint=f"Add different texts. Is {self.column} the right text column? Set data.columns if not.",
            )
        return DataError(
            f"{told}{seen.held_back:,} of them are for validation.",
            hint="Add different texts, or set data.validation_fraction to 0.1 or more.",
        )

    def _texts(self, table: Table, seen: ReadCounts) -> Iterator[str]:
        for (value,) in table.rows([self.column]):
            if value is None or not str(value).strip():
                seen.empty += 1
            else:
                yield str(value)

    def _counted(self, text: str, seen: ReadCounts, *, held_back: bool) -> Span:
        seen.documents += 1
        seen.held_back += held_back
        seen.characters += len(text)
        return Span(text, held_back, closes=True)


def key_of_text(text: str) -> int:
    """Return what decides on which side a text is; equal texts have equal keys."""
    return int(key_of("part", text))


def _border(validation_fraction: float) -> int:
    """Return the key below which a document is held back."""
    return int(validation_fraction * 2**64)


def open_corpus(data: DataSpec, task: Task) -> Corpus:
    """Open the texts that a spec names.

    Raises
    ------
    DataError
        If they are missing or can't be read, or no column of a table is the text.
    """
    opened = open_data(data)
    fraction = data.validation_fraction
    if isinstance(opened, Texts):
        if opened.own_validation is not None:
            own, name = opened.own_validation, opened.name
            return SplitTexts(name, opened.fingerprint, opened.has_documents, opened.notes, fraction, opened, own)
        if opened.documents == 1:
            return OneText(opened.name, opened.fingerprint, False, opened.notes, fraction, opened)
        return SeveralTexts(opened.name, opened.fingerprint, True, opened.notes, fraction, opened)
    column = map_columns(opened, task, data.columns).roles["text"]
    fingerprint = hashlib.sha256(f"{opened.fingerprint}/{column}".encode("utf-8", "surrogatepass")).hexdigest()
    return TableTexts(opened.name, fingerprint, True, opened.notes, fraction, opened, column)
