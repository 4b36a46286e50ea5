"""Examples as files of token ids in the cache: made once, in bounded memory. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tb_widgets.data.batches.token_files import read_stream
from tb_widgets.data.cache.built import built_folder, entry_key
from tb_widgets.data.cache.limit import growth_check
from tb_widgets.data.reading.examples import Example, ExampleSet
from tb_widgets.data.refusals import pairs_too_long
from tb_widgets.data.tokenizers.make import Ids, Tokenizer
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec

_META = "examples.json"
_AT_ONCE = 1024  # examples that the tokenizer gets together
_PARTS = ("train", "validation")


@dataclass(frozen=True)
class TokenRows:
    """Rows of token ids of different lengths, one after the other in a file."""

    ids: NDArray[Any]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int | np.int64) -> Ids:
        begin = self.ends[number - 1] if number else 0
        return self.ids[begin : self.ends[number]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row."""
        return np.diff(self.ends, prepend=0)


@dataclass(frozen=True)
class EncodedPart:
    """Training or validation examples.

    Attributes
    ----------
    texts
        Token ids of each text.
    answers
        Token ids of each one's answer; of no length where classes are answers.
    classes
        The number of each one's class, ``None`` where texts are answers.
    """

    texts: TokenRows
    answers: TokenRows
    classes: NDArray[np.int64] | None

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text with its answer."""
        return self.texts.lengths + (self.answers.lengths if self.classes is None else 0)


@dataclass(frozen=True)
class EncodedExamples:
    """Both parts, mapped into memory, and what is known of them."""

    train: EncodedPart
    validation: EncodedPart
    fingerprint: str
    statistics: dict[str, Any]
    notes: tuple[str, ...]


def encode_examples(
    found: ExampleSet,
    data: DataSpec,
    tokenizer: Tokenizer,
    cache_dir: Path,
    on_rows: Callable[[int], None],
    *,
    on_wait: Callable[[], None] = lambda: None,
) -> Path:
    """Return the folder with the examples as token ids, made now if the cache has none.

    ``on_rows`` is told how many rows are done.

    Raises
    ------
    DataError
        If a pair is too long and may not be cut, or a part would be empty.
    """
    key = entry_key(
        what="examples",
        examples=found.fingerprint,
        held_back=data.validation_fraction,
        context=data.context_length,
        long_pairs=data.long_pairs,
        by=hashlib.sha256(tokenizer.serialized().encode("utf-8")).hexdigest(),
    )
    return built_folder(cache_dir, key, lambda folder: _build(folder, found, data, tokenizer, on_rows), on_wait=on_wait)


def read_encoded(folder: Path) -> EncodedExamples:
    """Map the files of a folder that :func:`encode_examples` made."""
    meta = json.loads((folder / _META).read_text(encoding="utf-8"))

    def rows(name: str) -> TokenRows:
        # Plain views: the memmap class would add its own cost to every row.
        ids, ends = read_stream(folder / f"{name}.bin", meta["dtype"]), read_stream(folder / f"{name}.ends", "<i8")
        return TokenRows(ids.view(np.ndarray), ends.view(np.ndarray))

    def part(name: str) -> EncodedPart:
        classes = read_stream(folder / f"{name}-classes.bin", "<i8") if meta["classified"] else None
        return EncodedPart(rows(f"{name}-texts"), rows(f"{name}-answers"), classes)

    train, validation = (part(name) for name in _PARTS)
    return EncodedExamples(train, validation, meta["fingerprint"], meta["statistics"], tuple(meta["notes"]))


class _Part:
    """The files of one part while they are written."""

    def __init__(self, folder: Path, name: str, dtype: str) -> None:
        self._dtype = dtype
        self._files = {row: (folder / f"{name}-{row}.bin").open("wb") for row in ("texts", "answers")}
        self._ends = {row: array("q") for row in self._files}
        self._folder, self._name = folder, name
        self._classes = array("q")

    def add(self, text: Ids, answer: Ids | int) -> None:
        self._write("texts", text)
        if isinstance(answer, int):
            self._classes.append(answer)
        else:
            self._write("answers", answer)

    def _write(self, row: str, ids: Ids) -> None:
        ends = self._ends[row]
        ends.append((ends[-1] if ends else 0) + len(ids))
        file: BinaryIO = self._files[row]
        file.write(ids.astype(self._dtype).data)

    @property
    def size(self) -> int:
        """Bytes of its files by now."""
        return sum(file.tell() for file in self._files.values()) + 8 * sum(
            map(len, (*self._ends.values(), self._classes))
        )

    def close(self) -> int:
        """Finish the files, and return how many examples there are."""
        for row, file in self._files.items():
            file.close()
            (self._folder / f"{self._name}-{row}.ends").write_bytes(np.asarray(self._ends[row], dtype="<i8").data)
        (self._folder / f"{self._name}-classes.bin").write_bytes(np.asarray(self._classes, dtype="<i8").data)
        return len(self._ends["texts"])


@dataclass
class _Tally:
    """Counts of rows by what became of them."""

    left_out: int = 0
    unreadable: int = 0
    too_long: int = 0
    longest: int = 0
    kept: int = 0


def _build(
    folder: Path, found: ExampleSet, data: DataSpec, tokenizer: Tokenizer, on_rows: Callable[[int], None]
) -> None:
    dtype = "<u2" if tokenizer.vocab_size <= 2**16 else "<u4"
    parts = [_Part(folder, name, dtype) for name in _PARTS]
    numbers = {name: number for number, name in enumerate(found.classes)}
    tally, check_growth = _Tally(), growth_check()
    rows = found.rows(data)
    while batch := list(islice(rows, _AT_ONCE)):
        tally.left_out += sum(row is None for row in batch)
        kept = [row for row in batch if row is not None]
        for (is_held_back, _), (text, answer) in zip(kept, _encoded(kept, numbers, tokenizer), strict=True):
            made = _fitted(text, answer, data, tally)
            if made is not None:
                parts[is_held_back].add(*made)
        check_growth(sum(part.size for part in parts))
        on_rows(tally.kept + tally.unreadable + tally.left_out)
    counts = [part.close() for part in parts]
    _check(found, data, tally, counts)
    described = {
        "dtype": dtype,
        "classified": bool(found.classes),
        "fingerprint": _digest(folder),
        "statistics": {
            "train_examples": counts[0],
            "validation_examples": counts[1],
            "vocab_size": tokenizer.vocab_size,
            "tokens_per_example": round((folder / "train-texts.bin").stat().st_size / int(dtype[2]) / counts[0], 1),
            "left_out": tally.left_out + tally.unreadable,
            "too_long": tally.too_long,
        },
        "notes": list(_notes(found, data, tally)),
    }
    (folder / _META).write_text(json.dumps(described), encoding="utf-8")


def _encoded(
    rows: list[tuple[bool, Example]], numbers: dict[str, int], tokenizer: Tokenizer
) -> Iterator[tuple[Ids, Ids | int]]:
    texts = tokenizer.encode_all([example.text for _, example in rows])
    if numbers:
        yield from zip(texts, (numbers[example.answer] for _, example in rows), strict=True)
    else:
        yield from zip(texts, tokenizer.encode_all([example.answer for _, example in rows]), strict=True)


def _fitted(text: Ids, answer: Ids | int, data: DataSpec, tally: _Tally) -> tuple[Ids, Ids | int] | None:
    """Return an example as long as the context allows; ``None`` where it is to be left out."""
    if not len(text) or (not isinstance(answer, int) and not len(answer)):
        tally.unreadable += 1
        return None
    tally.kept += 1
    if isinstance(answer, int):
        tally.too_long += len(text) > data.context_length
        return text[: data.context_length], answer
    length = 1 + max(len(text), len(answer))
    tally.longest = max(tally.longest, length)
    if length <= data.context_length:
        return text, answer
    tally.too_long += 1
    room = data.context_length - 1
    return (text[:room], answer[:room]) if data.long_pairs == "cut" else None


def _check(found: ExampleSet, data: DataSpec, tally: _Tally, counts: list[int]) -> None:
    if tally.too_long and not found.classes and data.long_pairs == "refuse":
        raise pairs_too_long(
            found.name,
            longest=tally.longest,
            context_length=data.context_length,
            too_long=tally.too_long,
            pairs=tally.kept,
        )
    if not sum(counts):
        raise DataError(
            f"{found.name} has no row with a {' and a '.join(found.sides)}.",
            hint="Check data.columns: are these the right ones?",
        )
    if not all(counts):
        raise DataError(
            f"data.validation_fraction is {data.validation_fraction}, which leaves one set of {found.name} empty.",
            hint="Set it to 0.1, or add examples.",
        )


def _notes(found: ExampleSet, data: DataSpec, tally: _Tally) -> Iterator[str]:
    rows = tally.kept + tally.unreadable + tally.left_out
    if left_out := tally.left_out + tally.unreadable:
        yield f"Skipped {left_out:,} of {rows:,} rows of {found.name} without a {' or a '.join(found.sides)}."
    if tally.too_long:
        what = "texts" if found.classes else "pairs"
        done = "skipped" if not found.classes and data.long_pairs == "leave-out" else "truncated"
        share = f"{tally.too_long / tally.kept:.1%}".replace("%", " %")
        share = "Fewer than 0.1 %" if share == "0.0 %" else share
        yield f"{share} of the {what} are longer than data.context_length ({data.context_length:,} tokens): {done}."


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(f"/{path.name}/{path.stat().st_size}/".encode())
        with path.open("rb") as file:
            while chunk := file.read(2**20):
                digest.update(chunk)
    return digest.hexdigest()
