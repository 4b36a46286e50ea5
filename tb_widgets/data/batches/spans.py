"""Span corruption: stretches of a text are cut out, and the model writes them (T5, arXiv 1910.10683, section 3.1.4).

Of every hundred tokens 15 are cut out, in stretches of three on average. In what is read a sign stands for each
stretch, another for every one; what is to be written is each sign followed by what stood there. All rows of a batch
lose the same number of tokens in the same number of stretches, so nothing has to be padded.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tb_widgets.data.batches.corruption import gapped
from tb_widgets.data.batches.windows import Batch
from tb_widgets.data.tokenizers.special_tokens import SpecialTokens


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
    shown, asked = gapped(tokens.numpy(), key, special)
    start, end = (np.full((len(shown), 1), token) for token in (special.start, special.end))
    return {
        "tokens": torch.from_numpy(np.hstack((shown, end))),
        "decoder_tokens": torch.from_numpy(np.hstack((start, asked))),
        "labels": torch.from_numpy(np.hstack((asked, end))),
    }
