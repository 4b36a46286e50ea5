"""Which part of a text is held back for validation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

_BLOCK = 4096
_MOST_BLOCKS = 16
# How far a cut may move to fall on a line break.
_REACH = 1024


class Span(NamedTuple):
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


def split_text(pieces: Iterable[str], characters: int, validation_fraction: float) -> Iterator[Span]:
    """Divide a text into blocks for training and validation blocks, by turns, and yield it in its order.

    The validation part is made of up to 16 blocks spread evenly over the text, each at least 4,096 characters where
    there are so many. A single tail would be of another kind than the rest (the last topic, the last author) and
    measure that difference; single lines would have neighbours in the training part that give them away. The cuts
    depend on the text and the fraction alone, so runs that differ in seed or sizes are tested on the same text. The
    caller tokenizes each block by itself: no training token, and no learned piece of the vocabulary, comes from
    validation characters.

    Parameters
    ----------
    pieces
        The text, in pieces of any length.
    characters
        Length of the whole text.
    validation_fraction
        Share of the characters to hold back, between 0 and 1.
    """
    cuts = _cuts(characters, validation_fraction)
    number, begin, text = 0, 0, ""  # the cut that comes next, and what is read and not yielded, from where on
    for piece in pieces:
        text += piece
        end = begin + len(text)
        while number < len(cuts) and (end == characters or cuts[number] + _REACH < end):
            length = _line_end(text, cuts[number] - begin, characters - begin)
            if length:
                yield Span(text[:length], number % 2 == 1, closes=True)
            text, begin, number = text[length:], begin + length, number + 1
        certain = cuts[number] - 1 - begin if number < len(cuts) else 0
        if certain > 0:
            yield Span(text[:certain], number % 2 == 1, closes=False)
            text, begin = text[certain:], min(end, begin + certain)


def _cuts(characters: int, validation_fraction: float) -> list[int]:
    """Return about where blocks end; the validation part of each pair is the second, so a text begins with training."""
    count = max(1, min(_MOST_BLOCKS, int(characters * validation_fraction) // _BLOCK))
    ends = [characters * number // count for number in range(count + 1)]
    return [cut for start, end in pairwise(ends) for cut in (end - round((end - start) * validation_fraction), end)]


def _line_end(text: str, position: int, characters: int) -> int:
    """Return the nearest place after a line break from a position on, or the position itself if that is far."""
    if position <= 0 or position >= characters:
        return max(0, min(position, characters))
    found = text.find("\n", position - 1, min(position + _REACH, characters - 1))
    return found + 1 if found >= 0 else position
