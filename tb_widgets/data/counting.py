"""Losses without a model, to which one can be compared: of an even guess, of n-grams, of class frequencies.

The n-gram models are interpolated after Witten and Bell: with ``c`` the counts of the training data and ``T(h)`` how
many different tokens follow a context ``h``::

    p(w | h) = (c(h w) + T(h) p(w | h without its first token)) / (c(h) + T(h))

down to an even guess over the vocabulary. Contexts begin with each window, as the model sees them. Imports no torch.
Source: Chen and Goodman, An Empirical Study of Smoothing Techniques for Language Modeling (1999), section 2.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tb_widgets.runs.baselines import Baseline

LONGEST = 5  # tokens of an n-gram: on a few million tokens, longer ones cost time and gain nothing
# Two bounds that keep it within about 2 seconds of one core and 250 MB.
MOST_COUNTED = 2_000_000  # training tokens
MOST_VALIDATED = 250_000  # labels
_BLOCK = 4096  # tokens read in a row where a text is longer than that

Ids = NDArray[Any]


@dataclass(frozen=True)
class Counted:
    """Baselines, and as a sentence why there are fewer than there could be."""

    lines: tuple[Baseline, ...] = ()
    reason: str = ""


def even_guess(choices: int) -> Baseline:
    """Return the loss of giving every choice the same probability."""
    return Baseline("even guess", math.log(choices))


def class_losses(train: Ids, validation: Ids, *, classes: int) -> Counted:
    """Return the losses of guessing evenly, and by how often each class comes in the training data.

    Parameters
    ----------
    train, validation
        Class of each example, ``(N,)``.
    classes
        How many there are; one that training lacks counts as if it came once, as every class does.
    """
    share = (np.bincount(train, minlength=classes) + 1) / (len(train) + classes)
    return Counted((even_guess(classes), Baseline("guess by class frequency", _loss(share[validation]))))


def n_gram_losses(train: Ids, windows: Ids, *, vocab_size: int, border: int | None = None) -> Counted:
    """Return the losses of an even guess, a unigram, a bigram and the best of the longer n-grams.

    Parameters
    ----------
    train
        Training tokens, ``(tokens,)``; of more than ``MOST_COUNTED``, that many in blocks spread evenly.
    windows
        Validation windows, ``(W, T + 1)``: each token but the first of a row is a label. Of more than
        ``MOST_VALIDATED`` labels, rows spread evenly.
    vocab_size
        Token ids that there are.
    border
        The token after which a context begins anew, where documents do not see each other.
    """
    even = even_guess(vocab_size)
    if len(train) < vocab_size:
        return Counted(
            (even,),
            f"The training data has {len(train):,} tokens, fewer than the vocabulary ({vocab_size:,}): "
            "too few for n-gram baselines.",
        )
    losses = _losses(train, windows, vocab_size=vocab_size, border=border)
    named = [Baseline("unigram", losses[0]), Baseline("bigram", losses[1])]
    best = int(np.argmin(losses))
    if best > 1:
        named.append(Baseline(f"{best + 1}-gram", losses[best]))
    return Counted((even, *named))


def _losses(train: Ids, windows: Ids, *, vocab_size: int, border: int | None) -> list[float]:
    """Return the loss of each n, from 1 until a longer one is no better."""
    counted, begins = _spread(train)
    rows = windows[:: math.ceil(windows.size / MOST_VALIDATED)]
    tokens = np.concatenate([counted, rows.ravel()]).astype(np.int64)
    begins = np.concatenate([begins, len(counted) + np.arange(len(rows)) * rows.shape[1]])
    reach = _reach(tokens, begins, border)
    validated = reach[len(counted) :]
    shares, losses = np.full(len(validated), 1 / vocab_size), list[float]()
    # The n-grams of both parts have common numbers, below ``kinds``; only those of training are counted.
    numbers, kinds = np.zeros(len(tokens), np.int64), 1
    for length in range(1, LONGEST + 1):
        at = np.flatnonzero(reach >= length - 1)
        keys = numbers[at - 1] * vocab_size + tokens[at]
        if kinds * vocab_size <= 4 * len(keys):  # so few that all of them can be numbered, without sorting
            found, number = np.arange(kinds * vocab_size), keys
        else:
            found, number = np.unique(keys, return_inverse=True)
        first = int(np.searchsorted(at, len(counted)))
        has = validated >= length - 1
        shares[has] = _interpolate(number[:first], number[first:], found // vocab_size, shares[has])
        losses.append(_loss(shares[validated > 0]))
        if length > 2 and losses[-1] >= losses[-2]:
            break
        numbers[at], kinds = number, len(found)
    return losses


def _interpolate(train: Ids, validation: Ids, context_of: Ids, shorter: Ids) -> Ids:
    """Return the probability of each validation token in its context.

    Parameters
    ----------
    train, validation
        Number of the n-gram that ends at each token.
    context_of
        Number of each n-gram's context.
    shorter
        Probability of each validation token in the context without its first token.
    """
    count = np.bincount(train, minlength=len(context_of))
    contexts = int(context_of[-1]) + 1
    total = np.bincount(context_of, weights=count, minlength=contexts)
    kinds = np.bincount(context_of[count > 0], minlength=contexts)
    context = context_of[validation]
    mixed: Ids = (count[validation] + kinds[context] * shorter) / np.maximum(total[context] + kinds[context], 1)
    # A context that training lacks says nothing: the shorter one decides.
    return np.where(kinds[context] > 0, mixed, shorter)


def _spread(train: Ids) -> tuple[Ids, Ids]:
    """Return the tokens to count, and where a context begins among them."""
    if len(train) <= MOST_COUNTED:
        return np.asarray(train), np.zeros(1, np.int64)
    blocks = MOST_COUNTED // _BLOCK
    starts = np.arange(blocks) * (len(train) - _BLOCK) // (blocks - 1)
    return np.asarray(train)[starts[:, None] + np.arange(_BLOCK)].ravel(), np.arange(blocks) * _BLOCK


def _reach(tokens: Ids, begins: Ids, border: int | None) -> Ids:
    """Return how many tokens before each one are its context, at most ``LONGEST``."""
    begin = np.zeros(len(tokens), np.int32)
    begin[begins] = begins
    if border is not None:
        after = np.flatnonzero(tokens[:-1] == border) + 1
        begin[after] = after
    places = np.arange(len(tokens), dtype=np.int32)
    return np.minimum(places - np.maximum.accumulate(begin), LONGEST).astype(np.int8)


def _loss(shares: Ids) -> float:
    return float(-np.log(shares).mean())
