"""Text to numbers and back: by bytes, by characters, or by pieces that are learned or brought along."""

from __future__ import annotations

import json
from pathlib import Path

from tb_widgets.data.formats.values import well_formed
from tb_widgets.data.tokenizers.base import SMALL_FILE, ByteTokenizer, CharTokenizer, Ids, Tokenizer, chunk_ends, chunks
from tb_widgets.data.tokenizers.pieces import PIECES_FILE, PieceTokenizer, learn_bpe, learn_unigram, open_pieces
from tb_widgets.errors import DataError
from tb_widgets.spec import TokenizerSpec

__all__ = [
    "Ids",
    "Tokenizer",
    "chunk_ends",
    "chunks",
    "load_tokenizer",
    "read_tokenizer_file",
    "tokenizer_file",
    "train_tokenizer",
]


def train_tokenizer(spec: TokenizerSpec, text: str) -> Tokenizer:
    """Make a tokenizer for a text.

    Raises
    ------
    DataError
        If a file can't be read.
    """
    text = well_formed(text)
    if spec.kind == "byte":
        return ByteTokenizer()
    if spec.kind == "char":
        return CharTokenizer("".join(sorted(set(text))))
    if spec.kind == "file":
        return open_pieces(tokenizer_file(spec), read_tokenizer_file(spec), text)
    return (learn_bpe if spec.kind == "bpe" else learn_unigram)(spec.vocab_size, text)


def tokenizer_file(spec: TokenizerSpec) -> Path:
    """Return the file that a spec with the tokenizer ``file`` names.

    Raises
    ------
    DataError
        If it names none, or one of the Hub that was not fetched.
    """
    if spec.file is None:
        raise DataError(
            "tokenizer.kind is file, but tokenizer.file is empty.",
            hint="Set tokenizer.file to the path of a tokenizer.json, or tokenizer.kind to bpe.",
        )
    if spec.file.startswith("hub:"):
        from tb_widgets.data.sources.fetching import local_tokenizer

        return local_tokenizer(spec.file)
    return Path(spec.file).expanduser()


def read_tokenizer_file(spec: TokenizerSpec) -> str:
    """Return the content of the file that a spec with the tokenizer ``file`` names.

    Raises
    ------
    DataError
        If it names none, or the file can't be read.
    """
    path = tokenizer_file(spec)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"tokenizer.file: {path} can't be read: {getattr(error, 'strerror', None) or error}.",
            hint="Give the path of a tokenizer.json.",
        ) from error


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load a tokenizer from the folder it was saved in.

    Raises
    ------
    DataError
        If there is none, or its file is damaged.
    """
    for name in (PIECES_FILE, SMALL_FILE):
        path = folder / name
        if path.exists():
            try:
                content = path.read_text(encoding="utf-8")
                return PieceTokenizer(content) if name == PIECES_FILE else _small(content)
            except Exception as error:  # the tokenizers library raises bare Exception
                raise DataError(
                    f"The tokenizer {path} can't be read: {error}.", hint="Copy it again from where the run was made."
                ) from error
    raise DataError(f"There is no tokenizer in {folder}.", hint=f"It should contain {PIECES_FILE} or {SMALL_FILE}.")


def _small(content: str) -> Tokenizer:
    described = json.loads(content)
    if described["kind"] == "byte":
        return ByteTokenizer()
    return CharTokenizer(described["characters"])
