"""Which examples share a batch: those of about the same length, in an order that a step number determines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tb_widgets.data.batches.windows import share_of
from tb_widgets.data.keyed_random import Order, draws, key_of
from tb_widgets.spec.batch import Batch

Collate = Callable[[NDArray[np.int64]], Batch]

# Steps whose examples are sorted by length together. Of texts whose lengths are spread as e^(3.5 ± 0.8), in batches
# of 32, 76 % of a batch is padding with 1, 27 % with 16, 10 % with 64, 5 % with 128.
_STEPS_AT_ONCE = 128


class ExampleBatches:
    """Batches of single examples, each once per epoch, in an order that a step number determines.

    The examples of up to 128 steps, of one epoch at most, are sorted by length and cut into batches, which then change
    places.

    Parameters
    ----------
    collate
        Numbers of examples, ``(B,)``, to a batch.
    lengths
        One for each example.
    batch_size
        Examples per step, over all ranks.
    seed, fingerprint
        Key of the order.
    """

    def __init__(
        self, collate: Collate, lengths: NDArray[np.int64], *, batch_size: int, seed: int, fingerprint: str
    ) -> None:
        self._collate, self._lengths, self._batch_size = collate, lengths, batch_size
        self._order = Order(len(lengths), seed=seed, fingerprint=fingerprint)
        self._key = ("places of batches", seed, fingerprint)
        # Of several epochs sorted together, the copies of one example would meet in one batch.
        self._steps_at_once = max(1, min(_STEPS_AT_ONCE, len(lengths) // batch_size))
        self._block = -1
        self._rows = np.zeros((0, batch_size), dtype=np.int64)

    def batch(self, step: int, *, rank: int = 0, ranks: int = 1) -> Batch:
        """Return the batch of a step, or a rank's slice of it (padded for itself)."""
        block, row = divmod(step, self._steps_at_once)
        if block != self._block:
            self._rows, self._block = self._sorted(block), block
        return self._collate(self._rows[row][share_of(rank, ranks, self._batch_size)])

    def _sorted(self, block: int) -> NDArray[np.int64]:
        number = self._steps_at_once * self._batch_size
        examples = self._order.take(block * number, number)[0].astype(np.int64)
        by_length = examples[np.argsort(self._lengths[examples], kind="stable")].reshape(self._steps_at_once, -1)
        return by_length[np.argsort(draws(key_of(*self._key, block), self._steps_at_once), kind="stable")]
