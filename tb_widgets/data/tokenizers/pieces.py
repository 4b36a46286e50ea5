"""Tokenizers of the ``tokenizers`` library: learned from a text (BPE, Unigram), or brought along as a file."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tb_widgets.data.formats.values import well_formed
from tb_widgets.data.tokenizers.base import BYTE_VALUES, Ids, Tokenizer, chunks
from tb_widgets.data.tokenizers.fast_words import WORD_PATTERN, WordTable
from tb_widgets.errors import DataError

PIECES_FILE = "tokenizer.json"
"""What a tokenizer of pieces is saved as: the library's own format."""

UNKNOWN = "\ufffd"

# The table of words pays from here on; what is shorter goes to the library directly.
_MANY_CHARACTERS = 100_000
_ROUND_TRIP = 20_000  # characters that are encoded and read back
# How files write the special tokens that a task needs, by role; the first that a file has counts.
_ROLES = {
    "pad": ("[PAD]", "<pad>", "<|pad|>", "<|padding|>", "<|finetune_right_pad_id|>"),
    "mask": ("[MASK]", "<mask>"),
    "start": ("[CLS]", "<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>"),
    "end": ("[SEP]", "</s>", "<eos>", "<|endoftext|>", "<|end_of_text|>"),
    "unknown": ("[UNK]", "<unk>"),
}


class PieceTokenizer(Tokenizer):
    """Pieces of words, by the ``tokenizers`` library.

    Parameters
    ----------
    content
        What a ``tokenizer.json`` holds; it is saved as it came, because the library changes last digits of numbers.
    note
        See :class:`Tokenizer`.
    """

    def __init__(self, content: str, note: str = "") -> None:
        import tokenizers

        core = tokenizers.Tokenizer.from_str(content)
        core.no_truncation()
        core.no_padding()
        # What stands in a text is text, whatever a special token is called: only the product itself writes those.
        core.encode_special_tokens = True
        self._core = core
        self._serialized = content
        self.note = note
        described = json.loads(content)
        ids = core.get_vocab(with_added_tokens=True)
        # A file may leave ids out.
        self.vocab_size = max(ids.values(), default=-1) + 1
        self.kind = str(described["model"]["type"]).lower()
        # Only tokens that were added count: a text may well hold "<s>", and pieces be learned from it.
        added = {token["content"]: token["id"] for token in described["added_tokens"]}
        found = {role: next((added[name] for name in names if name in added), None) for role, names in _ROLES.items()}
        self.special = MappingProxyType({role: token for role, token in found.items() if token is not None})
        # Files do not mark all of them as special.
        core.add_special_tokens([name for name, token in added.items() if token in self.special.values()])
        tokens = core.get_added_tokens_decoder()
        self._added = tuple(token.content for token in tokens.values() if not token.special)
        names = [token.content for token in tokens.values() if token.special and len(token.content) > 1]
        self._special_name = re.compile("|".join(map(re.escape, names)) or "(?!)")
        self._never_text = np.array([number for number, token in tokens.items() if token.content in names], np.uint32)
        self._never_text = self._never_text[self._never_text != self.special.get("unknown", -1)]
        self._words = WordTable(core) if _cuts_into_words(described) else None
        cutter = str(described["pre_tokenizer"])
        self._are_pieces_bytes = "'type': 'ByteLevel'" in cutter
        keeps = described["normalizer"] is None and "'add_prefix_space': True" not in cutter
        self._are_pieces_text = self._words is not None or (self._are_pieces_bytes and keeps)

    def encode(self, text: str) -> Ids:
        """Return the ids of the pieces; a long text is encoded in chunks that end at line breaks."""
        parts = self.encode_all(list(chunks(text)))
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint32)

    def encode_all(self, texts: Sequence[str]) -> list[Ids]:
        """Return the ids of the pieces of each text; several threads may ask at once."""
        texts = [well_formed(text) for text in texts]
        if self._words is not None and sum(map(len, texts)) >= _MANY_CHARACTERS and all(texts):
            joined = "".join(texts)
            if not any(token in joined for token in self._added):
                return self._words.encode_all(texts)
        return [
            self._without_specials(text) if np.isin(ids, self._never_text).any() else ids
            for text, ids in zip(texts, self._ids(texts), strict=True)
        ]

    def _ids(self, texts: Sequence[str]) -> list[Ids]:
        encodings = self._core.encode_batch_fast(texts, add_special_tokens=False)
        return [np.asarray(encoding.ids, dtype=np.uint32) for encoding in encodings]

    def _without_specials(self, text: str) -> Ids:
        """Encode a text in parts, where the model knows the name of a special token that stands in it as a piece."""
        places = [0, *(found.start() + 1 for found in self._special_name.finditer(text)), len(text)]
        return np.concatenate(self._ids([text[start:end] for start, end in pairwise(places)]))

    def decode(self, ids: Any) -> str:
        """Return the text of the pieces."""
        text: str = self._core.decode(np.asarray(ids, dtype=np.int64).tolist(), skip_special_tokens=False)
        return text

    def byte_counts(self) -> NDArray[np.int64]:
        """Return the length of each piece, where the tokenizer cuts texts into pieces and changes nothing."""
        counts = np.full(self.vocab_size, -1, np.int64)
        if self._are_pieces_text:
            # At the level of bytes, a piece is written with one character for each.
            for piece, number in self._core.get_vocab(with_added_tokens=False).items():
                counts[number] = len(piece) if self._are_pieces_bytes else len(piece.encode())
            unknown = (self._core.token_to_id(UNKNOWN), self.special.get("unknown"))
            counts[[number for number in unknown if number is not None]] = -1
        return counts

    def _content(self) -> tuple[str, str]:
        return PIECES_FILE, self._serialized


