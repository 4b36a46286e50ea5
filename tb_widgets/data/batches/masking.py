"""Masked language modelling: some tokens are hidden, and the model says what they were (BERT, arXiv 1810.04805).

Of every hundred tokens 15 are chosen; of those 80 in a hundred become the mask token, 10 a random token and 10 stay as
they are, so that the model can't tell by looking which ones it will be asked for. Only chosen tokens are counted, and
nothing is shifted: the label stands where the token stood.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tb_widgets.data.batches.corruption import masked
from tb_widgets.data.batches.windows import Batch, TrainBatches, share_of
from tb_widgets.data.keyed_random import key_of


class HiddenBatches:
    """Windows of which a part is hidden; what, follows from seed, step and fingerprint alone, anew in every pass.

    Parameters
    ----------
    windows
        What is hidden in.
    hide
        Windows ``(B, T)`` and a key to a batch: :func:`hide`, or :func:`tb_widgets.data.batches.spans.cut_out`.
    batch_size
        Windows per step, over all ranks.
    seed, fingerprint
        Key of the choices.
    """

    def __init__(
        self,
        windows: TrainBatches,
        hide: Callable[[Tensor, np.uint64], Batch],
        *,
        batch_size: int,
        seed: int,
        fingerprint: str,
    ) -> None:
        self._windows, self._hide, self._batch_size = windows, hide, batch_size
        self._seed, self._fingerprint = seed, fingerprint

    def batch(self, step: int, *, rank: int = 0, ranks: int = 1) -> Batch:
        """Return the batch of a step, or a rank's slice of it."""
        key = key_of("mask", self._seed, self._fingerprint, step)
        whole = self._hide(self._windows.batch(step)[:, :-1], key)
        rows = share_of(rank, ranks, self._batch_size)
        return {role: tensor[rows] for role, tensor in whole.items()}


def hide(tokens: Tensor, key: np.uint64, *, vocab_size: int, mask: int) -> Batch:
    """Choose tokens, replace them, and make labels of what they were.

    Parameters
    ----------
    tokens
        Token ids, ``(B, T)``, int64. Ids from ``vocab_size`` on are special and never chosen.
    key
        What the choice follows from.
    vocab_size
        Random tokens are drawn from ``0 .. vocab_size - 1``.
    mask
        Id of the mask token.

    Returns
    -------
    Batch
        ``tokens`` and ``labels``, ``(B, T)``; labels are -100 where nothing was chosen. Each row has at least one
        chosen token if it has one that may be.
    """
    shown, labels = masked(tokens.numpy(), key, vocab_size=vocab_size, mask=mask)
    return {"tokens": torch.from_numpy(shown), "labels": torch.from_numpy(labels)}
