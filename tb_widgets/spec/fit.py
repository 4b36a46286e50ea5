"""Does a model fit its data? One set of rules and sentences for the form, the look at the data, and the run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tb_widgets.errors import DataError

Image = tuple[int, int, int]
"""Channels, height, width."""

ENLARGE_VOCABULARY = "enlarge the model's vocabulary"


@dataclass(frozen=True)
class Limits:
    """What a model can take; ``None`` where nothing limits it, or nobody knows yet.

    Attributes
    ----------
    vocab_size
        Token ids that it can read, and score.
    context_limit
        Longest input in tokens.
    classes
        Classes that it tells apart.
    image
        Size of the images that it takes.
    """

    vocab_size: int | None = None
    context_limit: int | None = None
    classes: int | None = None
    image: Image | None = None

    def refusals(
        self,
        *,
        vocab_size: int | None = None,
        context_length: int | None = None,
        classes: int | None = None,
        image: Image | None = None,
    ) -> Iterator[DataError]:
        """Yield why data are beyond these limits.

        Parameters
        ----------
        vocab_size
            Token ids of the tokenizer, the special tokens that the task needs among them.
        context_length
            Longest text, in tokens.
        classes
            Classes to tell apart.
        image
            Size of the images.
        """
        if is_beyond(vocab_size, self.vocab_size):
            yield DataError(
                f"tokenizer.kind: {knows_too_few(vocab_size, self.vocab_size)}",
                hint="Choose bpe or unigram with a smaller tokenizer.vocab_size (at least 32), a smaller "
                f"tokenizer.file, or {ENLARGE_VOCABULARY}.",
            )
        if is_beyond(context_length, self.context_limit):
            yield DataError(
                f"data.context_length: {reads_at_most(self.context_limit)[:-1]}, not {context_length:,}.",
                hint=f"Set it to at most {self.context_limit}, or enlarge the model's position embedding.",
            )
        if is_beyond(classes, self.classes):
            yield DataError(
                f"The dataset has {classes:,} classes, but the model predicts {self.classes:,}.",
                hint="Choose another dataset in data.source, or give the model's last layer that many outputs.",
            )
        if image is not None and self.image is not None and image != self.image:
            yield DataError(
                f"The images are {_times(image)}, but the model takes {_times(self.image)} (channels, height, width).",
                hint="Choose another dataset in data.source, or change the model's sizes.",
            )


def is_beyond(needed: int | None, limit: int | None) -> bool:
    """Tell whether more is needed than there is; what is not known is enough."""
    return needed is not None and limit is not None and needed > limit


def knows_too_few(needed: int | None, limit: int | None) -> str:
    """Return what is wrong with a tokenizer that has more tokens, its special tokens included, than a model knows."""
    return f"the tokenizer and its special tokens need {needed:,} ids, but the model has {limit:,}."


def reads_at_most(limit: int | None) -> str:
    """Return what is wrong with a context that is too long."""
    return f"the model reads at most {limit:,} tokens."


def _times(image: Image) -> str:
    return " × ".join(str(side) for side in image)
