"""Text to numbers and back: by bytes, by characters, or by pieces that byte-level BPE learns."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tb_widgets.errors import DataError
from tb_widgets.spec import TokenizerSpec

Ids = NDArray[np.integer[Any]]

_SMALL, _BPE = "tb_tokenizer.json", "tokenizer.json"
_CHUNK, _LONGEST_CHUNK = 8192, 65536
_BYTE_VALUES = 256


class Tokenizer(ABC):
    """Turns text into token ids, ``0 <= id < vocab_size``, and back.

    Attributes
    ----------
    kind
        ``byte``, ``char`` or ``bpe``.
    vocab_size
        Number of different ids.
    note
        A sentence for the user where the tokenizer differs from what was asked for, else empty.
    """

    kind: str
    vocab_size: int
    note: str = ""

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
    vocab_size = _BYTE_VALUES

    def encode(self, text: str) -> Ids:
        """Return one id for each byte."""
        return np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)

    def decode(self, ids: Any) -> str:
        """Return the text of the bytes."""
        return np.asarray(ids).astype(np.uint8).tobytes().decode("utf-8", "replace")

    def _content(self) -> tuple[str, str]:
        return _SMALL, json.dumps({"kind": "byte"})


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

    def _content(self) -> tuple[str, str]:
        return _SMALL, json.dumps({"kind": "char", "characters": self.characters})


class BpeTokenizer(Tokenizer):
    """Byte-level byte pair encoding by the ``tokenizers`` library: knows every text, frequent pieces are one id."""

    kind = "bpe"

    def __init__(self, core: Any, note: str = "") -> None:
        self._core = core
        self.vocab_size = core.get_vocab_size()
        self.note = note

    def encode(self, text: str) -> Ids:
        """Return the ids of the pieces; a long text is encoded in chunks that end at line breaks."""
        encodings = self._core.encode_batch_fast(list(chunks(text)), add_special_tokens=False)
        parts = [np.asarray(encoding.ids, dtype=np.uint32) for encoding in encodings]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint32)

    def encode_all(self, texts: Sequence[str]) -> list[Ids]:
        """Return the ids of the pieces of each text, all texts at once."""
        encodings = self._core.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.asarray(encoding.ids, dtype=np.uint32) for encoding in encodings]

    def decode(self, ids: Any) -> str:
        """Return the text of the pieces."""
        text: str = self._core.decode(np.asarray(ids, dtype=np.int64).tolist(), skip_special_tokens=False)
        return text

    def _content(self) -> tuple[str, str]:
        return _BPE, self._core.to_str(pretty=False)


def chunks(text: str) -> Iterator[str]:
    """Cut a text into pieces of about 8,192 characters that end at line breaks, for the parallel encoder.

    Where the cuts fall depends on the text alone, so the same text always gives the same tokens.
    """
    start = 0
    while start < len(text):
        found = text.find("\n", start + _CHUNK, start + _LONGEST_CHUNK)
        end = found + 1 if found >= 0 else start + _LONGEST_CHUNK
        yield text[start:end]
        start = end


def train_tokenizer(spec: TokenizerSpec, text: str) -> Tokenizer:
    """Make a tokenizer for a text.

    Raises
    ------
    DataError
        If a byte-level BPE is asked to be smaller than the 256 bytes that it starts from.
    """
    if spec.kind == "byte":
        return ByteTokenizer()
    if spec.kind == "char":
        return CharTokenizer("".join(sorted(set(text))))
    if spec.vocab_size < _BYTE_VALUES:
        raise DataError(
            f"tokenizer.vocab_size is {spec.vocab_size}, and bpe starts from the {_BYTE_VALUES} bytes.",
            hint=f"Set it to {_BYTE_VALUES} or more (512 to 4,096 suit small texts), or set tokenizer.kind to char.",
        )
    return _train_bpe(spec.vocab_size, text)


def _train_bpe(vocab_size: int, text: str) -> BpeTokenizer:
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    core = tokenizers.Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        # A piece that occurs once teaches nothing: its embedding would be trained once per pass.
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(chunks(text), trainer)
    learned = core.get_vocab_size()
    note = ""
    if learned < vocab_size:
        note = f"The text bears a vocabulary of {learned:,} pieces; {vocab_size:,} were asked for."
    return BpeTokenizer(core, note)


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load a tokenizer from the folder it was saved in.

    Raises
    ------
    DataError
        If there is none, or its file is damaged.
    """
    for name in (_BPE, _SMALL):
        path = folder / name
        if path.exists():
            try:
                content = path.read_text(encoding="utf-8")
                return _load(name, content)
            except Exception as error:  # the tokenizers library raises bare Exception
                raise DataError(
                    f"The tokenizer {path} can't be read: {error}.", hint="Copy it again from where the run was made."
                ) from error
    raise DataError(f"There is no tokenizer in {folder}.", hint=f"It should hold {_BPE} or {_SMALL}.")


def _load(name: str, content: str) -> Tokenizer:
    if name == _BPE:
        import tokenizers

        return BpeTokenizer(tokenizers.Tokenizer.from_str(content))
    described = json.loads(content)
    if described["kind"] == "byte":
        return ByteTokenizer()
    return CharTokenizer(described["characters"])