def _cuts_into_words(described: dict[str, Any]) -> bool:
    """Tell whether a tokenizer cuts a text by :data:`WORD_PATTERN` alone and then looks at each word by itself."""
    model, cutter = described["model"], described["pre_tokenizer"] or {}
    if described["normalizer"] is not None or model.get("dropout") or model["type"] not in ("BPE", "Unigram"):
        return False
    if cutter.get("type") == "ByteLevel":
        return cutter["use_regex"] and not cutter["add_prefix_space"]
    return cutter == {"type": "Split", "pattern": {"Regex": WORD_PATTERN}, "behavior": "Isolated", "invert": False}


def learn_bpe(vocab_size: int, text: str) -> PieceTokenizer:
    """Learn byte-level byte pair encoding: it knows every text, and frequent pieces are one id.

    Where it is to be smaller than the 256 bytes that it starts from, it starts from characters; see
    :func:`learn_character_bpe`.
    """
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    if vocab_size < BYTE_VALUES:
        return learn_character_bpe(vocab_size, text)
    core = tokenizers.Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        # A piece that occurs once teaches nothing: its embedding would be trained once per epoch.
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(chunks(text), trainer)
    return PieceTokenizer(core.to_str(), _borne(core.get_vocab_size(), vocab_size))


def learn_character_bpe(vocab_size: int, text: str) -> PieceTokenizer:
    """Learn byte pair encoding that starts from the characters of a text instead of bytes.

    It knows the most frequent ones where the vocabulary can't hold them all; any other is id 0, which reads back as
    U+FFFD.
    """
    import tokenizers
    from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

    counts = Counter(text)
    rare = _rare(counts, vocab_size)
    core = tokenizers.Tokenizer(models.BPE(unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="isolated")
    core.decoder = decoders.Fuse()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, min_frequency=2, special_tokens=[UNKNOWN], show_progress=False)
    core.train_from_iterator((chunk.translate(rare) if rare else chunk for chunk in chunks(text)), trainer)
    # The unknown token is a piece like others, and not looked for in texts.
    learned = json.loads(core.to_str()) | {"added_tokens": []}
    note = _unknown(counts, rare, vocab_size) if rare else _borne(core.get_vocab_size(), vocab_size)
    return PieceTokenizer(json.dumps(learned, ensure_ascii=False), note)


