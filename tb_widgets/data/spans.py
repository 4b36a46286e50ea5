"""Span corruption: stretches of a text are cut out, and the model writes them (T5, arXiv 1910.10683, section 3.1.4).

Of every hundred tokens 15 are cut out, in stretches of three on average. In what is read a sign stands for each
stretch, another for every one; what is to be written is each sign followed by what stood there. All rows of a batch
lose the same number of tokens in the same number of stretches, so nothing has to be padded.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tb_widgets.data.batches import Batch
from tb_widgets.data.order import Words, draws
from tb_widgets.data.special import SpecialTokens, span_sizes


def cut_out(tokens: Tensor, key: np.uint64, special: SpecialTokens) -> Batch:
    """Cut stretches out of rows of tokens.

    Parameters
    ----------
    tokens
        Token ids, ``(B, T)``, int64.
    key
        What the choice follows from.
    special
        Signs for the stretches, for the start of the decoder, and for both ends.

    Returns
    -------
    Batch
        ``tokens``, ``(B, T - cut + stretches + 1)``: the text with its signs, and an end. ``decoder_tokens`` and
        ``labels``, ``(B, cut + stretches + 1)``: each sign and what it stands for; the decoder reads a start first
        and is to write an end last.
    """
    text = tokens.numpy()
    rows, length = text.shape
    cut, stretches = span_sizes(length)
    draw = draws(key, rows * length).reshape(rows, length)
    # What is kept and what is cut out take turns; a row begins and ends with what is kept, which may be nothing there.
    turns = np.empty((rows, 2 * stretches + 1), dtype=np.int64)
    gone = turns[:, 1::2] = _parts(draw[:, : cut - 1], stretches)
    turns[:, ::2] = _parts(draw[:, cut - 1 :], stretches + 1)
    turns[:, [0, -1]] -= 1
    number = np.repeat(np.tile(np.arange(2 * stretches + 1), rows), turns.ravel()).reshape(rows, length)
    is_gone, which = number % 2 == 1, number // 2
    begins = is_gone & (np.diff(number, axis=1, prepend=0) == 1)
    signs = special.gap(0) + np.arange(stretches)

    shown = np.where(begins, special.gap(0) + which, text)[begins | ~is_gone].reshape(rows, -1)
    asked = np.empty((rows, cut + stretches), dtype=np.int64)
    first = np.cumsum(gone, axis=1) - gone + np.arange(stretches)  # where each sign stands
    asked[np.arange(rows)[:, None], first] = signs
    free = np.ones(asked.shape, dtype=bool)
    free[np.arange(rows)[:, None], first] = False
    asked[free] = text[is_gone]
    start, end = (np.full((rows, 1), token) for token in (special.start, special.end))
    return {
        "tokens": torch.from_numpy(np.hstack((shown, end))),
        "decoder_tokens": torch.from_numpy(np.hstack((start, asked))),
        "labels": torch.from_numpy(np.hstack((asked, end))),
    }


def _parts(draw: Words, number: int) -> NDArray[np.int64]:
    """Cut ``draw.shape[1] + 1`` things into so many parts of one or more, each way as likely, ``(B, number)``."""
    rows, places = draw.shape
    cuts = np.sort(np.argsort(draw, axis=1, kind="stable")[:, : number - 1], axis=1) + 1
    edges = [np.zeros((rows, 1), dtype=np.int64), cuts, np.full((rows, 1), places + 1)]
    return np.diff(np.concatenate(edges, axis=1), axis=1)
