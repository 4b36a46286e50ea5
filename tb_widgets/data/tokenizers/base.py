"""What every tokenizer can do, and the two that need no library: bytes and characters. Imports no torch."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tb_widgets.errors import DataError

Ids = NDArray[np.integer[Any]]

SMALL_FILE = "tb_tokenizer.json"
"""What a byte or char tokenizer is saved as."""

BYTE_VALUES = 256
_CHUNK, _LONGEST_CHUNK = 8192, 65536


class Tokenizer(ABC):
    """Turns text into token ids, ``0 <= id < vocab_size``, and back.

    Attributes
    ----------
    kind
        ``byte``, ``char``, ``bpe``, ``unigram``, or what else a file holds (``wordpiece``, ``wordlevel``).
    vocab_size
        Number of different ids.
    note
        A sentence for the user where the tokenizer differs from what was asked for, else empty.
    special
        Ids of its own special tokens by role: ``pad``, ``mask``, ``start``, ``end`` and ``unknown``.
    learned_from
        Characters of the text that pieces were learned from; ``None`` where none were, or where it is not known.
    """

    kind: str
    vocab_size: int
    note: str = ""
    special: Mapping[str, int] = MappingProxyType({})
    learned_from: int | None = None

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """Return the token ids of a text, ``(tokens,)``."""

    def encode_all(self, texts: Sequence[str]) -> list[Ids]:
        """Return the token ids of each text by itself."""
        return [self.encode(text) for text in texts]

    @abstractmethod
    def decode(self, ids: Any) -> str:
        """Return the text of token ids (any sequence of whole numbers); bytes that form no character become U+FFFD."""

    @abstractmethod
    def byte_counts(self) -> NDArray[np.int64]:
        """Return the bytes of UTF-8 that each id stands for, ``(vocab_size,)``; -1 where they are not known."""

    @abstractmethod
    def _content(self) -> tuple[str, str]:
        """Return file name and content of the saved form."""

    def save(self, folder: Path) -> None:
        """Write the tokenizer into ``folder``, which is created.

        Raises
        ------
        DataError
            If it can't be written.
        """
        try:
            self.write(folder)
        except OSError as error:
            raise DataError(
                f"The tokenizer can't be written to {folder}: {error.strerror}.", hint="Check space and permissions."
            ) from error

    def write(self, folder: Path) -> None:
        """Do as :meth:`save` does, for callers with better words for the OSError than we have here."""
        name, content = self._content()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")

    def serialized(self) -> str:
        """Return the saved form as text; equal texts mean equal tokenizers."""
        return self._content()[1]


class ByteTokenizer(Tokenizer):
    """The 256 values of a byte in UTF-8. Knows every text, learns nothing."""

    kind = "byte"
    vocab_size = BYTE_VALUES

    def encode(self, text: str) -> Ids:
        """Return one id for each byte."""
        return np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)

    def decode(self, ids: Any) -> str:
        """Return the text of the bytes."""
        return np.asarray(ids).astype(np.uint8).tobytes().decode("utf-8", "replace")

    def byte_counts(self) -> NDArray[np.int64]:
        """Return 1 for each."""
        return np.ones(BYTE_VALUES, np.int64)

    def _content(self) -> tuple[str, str]:
        return SMALL_FILE, json.dumps({"kind": "byte"})


class CharTokenizer(Tokenizer):
    """One id for each character of the training text, and id 0 for any other, which reads back as U+FFFD."""

    kind = "char"

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self.vocab_size = len(characters) + 1
        self._codes = np.array([0xFFFD, *map(ord, characters)], dtype="<u4")
        # One entry for each code point up to the highest known one, and one more for everything above.
        self._ids = np.zeros(int(self._codes[1:].max(initial=0)) + 2, dtype=np.uint32)
        self._ids[self._codes[1:]] = np.arange(1, self.vocab_size, dtype=np.uint32)

    def encode(self, text: str) -> Ids:
        """Return one id for each character."""
        codes = np.frombuffer(text.encode("utf-32-le", "replace"), dtype="<u4")
        ids: Ids = self._ids[np.minimum(codes, len(self._ids) - 1)]
        return ids

    def decode(self, ids: Any) -> str:
        """Return the characters."""
        return self._codes[np.asarray(ids, dtype=np.int64)].tobytes().decode("utf-32-le")

    def byte_counts(self) -> NDArray[np.int64]:
        """Return the length of each character in UTF-8."""
        return np.array([-1, *(len(character.encode("utf-8", "replace")) for character in self.characters)], np.int64)

    def _content(self) -> tuple[str, str]:
        return SMALL_FILE, json.dumps({"kind": "char", "characters": self.characters})


def chunks(text: str) -> Iterator[str]:
    """Cut a text into pieces of about 8,192 characters that end at line breaks, for the parallel encoder.

    Where the cuts fall depends on the text alone, so the same text always gives the same tokens.
    """
    start = 0
    for end in chunk_ends(text, is_whole=True):
        yield text[start:end]
        start = end


def chunk_ends(text: str, *, is_whole: bool) -> Iterator[int]:
    """Yield where the chunks of a text end; of a text that goes on, those that are certain already."""
    start = 0
    while start < len(text) if is_whole else start + _LONGEST_CHUNK <= len(text):
        found = text.find("\n", start + _CHUNK, start + _LONGEST_CHUNK)
        start = found + 1 if found >= 0 else min(start + _LONGEST_CHUNK, len(text))
        yield start
