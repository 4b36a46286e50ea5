"""What is hidden of a text, and what is asked about it: the arithmetic of masks and spans. Imports no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tb_widgets.data.keyed_random import Words, draws
from tb_widgets.data.tokenizers.special_tokens import SpecialTokens, span_sizes

CHOSEN, TO_MASK, TO_RANDOM = 0.15, 0.8, 0.1
NOT_COUNTED = -100
"""The label of a place that is not predicted; what torch's cross entropy leaves out."""

Ids = NDArray[np.int64]


def masked(text: Ids, key: np.uint64, *, vocab_size: int, mask: int) -> tuple[Ids, Ids]:
    """Return what is shown of a text ``(B, T)``, and the labels; see :func:`tb_widgets.data.batches.masking.hide`."""
    draw, fate, other = draws(key, 3 * text.size).reshape(3, *text.shape)
    draw = np.where(text < vocab_size, draw, np.uint64(2**64 - 1))
    # In a short row chance may choose none; then the one nearest to being chosen is.
    chosen = ((draw < _part(CHOSEN)) | (draw == draw.min(axis=1, keepdims=True))) & (text < vocab_size)
    anything = (other % np.uint64(vocab_size)).astype(np.int64)
    shown = np.where(chosen & (fate < _part(TO_MASK)), mask, text)
    shown = np.where(chosen & (fate >= _part(TO_MASK)) & (fate < _part(TO_MASK + TO_RANDOM)), anything, shown)
    return shown, np.where(chosen, text, NOT_COUNTED)


def _part(share: float) -> np.uint64:
    """Return the word below which a share of all words lies."""
    return np.uint64(round(share * 2**64))


def span_corrupted(text: Ids, key: np.uint64, special: SpecialTokens) -> tuple[Ids, Ids]:
    """Return what is left of a text ``(B, T)``, and what was cut out of it.

    See :func:`tb_widgets.data.batches.spans.cut_out`.
    """
    rows, length = text.shape
    cut, spans = span_sizes(length)
    draw = draws(key, rows * length).reshape(rows, length)
    # What is kept and what is cut out take turns; a row begins and ends with what is kept, which may be nothing there.
    turns = np.empty((rows, 2 * spans + 1), dtype=np.int64)
    gone = turns[:, 1::2] = _parts(draw[:, : cut - 1], spans)
    turns[:, ::2] = _parts(draw[:, cut - 1 :], spans + 1)
    turns[:, [0, -1]] -= 1
    number = np.repeat(np.tile(np.arange(2 * spans + 1), rows), turns.ravel()).reshape(rows, length)
    is_gone, which = number % 2 == 1, number // 2
    begins = is_gone & (np.diff(number, axis=1, prepend=0) == 1)
    sentinels = special.sentinel(0) + np.arange(spans)

    shown = np.where(begins, special.sentinel(0) + which, text)[begins | ~is_gone].reshape(rows, -1)
    asked = np.empty((rows, cut + spans), dtype=np.int64)
    first = np.cumsum(gone, axis=1) - gone + np.arange(spans)  # where each sentinel stands
    asked[np.arange(rows)[:, None], first] = sentinels
    free = np.ones(asked.shape, dtype=bool)
    free[np.arange(rows)[:, None], first] = False
    asked[free] = text[is_gone]
    return shown, asked


def _parts(draw: Words, number: int) -> NDArray[np.int64]:
    """Cut ``draw.shape[1] + 1`` things into so many parts of one or more, each way as likely, ``(B, number)``."""
    rows, places = draw.shape
    cuts = np.sort(np.argsort(draw, axis=1, kind="stable")[:, : number - 1], axis=1) + 1
    edges = [np.zeros((rows, 1), dtype=np.int64), cuts, np.full((rows, 1), places + 1)]
    return np.diff(np.concatenate(edges, axis=1), axis=1)
