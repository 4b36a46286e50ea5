"""Span corruption: spans of a text are cut out, and the model writes them (T5, arXiv 1910.10683, section 3.1.4).

Of every hundred tokens 15 are cut out, in spans of three on average. In what is read a sentinel stands for each
span, another for every one; what is to be written is each sentinel followed by what stood there. All rows of a batch
lose the same number of tokens in the same number of spans, so nothing has to be padded.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tb_widgets.data.batches.corruption import span_corrupted
from tb_widgets.data.batches.windows import Batch
from tb_widgets.data.tokenizers.special_tokens import SpecialTokens


def cut_out(tokens: Tensor, key: np.uint64, special: SpecialTokens) -> Batch:
    """Cut spans out of rows of tokens.

    Parameters
    ----------
    tokens
        Token ids, ``(B, T)``, int64.
    key
        What the choice follows from.
    special
        Sentinels for the spans, and tokens for the start of the decoder and for both ends.

    Returns
    -------
    Batch
        ``tokens``, ``(B, T - cut + spans + 1)``: the text with its sentinels, and an end. ``decoder_tokens`` and
        ``labels``, ``(B, cut + spans + 1)``: each sentinel and what it stands for; the decoder reads a start first
        and is to write an end last.
    """
    shown, asked = span_corrupted(tokens.numpy(), key, special)
    start, end = (np.full((len(shown), 1), token) for token in (special.start, special.end))
    return {
        "tokens": torch.from_numpy(np.hstack((shown, end))),
        "decoder_tokens": torch.from_numpy(np.hstack((start, asked))),
        "labels": torch.from_numpy(np.hstack((asked, end))),
    }
