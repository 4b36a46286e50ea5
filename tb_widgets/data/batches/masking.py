"""Masked language modelling: some tokens are hidden, and the model says what they were (BERT, arXiv 1810.04805).

Of every hundred tokens 15 are chosen; of those 80 in a hundred become the mask token, 10 a random token and 10 stay as
they are, so that the model can't tell by looking which ones it will be asked for. Only chosen tokens are counted, and
nothing is shifted: the label stands where the token stood. Imports no torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tb_widgets.data.keyed_random import draws
from tb_widgets.spec.batch import NOT_COUNTED

_CHOSEN, _TO_MASK, _TO_RANDOM = 0.15, 0.8, 0.1
"""The label of a place that is not predicted; what torch's cross entropy leaves out."""


def hide(tokens: NDArray[np.int64], key: np.uint64, *, vocab_size: int, mask: int) -> dict[str, NDArray[np.int64]]:
    """Choose tokens, replace them, and make labels of what they were.

    Parameters
    ----------
    tokens
        Token ids, ``(B, T)``. Ids from ``vocab_size`` on are special and never chosen.
    key
        What the choice follows from.
    vocab_size
        Random tokens are drawn from ``0 .. vocab_size - 1``.
    mask
        Id of the mask token.

    Returns
    -------
    dict
        ``tokens`` and ``labels``, ``(B, T)``; labels are -100 where nothing was chosen. Each row has at least one
        chosen token if it has one that may be.
    """
    draw, fate, other = draws(key, 3 * tokens.size).reshape(3, *tokens.shape)
    draw = np.where(tokens < vocab_size, draw, np.uint64(2**64 - 1))
    # In a short row chance may choose none; then the one nearest to being chosen is.
    chosen = ((draw < _part(_CHOSEN)) | (draw == draw.min(axis=1, keepdims=True))) & (tokens < vocab_size)
    anything = (other % np.uint64(vocab_size)).astype(np.int64)
    shown = np.where(chosen & (fate < _part(_TO_MASK)), mask, tokens)
    shown = np.where(chosen & (fate >= _part(_TO_MASK)) & (fate < _part(_TO_MASK + _TO_RANDOM)), anything, shown)
    return {"tokens": shown, "labels": np.where(chosen, tokens, NOT_COUNTED)}


def _part(share: float) -> np.uint64:
    """Return the word below which a share of all words lies."""
    return np.uint64(round(share * 2**64))
