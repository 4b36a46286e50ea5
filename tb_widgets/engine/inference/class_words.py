"""What a classifier answers, in words."""

from __future__ import annotations

from torch import Tensor


def classes_in_words(logits: Tensor, classes: tuple[str, ...]) -> str:
    """Return how probable each class is, the likeliest first, for example ``prose 92 %, code 8 %``.

    >>> import torch
    >>> classes_in_words(torch.tensor([0.0, 2.0]), ("prose", "code"))
    'code 88 %, prose 12 %'
    """
    # A model may tell more classes apart than the data have; they were never trained and have no name.
    found = logits[: len(classes)].softmax(-1).tolist()
    ranked = sorted(zip(found, classes, strict=True), reverse=True)
    return ", ".join(f"{name} {share:.0%}".replace("%", " %") for share, name in ranked)
