"""An average of the weights along the training, which is what is evaluated, sampled from and kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

CARRIED = "trained-"  # before the index of a weight as it is trained, where a checkpoint's own weights are the average


class WeightAverage:
    """The exponential moving average of some parameters, or nothing at all.

    Parameters
    ----------
    parameters
        Those that are trained, in their order.
    decay
        Share of the average that a step leaves, 0 to below 1; ``None`` averages nothing. In the first steps it is
        lower, or the average would remember the random weights of the beginning.
    """

    def __init__(self, parameters: Sequence[Tensor], decay: float | None) -> None:
        self._parameters, self._decay = parameters, decay
        self._averages = [p.detach().clone() for p in parameters] if decay is not None else []

    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 1."""
        if self._decay is not None:
            decay = min(self._decay, step / (step + 9))
            torch._foreach_lerp_(self._averages, [p.detach() for p in self._parameters], 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model have the averages as its weights meanwhile."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def carried(self) -> dict[str, Tensor]:
        """Return the weights that a checkpoint needs besides its own, called while the averages are in place."""
        return {f"{CARRIED}{index}": weight for index, weight in enumerate(self._averages)}

    def restore(self, carried: dict[str, Tensor]) -> None:
        """Take over the weights of a checkpoint, whose averages the model has as its weights."""
        if self._decay is not None:
            with torch.no_grad():
                for index, (parameter, average) in enumerate(zip(self._parameters, self._averages, strict=True)):
                    average.copy_(parameter)
                    parameter.copy_(carried[f"{CARRIED}{index}"])

    def _swap(self) -> None:
        for index, average in enumerate(self._averages):
            parameter = self._parameters[index]
            self._averages[index], parameter.data = parameter.data, average
