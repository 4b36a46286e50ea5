"""Batches without state: what a step sees follows from the seed, the step and the data, and nothing else."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from torch import Tensor

from tb_widgets.data.keyed_random import Order, mix
from tb_widgets.errors import DataError
from tb_widgets.spec.batch import Batch

# Windows whose place is computed at once: the cost of a step is then that of the gather.
_WINDOWS_AT_ONCE = 4096


class Batches(Protocol):
    """Source of batches for the loop, whatever the task."""

    def batch(self, step: int, *, rank: int = 0, ranks: int = 1) -> Batch:
        """Return the batch of a step, counted from 0, or a rank's equal slice of it."""
        ...


def share_of(rank: int, ranks: int, batch_size: int) -> slice:
    """Return which rows of a batch belong to a rank; the slices in order are the whole batch.

    Raises
    ------
    DataError
        If the batch can't be shared evenly.
    """
    share, rest = divmod(batch_size, ranks)
    if rest:
        raise DataError(
            f"training.batch_size is {batch_size}, which {ranks} processes can't split evenly.",
            hint=f"Choose a multiple of {ranks}.",
        )
    return slice(rank * share, (rank + 1) * share)


class TrainBatches:
    """Training windows of a token stream, each once per epoch, in an order that a step number determines.

    Epoch ``e`` cuts the stream into windows of ``context_length + 1`` tokens (neighbours share one token: the target of
    one is the input of the next), beginning at an offset that is new in each epoch. What is left over stays unread
    before and behind them, so that over the epochs every token but the first is a target. An :class:`Order` says which
    window comes when.

    Parameters
    ----------
    tokens
        Token ids, ``(tokens,)``, any integer type; may be memory-mapped.
    context_length
        Tokens that the model sees.
    batch_size
        Windows per step, over all ranks.
    seed, fingerprint
        Key of the order; ``fingerprint`` names the token stream.

    Raises
    ------
    DataError
        If the stream is shorter than one window.
    """

    def __init__(
        self, tokens: NDArray[Any], *, context_length: int, batch_size: int, seed: int, fingerprint: str
    ) -> None:
        if len(tokens) < context_length + 1:
            raise DataError(
                f"The training text has {len(tokens):,} tokens, but one window needs {context_length + 1:,}.",
                hint="Choose a shorter data.context_length or a longer text.",
            )
        # A plain view: the memmap class would add its own cost to every gather.
        stream = np.ascontiguousarray(tokens).view(np.ndarray)
        self._context_length = context_length
        self._batch_size = batch_size
        # All windows of the stream as rows of one array, without a copy.
        self._rows = as_strided(
            stream,
            shape=(len(stream) - context_length, context_length + 1),
            strides=(stream.itemsize, stream.itemsize),
            writeable=False,
        )
        # With two windows or more, one is given up so that every offset leaves the same number.
        whole = (len(stream) - 1) // context_length
        self.windows = max(1, whole - 1)
        self._offsets = len(stream) - self.windows * context_length
        self._order = Order(self.windows, seed=seed, fingerprint=fingerprint)
        self._steps_at_once = max(1, _WINDOWS_AT_ONCE // batch_size)
        self._block = -1
        self._starts: NDArray[np.int64] = np.zeros((0, batch_size), dtype=np.int64)

    @property
    def epoch_steps(self) -> float:
        """Steps per epoch over the text."""
        return self.windows / self._batch_size

    def batch(self, step: int, *, rank: int = 0, ranks: int = 1) -> Tensor:
        """Return the windows of a step.

        Parameters
        ----------
        step
            Counted from 0.
        rank, ranks
            Which of how many equal slices of the step's batch; the slices in order are the whole batch.

        Returns
        -------
        Tensor
            Token ids, ``(batch_size / ranks, context_length + 1)``, int64.

        Raises
        ------
        DataError
            If the batch can't be shared evenly among the ranks.
        """
        block, row = divmod(step, self._steps_at_once)
        if block != self._block:
            self._starts, self._block = self._window_starts(block), block
        starts = self._starts[row]
        if ranks > 1:
            starts = starts[share_of(rank, ranks, self._batch_size)]
        return torch.from_numpy(self._rows[starts].astype(np.int64))

    def _window_starts(self, block: int) -> NDArray[np.int64]:
        """Return the first token of each window in a block of steps, ``(steps, batch_size)``."""
        number = self._steps_at_once * self._batch_size
        window, key = self._order.take(block * number, number)
        offset = mix(~key) % np.uint64(self._offsets)
        starts = window * np.uint64(self._context_length) + offset
        return starts.astype(np.int64).reshape(self._steps_at_once, self._batch_size)


def validation_batches(tokens: NDArray[Any], *, context_length: int, batch_size: int, batches: int) -> list[Tensor]:
    """Return windows spread evenly over the validation text: always the same ones, none overlapping in its targets.

    Parameters
    ----------
    tokens
        Token ids, ``(tokens,)``.
    context_length
        Tokens that the model sees.
    batch_size, batches
        Windows per batch and number of batches; a short text gives fewer, and perhaps a smaller last batch.

    Returns
    -------
    list of Tensor
        Each ``(at most batch_size, context_length + 1)``, int64.

    Raises
    ------
    DataError
        If the text is shorter than one window.
    """
    available = (len(tokens) - 1) // context_length
    if available < 1:
        raise DataError(
            f"The validation text has {len(tokens):,} tokens, but one window needs {context_length + 1:,}.",
            hint="Choose a shorter data.context_length, a longer text, or a larger data.validation_fraction.",
        )
    wanted = min(available, batch_size * batches)
    starts = np.arange(wanted, dtype=np.int64) * available // wanted * context_length
    windows = np.asarray(tokens)[starts[:, None] + np.arange(context_length + 1)].astype(np.int64)
    return [torch.from_numpy(windows[first : first + batch_size]) for first in range(0, wanted, batch_size)]
