"""Pieces at the speed of a table: each word of a text is encoded once and looked up from then on. Imports no torch.

The ``tokenizers`` library cuts a text into words by a regular expression (that of GPT-2) and encodes each word by
itself. Cutting and looking up are done here, for whole arrays at once; the ids of a word that is new are asked of the
library, so all ids are its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tb_widgets.data.tokenizers.base import Ids

WORD_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What one word is."""

_LETTER, _NUMBER, _OTHER, _BLANK = 0, 1, 2, 3
_PATTERNS = {_LETTER: r"\p{L}", _NUMBER: r"\p{N}", _BLANK: r"\s"}
_SPACE, _QUOTE = ord(" "), ord("'")
_ONE_LETTER = [ord(letter) for letter in "stmd"]
_TWO_LETTERS = [256 * ord(first) + ord(second) for first, second in ("re", "ve", "ll")]

_LONGEST = 15  # bytes of a word that the table holds: two machine words, of which the last byte is the length
_SLOT_BITS = 19
_MOST_WORDS = 200_000  # known at a time, so that memory is bounded
_MIX = np.uint64(0x9E3779B97F4A7C15)
_MIX_HIGH = np.uint64(0xC2B2AE3D27D4EB4F)
# By the length of a word: which bits of its first and second eight bytes are its own.
_LOW_BITS = np.array([(1 << 8 * min(length, 8)) - 1 for length in range(_LONGEST + 1)], dtype=np.uint64)
_HIGH_BITS = np.array([(1 << 8 * max(length - 8, 0)) - 1 for length in range(_LONGEST + 1)], dtype=np.uint64)

Places = NDArray[np.int64]


class WordTable:
    """Encodes texts word by word; several threads may ask at once.

    Parameters
    ----------
    core
        Tokenizer of the ``tokenizers`` library that cuts texts by :data:`WORD_PATTERN` and nothing else.
    """

    def __init__(self, core: Any) -> None:
        self._core = core
        self._known = _Known(core)

    def encode_all(self, texts: Sequence[str]) -> list[Ids]:
        """Return the token ids of each text by itself; none of the texts may be empty."""
        known = self._known
        if known.is_full:
            self._known = known = _Known(self._core)  # who still works with the old one keeps it until then
        text = "".join(texts)
        raw = text.encode("utf-8")
        # Eight bytes are read at the beginning of each word and eight after them, also at the very end.
        padded = np.frombuffer(raw + bytes(16), dtype=np.uint8)
        lengths = np.array([len(text) for text in texts])
        firsts = np.cumsum(lengths) - lengths
        if len(raw) == len(text):
            codes: NDArray[Any] = padded[: len(raw)]
            words = _word_places(codes, firsts)
            places = words
        else:
            codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
            words = _word_places(codes, firsts)
            sizes = 1 + (codes > 0x7F).astype(np.int64) + (codes > 0x7FF) + (codes > 0xFFFF)
            places = (np.cumsum(sizes) - sizes)[words]
        numbers = known.look_up(raw, padded, places, np.diff(places, append=len(raw)))
        ids, counts = known.ids_of(numbers)
        return np.split(ids, (np.cumsum(counts) - counts)[np.searchsorted(words, firsts[1:])])


