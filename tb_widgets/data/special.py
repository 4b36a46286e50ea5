"""Ids of the tokens that no text holds. They follow the tokenizer's own, so that its pieces keep their ids."""

from __future__ import annotations

from dataclasses import dataclass

from tb_widgets.spec import Task

MASK_SIGN = "[MASK]"
"""How people write a hidden token in a text."""

# How many of pad, mask, start and end, in this order, the model must know. What hides stretches of a text follows them.
_ADDED: dict[Task, int] = {
    "causal-lm": 0,
    "masked-lm": 2,
    "sequence-classification": 1,
    "seq2seq": 4,
    "vision-classification": 0,
}


# Of a text, how much is cut out, and how long a stretch is on average (arXiv 1910.10683, section 3.3.4).
CUT_OUT, MEAN_STRETCH = 0.15, 3.0
SHORTEST_TO_CUT = 10
"""Tokens of the shortest text from which something can be cut out: it must not grow by the signs for that."""


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the special tokens beside a tokenizer of ``first`` pieces."""

    first: int

    @property
    def pad(self) -> int:
        """Fills up short rows; never predicted."""
        return self.first

    @property
    def document_end(self) -> int:
        """Stands after each document of a stream; the id of ``pad``, for a stream is never filled up."""
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

    def gap(self, number: int) -> int:
        """Stands where the stretch of this number, from 0, was cut out of a text."""
        return self.first + 4 + number


def vocabulary_with_specials(vocab_size: int, task: Task, *, documents: bool = False, gaps: int = 0) -> int:
    """Return how many ids a model must know to read a tokenizer of ``vocab_size`` pieces for a task.

    Parameters
    ----------
    vocab_size
        Pieces of the tokenizer.
    task
        Decides which special tokens there are.
    documents
        Whether a causal stream has several documents, each of which ends with a sign.
    gaps
        Most stretches that are cut out of one text, where a sequence-to-sequence model learns from plain text.

    >>> vocabulary_with_specials(256, "causal-lm"), vocabulary_with_specials(256, "masked-lm")
    (256, 258)
    >>> vocabulary_with_specials(256, "causal-lm", documents=True), vocabulary_with_specials(256, "seq2seq", gaps=6)
    (257, 266)
    """
    return vocab_size + max(_ADDED[task], int(documents)) + (gaps if task == "seq2seq" else 0)


def span_sizes(length: int) -> tuple[int, int]:
    """Return how many tokens are cut out of a text of ``length`` tokens, and in how many stretches.

    >>> span_sizes(128), span_sizes(SHORTEST_TO_CUT)
    ((19, 6), (2, 1))
    """
    cut = max(1, round(length * CUT_OUT))
    return cut, max(1, round(cut / MEAN_STRETCH))
