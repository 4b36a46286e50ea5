"""Which part of a text is held back for validation."""

from __future__ import annotations

_BLOCK = 4096
_MOST_BLOCKS = 16
# How far a cut may move to fall on a line break.
_REACH = 1024


def split(text: str, validation_fraction: float) -> tuple[list[str], list[str]]:
    """Cut a text into a training part and a held-back part.

    The held-back part is made of up to 16 blocks spread evenly over the text, each at least 4,096 characters where
    there are so many. A single tail would be of another kind than the rest (the last topic, the last author) and
    measure that difference; single lines would have neighbours in the training part that give them away. The cuts
    depend on the text and the fraction alone, so runs that differ in seed or sizes are tested on the same text. The
    caller tokenizes each part by itself: no training token, and no learned piece of the vocabulary, comes from
    held-back characters.

    Parameters
    ----------
    text
        All of it.
    validation_fraction
        Share of the characters to hold back, between 0 and 1.

    Returns
    -------
    tuple of list of str
        Training pieces and held-back pieces, each in the order of the text.
    """
    count = max(1, min(_MOST_BLOCKS, int(len(text) * validation_fraction) // _BLOCK))
    training, held_back = [], []
    for number in range(count):
        start, end = _cut(text, len(text) * number // count), _cut(text, len(text) * (number + 1) // count)
        # The held-back block ends its stretch, so the text begins with training.
        border = max(start, min(_cut(text, end - round((end - start) * validation_fraction)), end))
        training.append(text[start:border])
        held_back.append(text[border:end])
    return training, held_back


def _cut(text: str, position: int) -> int:
    """Return the nearest place at or after ``position`` that follows a line break, or ``position`` if that is far."""
    if position <= 0 or position >= len(text):
        return max(0, min(position, len(text)))
    found = text.find("\n", position - 1, min(position + _REACH, len(text) - 1))
    return found + 1 if found >= 0 else position
