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


class Border(NamedTuple):
    """Where a block ends, in characters from the beginning of the text, and whether it is held back."""

    place: int
    held_back: bool


def find_borders(read: Callable[[], Iterable[str]], validation_fraction: float) -> list[Border]:
    """Divide a text into blocks for training and held-back blocks, by turns.

    The held-back part is made of up to 16 blocks spread evenly over the text, each at least 4,096 characters where
    there are so many. A single tail would be of another kind than the rest (the last topic, the last author) and
    measure that difference; single lines would have neighbours in the training part that give them away. The cuts
    depend on the text and the fraction alone, so runs that differ in seed or sizes are tested on the same text. The
    caller tokenizes each block by itself: no training token, and no learned piece of the vocabulary, comes from
    held-back characters.

    Parameters
    ----------
    read
        Returns the pieces of the text. It is called three times, so that no text is too long for the memory.
    validation_fraction
        Share of the characters to hold back, between 0 and 1.

    Returns
    -------
    list of Border
        In the order of the text; the last one is at its end. A block may be empty where the text is short.
    """
    length = sum(map(len, read()))
    count = max(1, min(_MOST_BLOCKS, int(length * validation_fraction) // _BLOCK))
    blocks = list(pairwise(_cuts(read(), [length * number // count for number in range(count + 1)], length)))
    # The held-back part of a block ends it, so the text begins with training.
    wanted = [end - round((end - start) * validation_fraction) for start, end in blocks]
    borders = []
    for (start, end), cut in zip(blocks, _cuts(read(), wanted, length), strict=True):
        borders += [Border(max(start, min(cut, end)), held_back=False), Border(end, held_back=True)]
    return borders


def cut_at(borders: Iterable[Border], pieces: Iterable[str]) -> Iterator[Stretch]:
    """Yield the stretches of a text, in its order; together they are the text."""
    upcoming = iter(borders)
    border = next(upcoming, Border(0, held_back=False))
    begin = 0
    for piece in pieces:
        start = 0
        while start < len(piece):
            text = piece[start : start + border.place - begin]
            start, begin = start + len(text), begin + len(text)
            yield Stretch(text, border.held_back, closes=begin == border.place)
            if begin == border.place:
                border = next(upcoming, border)


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
