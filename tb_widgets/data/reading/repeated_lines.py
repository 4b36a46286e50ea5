"""How much of what is held back of a single text is trained on as well, because the text says it more than once.

Documents are held back whole, and equal ones stay on one side. A single text is cut into blocks instead, and a line
that it repeats may be in both parts: then the validation loss looks better than it is, and that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tb_widgets.data.reading.split import Stretch

_SHORTEST, _LONGEST = 40, 1000  # bytes and characters of a line that counts; shorter ones are often the same by chance
_FEWEST = 20  # held-back lines below which their share says little
_KEPT = 20_000  # held-back lines that are looked for; of more, some spread evenly over them
_LOOKED_THROUGH = 48_000_000  # characters of training text in which they are looked for, spread evenly over it
_MANY = 0.1
_ADVICE = " Remove the copies, or give the text as several files or rows, of which equal ones stay together."


class Copies(NamedTuple):
    """The share of the held-back lines that are trained on too, and whether that is the least that it can be."""

    share: float
    is_least: bool


def find_copies(read: Callable[[], Iterable[Stretch]], characters: int) -> Copies:
    """Look for held-back lines in the training part. Memory is bounded whatever the length of the text.

    Parameters
    ----------
    read
        Returns the stretches of the text; it is called twice.
    characters
        How long the text is.
    """
    held_back = _spread(line for stretch in read() if stretch.held_back for line in _lines(stretch.text))
    if len(held_back) < _FEWEST:
        return Copies(0.0, is_least=False)
    every = -(-characters // _LOOKED_THROUGH)
    wanted, found = frozenset(held_back), set[str]()
    for number, stretch in enumerate(read()):
        if not stretch.held_back and number % max(1, every) == 0:
            found |= wanted.intersection(map(str.strip, stretch.text.splitlines()))
    return Copies(sum(line in found for line in held_back) / len(held_back), is_least=every > 1)


def in_words(copies: Copies, *, is_ours: bool = False) -> str:
    """Return what is said of copies; empty where they are few. Of a text of ours nobody can mend it."""
    if copies.share <= _MANY:
        return ""
    share = f"{copies.share:.0%}".replace("%", " %")
    return (
        f"{'At least ' if copies.is_least else ''}{share} of the held-back lines are also trained on, since the text "
        f"repeats them: the validation loss will look better than it is.{'' if is_ours else _ADVICE}"
    )


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        stripped = line.strip()
        if len(stripped) <= _LONGEST and len(stripped.encode("utf-8", "surrogatepass")) >= _SHORTEST:
            yield stripped


def _spread(lines: Iterable[str]) -> list[str]:
    kept: list[str] = []
    every = 1
    for number, line in enumerate(lines):
        if number % every == 0:
            kept.append(line)
        if len(kept) > _KEPT:
            kept, every = kept[::2], every * 2
    return kept
