"""Which part of a text is held back for validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

_BLOCK = 4096
_MOST_BLOCKS = 16
# How far a cut may move to fall on a line break.
_REACH = 1024


class Stretch(NamedTuple):
    """Some of a text.

    Attributes
    ----------
    text
        A part of it, of bearable size.
    held_back
        Whether it is for validation.
    closes
        Whether what follows is to be encoded by itself: here a block ends, or a document.
    """

    text: str
    held_back: bool
    closes: bool


def split(read: Callable[[], Iterable[str]], validation_fraction: float) -> Iterator[Stretch]:
    """Cut a text into stretches for training and held-back stretches.

    The held-back part is made of up to 16 blocks spread evenly over the text, each at least 4,096 characters where
    there are so many. A single tail would be of another kind than the rest (the last topic, the last author) and
    measure that difference; single lines would have neighbours in the training part that give them away. The cuts
    depend on the text and the fraction alone, so runs that differ in seed or sizes are tested on the same text. The
    caller tokenizes each block by itself: no training token, and no learned piece of the vocabulary, comes from
    held-back characters.

    Parameters
    ----------
    read
        Returns the pieces of the text. It is called four times, so that no text is too long for the memory.
    validation_fraction
        Share of the characters to hold back, between 0 and 1.

    Yields
    ------
    Stretch
        In the order of the text; together they are the text.
    """
    length = sum(map(len, read()))
    if not length:
        return
    count = max(1, min(_MOST_BLOCKS, int(length * validation_fraction) // _BLOCK))
    blocks = list(pairwise(_cuts(read(), [length * number // count for number in range(count + 1)], length)))
    # The held-back part of a block ends it, so the text begins with training.
    wanted = [end - round((end - start) * validation_fraction) for start, end in blocks]
    ends = []
    for (start, end), border in zip(blocks, _cuts(read(), wanted, length), strict=True):
        ends += [(max(start, min(border, end)), False), (end, True)]
    yield from _cut_at(read(), ends)


def _cuts(pieces: Iterable[str], positions: Sequence[int], length: int) -> list[int]:
    """Return for each position, in order, the nearest place after a line break, or itself if that is far."""
    found: list[int] = []
    text, begin = "", 0
    for piece in pieces:
        text += piece
        end = begin + len(text)
        while len(found) < len(positions) and (end == length or positions[len(found)] + _REACH < end):
            found.append(begin + _cut(text, positions[len(found)] - begin, length - begin))
        if len(found) == len(positions):
            break
        text = text[-_REACH - 2 :]
        begin = end - len(text)
    return found


def _cut(text: str, position: int, length: int) -> int:
    if position <= 0 or position >= length:
        return max(0, min(position, length))
    found = text.find("\n", position - 1, min(position + _REACH, length - 1))
    return found + 1 if found >= 0 else position


def _cut_at(pieces: Iterable[str], ends: Iterable[tuple[int, bool]]) -> Iterator[Stretch]:
    upcoming = iter(ends)
    end, held_back = next(upcoming)
    begin = 0
    for piece in pieces:
        start = 0
        while start < len(piece):
            text = piece[start : start + end - begin]
            start, begin = start + len(text), begin + len(text)
            yield Stretch(text, held_back, closes=begin == end)
            if begin == end:
                end, held_back = next(upcoming, (end, held_back))
