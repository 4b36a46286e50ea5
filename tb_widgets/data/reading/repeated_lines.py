"""How much of what is held back of a single text is trained on as well, because the text says it more than once.

Documents are held back whole, and equal ones stay on one side. A single text is cut into blocks instead, and a line
that it repeats may be in both parts: then the validation loss looks better than it is, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tb_widgets.data.reading.split import Span

_SHORTEST, _LONGEST = 40, 1000  # bytes and characters of a line that counts; shorter ones are often the same by chance
_FEWEST = 20  # validation lines below which their share says little
_KEPT = 20_000  # validation lines that are looked for; of more, some spread evenly over them
_LOOKED_THROUGH = 48_000_000  # characters of training text in which they are looked for, spread evenly over it
_MANY = 0.1
_ADVICE = " Remove the duplicates, or split the text into files or rows, which are never divided."


class Copies(NamedTuple):
    """The share of the validation lines that are trained on too, and whether that is the least that it can be."""

    share: float
    is_least: bool


class ValidationLines:
    """The validation lines of a text, some of them where there are many: memory is bounded whatever its length."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._number, self._every = 0, 1

    def note(self, spans: Iterable[Span]) -> None:
        """Note the lines of those spans that are held back."""
        for line in (line for span in spans if span.held_back for line in _lines(span.text)):
            if self._number % self._every == 0:
                self._kept.append(line)
            self._number += 1
            if len(self._kept) > _KEPT:
                self._kept, self._every = self._kept[::2], self._every * 2

    def copies(self, spans: Iterable[Span], characters: int) -> Copies:
        """Look for the lines in the training part of a text that is so long."""
        if len(self._kept) < _FEWEST:
            return Copies(0.0, is_least=False)
        every = max(1, -(-characters // _LOOKED_THROUGH))
        wanted, found = frozenset(self._kept), set[str]()
        for number, span in enumerate(spans):
            if not span.held_back and number % every == 0:
                found |= wanted.intersection(map(str.strip, span.text.splitlines()))
        return Copies(sum(line in found for line in self._kept) / len(self._kept), is_least=every > 1)


def copies_note(copies: Copies) -> str:
    """Return what is said of copies; empty where they are few."""
    if copies.share <= _MANY:
        return ""
    share = f"{copies.share:.0%}".replace("%", " %")
    return (
        f"{'At least ' if copies.is_least else ''}{share} of the validation lines also occur in the training set: "
        f"the validation loss will look better than it is.{_ADVICE}"
    )


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        stripped = line.strip()
        if len(stripped) <= _LONGEST and len(stripped.encode("utf-8", "surrogatepass")) >= _SHORTEST:
            yield stripped
