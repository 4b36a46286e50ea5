"""Ids of the tokens that no text holds. They follow the tokenizer's own, so that its pieces keep their ids."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tb_widgets.spec import TASKS, Task

MASK_TEXT = "[MASK]"
"""How people write a hidden token in a text."""

_ROLES = ("pad", "mask", "start", "end")
# Of a text, how much is cut out, and how long a span is on average (arXiv 1910.10683, section 3.3.4).
CUT_OUT, MEAN_SPAN = 0.15, 3.0
SHORTEST_TO_CUT = 10
"""Tokens of the shortest text from which something can be cut out: it must not grow by the sentinels."""


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the special tokens: those that a tokenizer brings along, and others after its pieces.

    Attributes
    ----------
    first
        Pieces of the tokenizer; the first free id.
    own
        Ids of those that it brings along, by role: ``pad``, ``mask``, ``start``, ``end``.

    >>> SpecialTokens(256).end, SpecialTokens(256, {"pad": 0, "mask": 4}).end
    (259, 257)
    """

    first: int
    own: Mapping[str, int] = field(default_factory=dict)

    @property
    def pad(self) -> int:
        """Fills up short rows; never predicted."""
        return self._id("pad")

    @property
    def document_end(self) -> int:
        """Stands after each document of a stream; the id of ``pad`` unless the tokenizer brings an end along.

        A stream is never filled up.
        """
        return self.own.get("end", self.pad)

    @property
    def mask(self) -> int:
        """Stands where a token is to be guessed."""
        return self._id("mask")

    @property
    def start(self) -> int:
        """What a decoder reads before its first token."""
        return self._id("start")

    @property
    def end(self) -> int:
        """What a decoder writes after its last token; ends the source too."""
        return self._id("end")

    def sentinel(self, number: int) -> int:
        """Stands where the span of this number, from 0, was cut out of a text."""
        return self.first + _missing(_ROLES, self.own) + number

    def _id(self, role: str) -> int:
        return self.own.get(role, self.first + _missing(_ROLES[: _ROLES.index(role)], self.own))


def _missing(roles: tuple[str, ...], own: Collection[str]) -> int:
    return sum(role not in own for role in roles)


def vocabulary_with_specials(
    vocab_size: int, task: Task, *, own: Collection[str] = (), documents: bool = False, sentinels: int = 0
) -> int:
    """Return how many ids a model must know to read a tokenizer of ``vocab_size`` pieces for a task.

    Parameters
    ----------
    vocab_size
        Pieces of the tokenizer.
    task
        Decides which special tokens there are.
    own
        Roles of those that the tokenizer brings along.
    documents
        Whether a causal stream has several documents, each of which ends with a special token.
    sentinels
        Most spans that are cut out of one text, where a sequence-to-sequence model learns from plain text.

    >>> vocabulary_with_specials(256, "causal-lm"), vocabulary_with_specials(256, "masked-lm")
    (256, 258)
    >>> vocabulary_with_specials(256, "causal-lm", documents=True)
    257
    >>> vocabulary_with_specials(256, "seq2seq", sentinels=6)
    266
    """
    added = _missing(_ROLES[: TASKS[task].special_tokens], own)
    if task == "causal-lm" and documents:
        added = int(not {"pad", "end"} & {*own})
    return vocab_size + added + (sentinels if task == "seq2seq" else 0)


def span_sizes(length: int) -> tuple[int, int]:
    """Return how many tokens are cut out of a text of ``length`` tokens, and in how many spans.

    >>> span_sizes(128), span_sizes(SHORTEST_TO_CUT)
    ((19, 6), (2, 1))
    """
    cut = max(1, round(length * CUT_OUT))
    return cut, max(1, round(cut / MEAN_SPAN))