class _Known:
    """Words and their ids. Nothing that is in it changes, so reading needs no lock."""

    def __init__(self, core: Any) -> None:
        self._core = core
        self._lock = Lock()
        self._numbers: dict[bytes, int] = {}
        # Of each known word: where its ids begin, and how many there are.
        self._firsts, self._counts = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        self._ids, self._used = np.zeros(0, dtype=np.uint32), 0
        # Of each slot: a word as two machine words, and its number.
        slots = 2**_SLOT_BITS
        self._low, self._high = np.zeros(slots, dtype=np.uint64), np.zeros(slots, dtype=np.uint64)
        self._number_in = np.zeros(slots, dtype=np.int64)
        # The word "\n" where it is one piece of its own; it can stand between other words and be told from them.
        line_break = core.encode("\n", add_special_tokens=False)
        self._line_break = line_break.ids[0] if line_break.tokens in (["\n"], ["\u010a"]) else None

    @property
    def is_full(self) -> bool:
        return len(self._numbers) > _MOST_WORDS

    def ids_of(self, numbers: Places) -> tuple[Ids, Places]:
        """Return the ids of words, one after another, and how many each has."""
        counts = self._counts[numbers]
        ends = np.cumsum(counts)
        where = np.repeat(self._firsts[numbers] - (ends - counts), counts) + np.arange(ends[-1])
        return self._ids[where], counts

    def look_up(self, raw: bytes, padded: NDArray[np.uint8], places: Places, lengths: Places) -> Places:
        """Return the number of each word, and learn those that are new."""
        eight = np.ndarray((len(padded) - 7,), "<u8", padded, strides=(1,))
        fitting = np.minimum(lengths, _LONGEST)
        low = eight[places] & _LOW_BITS[fitting]
        high = eight[places + 8 * (lengths > 8)] & _HIGH_BITS[fitting] | fitting.astype(np.uint64) << np.uint64(56)
        slots = ((low * _MIX ^ high * _MIX_HIGH) * _MIX >> np.uint64(64 - _SLOT_BITS)).astype(np.int64)
        is_short = lengths <= _LONGEST
        # Read in the order opposite to that of writing: where these are there, the number is.
        hit = (self._low[slots] == low) & (self._high[slots] == high) & is_short
        numbers = self._number_in[slots]
        missed = np.flatnonzero(~hit)
        if missed.size:
            spans = zip(places[missed].tolist(), lengths[missed].tolist(), strict=True)
            words = [raw[place : place + length] for place, length in spans]
            with self._lock:
                self._learn([word for word in dict.fromkeys(words) if word not in self._numbers])
                numbers[missed] = [self._numbers[word] for word in words]
                # Frequent words come early, so who has a slot keeps it. Of several that want one the first gets it.
                short = missed[is_short[missed]]
                free = short[self._high[slots[short]] == 0]
                free = free[np.unique(slots[free], return_index=True)[1]]
                taken = slots[free]
                self._number_in[taken] = numbers[free]
                self._high[taken] = high[free]
                self._low[taken] = low[free]
        return numbers

    def _learn(self, words: list[bytes]) -> None:
        for some in self._with_ids([word.decode("utf-8") for word in words]):
            names, ids, counts = some
            first, end = len(self._numbers), len(self._numbers) + len(names)
            self._firsts, self._counts = _with_room(self._firsts, end), _with_room(self._counts, end)
            self._firsts[first:end] = self._used + np.cumsum(counts) - counts
            self._counts[first:end] = counts
            self._ids = _with_room(self._ids, self._used + len(ids))
            self._ids[self._used : self._used + len(ids)] = ids
            self._used += len(ids)
            self._numbers.update(zip((name.encode("utf-8") for name in names), range(first, end), strict=True))

    def _with_ids(self, words: list[str]) -> Iterator[tuple[list[str], Ids, Places]]:
        """Ask the library for the ids of words: of most in one question, with a line break after each."""
        blank = words if self._line_break is None else [word for word in words if word.isspace()]
        if blank:
            found = [encoding.ids for encoding in self._core.encode_batch_fast(blank, add_special_tokens=False)]
            flat = np.array([token for ids in found for token in ids], dtype=np.uint32)
            yield blank, flat, np.array([len(ids) for ids in found])
        if len(blank) < len(words):
            rest = [word for word in words if not word.isspace()]
            (encoding,) = self._core.encode_batch_fast(["\n".join(rest) + "\n"], add_special_tokens=False)
            flat = np.array(encoding.ids, dtype=np.uint32)
            is_break = flat == self._line_break
            yield rest, flat[~is_break], np.diff(np.flatnonzero(is_break), prepend=-1) - 1


def _with_room(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the array, or a copy that is twice as long or more where it has no room for so many."""
    if size <= len(array):
        return array
    return np.concatenate([array, np.zeros(max(size, 2 * len(array)) - len(array), dtype=array.dtype)])


def _word_places(codes: NDArray[Any], firsts: Places) -> Places:
    """Return where words begin in texts that stand one after another.

    Parameters
    ----------
    codes
        Code points of all texts, ``(characters,)``.
    firsts
        Where each text begins.
    """
    kinds = _kinds()[codes]
    is_cut = np.zeros(len(codes), dtype=bool)
    is_cut[firsts] = True
    begins = is_cut.copy()
    begins[1:] |= kinds[1:] != kinds[:-1]
    # Of the blanks before a word the last stands by itself, or begins the word if it is a space.
    last = np.flatnonzero(begins[1:] & (kinds[:-1] == _BLANK) & ~is_cut[1:])
    begins[last] = True
    begins[last[codes[last] == _SPACE] + 1] = False
    quotes = np.flatnonzero((codes[:-1] == _QUOTE) & begins[:-1] & ~is_cut[1:])
    if quotes.size:
        _cut_endings(codes, begins, is_cut, quotes)
    return np.flatnonzero(begins)


def _cut_endings(codes: NDArray[Any], begins: NDArray[np.bool_], is_cut: NDArray[np.bool_], quotes: Places) -> None:
    """Make words of the English endings 's, 't, 'm, 'd, 're, 've and 'll, wherever a word may begin with a quote."""
    first = codes[quotes + 1].astype(np.int64)
    third = np.minimum(quotes + 2, len(codes) - 1)
    second = np.where((quotes + 2 < len(codes)) & ~is_cut[third], codes[third], 0)
    # What is no ASCII letter could look like a pair of them.
    pair = np.where((first < 128) & (second < 128), 256 * first + second, 0)
    for found, length in ((np.isin(first, _ONE_LETTER), 2), (np.isin(pair, _TWO_LETTERS), 3)):
        begins[quotes[found] + 1] = False
        after = quotes[found] + length
        begins[after[after < len(codes)]] = True


@lru_cache(maxsize=1)
def _kinds() -> NDArray[np.uint8]:
    """Return for each code point whether the library takes it for a letter, a number, a blank or something else."""
    from tokenizers import Regex, normalizers

    kinds = np.full(0x110000, _OTHER, dtype=np.uint8)
    others = {kind: normalizers.Replace(Regex(f"[^{pattern}]+"), "") for kind, pattern in _PATTERNS.items()}
    for first in range(0, len(kinds), 0x800):  # in parts, because the library takes a hundred bytes for each
        if first != 0xD800:  # halves of surrogate pairs, which are no characters
            text = "".join(map(chr, range(first, first + 0x800)))
            for kind, remove_others in others.items():
                kinds[list(map(ord, remove_others.normalize_str(text)))] = kind
    return kinds