def _rare(counts: Counter[str], vocab_size: int) -> dict[int, None]:
    """Return the characters that a vocabulary can't hold beside the unknown token, for ``str.translate``."""
    return {ord(character): None for character, _ in counts.most_common()[vocab_size - 1 :]}


def _unknown(counts: Counter[str], rare: dict[int, None], vocab_size: int) -> str:
    share = sum(counts[chr(code)] for code in rare) / counts.total()
    return (
        f"The text has {len(counts):,} different characters; the {len(rare):,} rarest ({100 * share:.2f} % of the "
        f"text) do not fit a vocabulary of {vocab_size:,} and become the unknown token."
    )


def learn_unigram(vocab_size: int, text: str) -> PieceTokenizer:
    """Learn the pieces that make a text likeliest (Kudo, "Subword Regularization", 2018).

    It knows the characters of the text, the most frequent ones where the vocabulary can't hold them all; any other is
    id 0, which reads back as U+FFFD. The pieces' scores differ a little from one learning to the next.
    """
    import tokenizers
    from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

    counts = Counter(text)
    rare = _rare(counts, vocab_size)
    cutter = pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="isolated")
    learner = tokenizers.Tokenizer(models.Unigram())
    learner.pre_tokenizer = cutter
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size, unk_token=UNKNOWN, special_tokens=[UNKNOWN], show_progress=False
    )
    learner.train_from_iterator((chunk.translate(rare) if rare else chunk for chunk in chunks(text)), trainer)
    learned = [(piece, score) for piece, score in json.loads(learner.to_str())["model"]["vocab"] if piece != UNKNOWN]
    learned = [(piece, round(score, 6)) for piece, score in learned]  # read back as they are written
    # The library keeps a few more than it was asked for. Single characters stay: without them text would be lost.
    room = vocab_size - 1 - sum(len(piece) == 1 for piece, _ in learned)
    longer = set([piece for piece, _ in learned if len(piece) > 1][:room])
    kept = [(UNKNOWN, 0.0)] + [(piece, score) for piece, score in learned if len(piece) == 1 or piece in longer]
    core = tokenizers.Tokenizer(models.Unigram(kept, unk_id=0))
    core.pre_tokenizer = cutter
    core.decoder = decoders.Fuse()
    note = _unknown(counts, rare, vocab_size) if rare else _borne(len(kept), vocab_size)
    return PieceTokenizer(core.to_str(), note)


def _borne(learned: int, wanted: int) -> str:
    if learned == wanted:
        return ""
    return f"This text only supports a vocabulary of {learned:,} tokens (you asked for {wanted:,})."


def open_pieces(path: Path, content: str, text: str) -> PieceTokenizer:
    """Return the tokenizer that a file of the user's holds; its note says where it does not give back a text.

    Raises
    ------
    DataError
        If the ``tokenizers`` library can't read it.
    """
    try:
        made = PieceTokenizer(content)
    except Exception as error:  # the tokenizers library raises bare Exception
        raise DataError(
            f"tokenizer.file: {path} is not a tokenizer of the tokenizers library: {error}.",
            hint="Use a tokenizer.json as save_pretrained writes it; vocab.txt, tokenizer.model and "
            "tokenizer_config.json are not a whole tokenizer.",
        ) from error
    made.note = _lost(made, text[:_ROUND_TRIP])
    return made


def _lost(tokenizer: Tokenizer, text: str) -> str:
    """Say what a tokenizer makes of a text that it does not give back, by the first line that it changes."""
    if tokenizer.decode(tokenizer.encode(text)) == text:
        return ""
    for line in text.splitlines():
        read = tokenizer.decode(tokenizer.encode(line))
        if read != line:
            return (
                f"The tokenizer does not preserve the text: {line.strip()[:60]!r} becomes "
                f"{read.strip()[:60]!r}. The model can't learn what is lost."
            )
    return "The tokenizer does not preserve the text: it loses line breaks, which the model can't learn."
