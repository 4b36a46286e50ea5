"""Ids of the tokens that no text holds. They follow the tokenizer's own, so that its pieces keep their ids."""

from __future__ import annotations

from dataclasses import dataclass

from tb_widgets.spec import Task

MASK_SIGN = "[MASK]"
"""How people write a hidden token in a text."""

# How many of pad, mask, start and end, in this order, the model must know.
_ADDED: dict[Task, int] = {
    "causal-lm": 0,
    "masked-lm": 2,
    "sequence-classification": 1,
    "seq2seq": 4,
    "vision-classification": 0,
}


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the special tokens beside a tokenizer of ``first`` pieces."""

    first: int

    @property
    def pad(self) -> int:
        """Fills up short rows; never predicted."""
        return self.first

    @property
    def mask(self) -> int:
        """Stands where a token is to be guessed."""
        return self.first + 1

    @property
    def start(self) -> int:
        """What a decoder reads before its first token."""
        return self.first + 2

    @property
    def end(self) -> int:
        """What a decoder writes after its last token; ends the source too."""
        return self.first + 3


def vocabulary_with_specials(vocab_size: int, task: Task) -> int:
    """Return how many ids a model must know to read a tokenizer of ``vocab_size`` pieces for a task.

    >>> vocabulary_with_specials(256, "causal-lm"), vocabulary_with_specials(256, "masked-lm")
    (256, 258)
    """
    return vocab_size + _ADDED[task]
