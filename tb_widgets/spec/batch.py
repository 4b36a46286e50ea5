"""What a batch is, for those who make it and those who read it. Importing this file imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Batch = dict[str, "Tensor"]
"""A batch by role.

``tokens``
    Token ids, ``(B, T)``, int64.
``mask``
    ``(B, T)``, bool: True at real tokens, False at padding. Absent where nothing is padded.
``documents``
    ``(B, T)``, int64: which document of its row each token belongs to. Present only where a token is to see those of
    its own document alone.
``decoder_tokens``
    What a decoder reads, ``(B, S)``, int64: the target shifted right, beginning with the start token.
``images``
    ``(B, C, H, W)``, float32, about -1 to 1.
``labels``
    What each logit is compared with, int64; -100 does not count. ``(B, T)`` for language models (the shift is made by
    the batch: label t belongs to logit t), ``(B, S)`` for sequence-to-sequence, ``(B,)`` for classification.
"""

NOT_COUNTED = -100


def in_parts(batch: Batch, rows: int) -> list[Batch]:
    """Cut a batch into parts of at most so many rows."""
    pieces = zip(*(tensor.split(rows) for tensor in batch.values()), strict=True)  # type: ignore[no-untyped-call]
    return [dict(zip(batch, piece, strict=True)) for piece in pieces]


def count_read(batch: Batch) -> int:
    """Return how many tokens a batch holds without its padding, or how many images."""
    if "tokens" not in batch:
        return len(batch["images"])
    return int(batch["mask"].sum()) if "mask" in batch else batch["tokens"].numel()
