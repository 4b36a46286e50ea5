"""Span corruption: spans of a text are cut out, and the model writes them (T5, arXiv 1910.10683, section 3.1.4).

Of every hundred tokens 15 are cut out, in spans of three on average. In what is read a sentinel stands for each span,
another for every one; what is to be written is each sentinel followed by what stood there. All rows of a batch lose the
same number of tokens in the same number of spans, so nothing has to be padded. Imports no torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tb_widgets.data.keyed_random import Draws, draws
from tb_widgets.data.tokenizers.special_tokens import SpecialTokens, span_sizes


def cut_out(tokens: NDArray[np.int64], key: np.uint64, special: SpecialTokens) -> dict[str, NDArray[np.int64]]:
    """Cut spans out of rows of tokens.

    Parameters
    ----------
    tokens
        Token ids, ``(B, T)``.
    key
        What the choice follows from.
    special
        Sentinels for the spans, and tokens for the start of the decoder and for both ends.

    Returns
    -------
    dict
        ``tokens``, ``(B, T - cut + spans + 1)``: the text with its sentinels, and an end. ``decoder_tokens`` and
        ``labels``, ``(B, cut + spans + 1)``: each sentinel and what it stands for; the decoder reads a start first
        and is to write an end last.
    """
    rows, length = tokens.shape
    cut, spans = span_sizes(length)
    draw = draws(key, rows * length).reshape(rows, length)
    # What is kept and what is cut out take turns; a row begins and ends with what is kept, which may be nothing there.
    turns = np.empty((rows, 2 * spans + 1), dtype=np.int64)
    gone = turns[:, 1::2] = _parts(draw[:, : cut - 1], spans)
    turns[:, ::2] = _parts(draw[:, cut - 1 :], spans + 1)
    turns[:, [0, -1]] -= 1
    number = np.repeat(np.tile(np.arange(2 * spans + 1), rows), turns.ravel()).reshape(rows, length)
    is_gone, sentinels = number % 2 == 1, special.sentinel(0) + number // 2
    begins = is_gone & (np.diff(number, axis=1, prepend=0) == 1)
    shown = np.where(begins, sentinels, tokens)[begins | ~is_gone].reshape(rows, -1)

    first = np.cumsum(gone, axis=1) - gone + np.arange(spans)  # where each sentinel stands in what is to be written
    is_sentinel = np.zeros((rows, cut + spans), dtype=bool)
    is_sentinel[np.arange(rows)[:, None], first] = True
    asked = np.empty(is_sentinel.shape, dtype=np.int64)
    asked[is_sentinel] = np.tile(special.sentinel(0) + np.arange(spans), rows)
    asked[~is_sentinel] = tokens[is_gone]
    start, end = (np.full((rows, 1), token) for token in (special.start, special.end))
    return {
        "tokens": np.hstack((shown, end)),
        "decoder_tokens": np.hstack((start, asked)),
        "labels": np.hstack((asked, end)),
    }


def _parts(draw: Draws, number: int) -> NDArray[np.int64]:
    """Cut ``draw.shape[1] + 1`` things into so many parts of one or more, each way as likely, ``(B, number)``."""
    rows, places = draw.shape
    cuts = np.sort(np.argsort(draw, axis=1, kind="stable")[:, : number - 1], axis=1) + 1
    edges = [np.zeros((rows, 1), dtype=np.int64), cuts, np.full((rows, 1), places + 1)]
    return np.diff(np.concatenate(edges, axis=1), axis=1)
