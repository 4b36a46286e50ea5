"""The learning rate of every step, as a pure function: nothing to save, nothing to restore."""

from __future__ import annotations

import math
from collections.abc import Callable

from tb_widgets.spec import Schedule, TrainingSpec


def constant(peak: float, _floor: float, _progress: float) -> float:
    """Stay at the peak."""
    return peak


def linear(peak: float, floor: float, progress: float) -> float:
    """Fall in a straight line from the peak to the floor."""
    return floor + (peak - floor) * (1 - progress)


def cosine(peak: float, floor: float, progress: float) -> float:
    """Fall along half a cosine (Loshchilov and Hutter, arXiv 1608.03983): slowly at both ends."""
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * progress))


SCHEDULES: dict[Schedule, Callable[[float, float, float], float]] = {
    "cosine": cosine,
    "linear": linear,
    "constant": constant,
}
"""The rate after warm-up, of peak, floor and the share of the steps since warm-up that are done."""


def learning_rate(training: TrainingSpec, step: int) -> float:
    """Return the learning rate of one optimiser step.

    Parameters
    ----------
    training
        Peak, schedule, warm-up (share of the steps) and final share of the peak.
    step
        Counted from 1 to ``training.steps``.

    Examples
    --------
    >>> spec = TrainingSpec(steps=100, warmup=0.1, learning_rate=1.0, min_lr_fraction=0.0, schedule="linear")
    >>> [round(learning_rate(spec, step), 2) for step in (1, 10, 55, 100)]
    [0.1, 1.0, 0.5, 0.0]
    """
    peak, floor = training.learning_rate, training.learning_rate * training.min_lr_fraction
    warmup_steps = round(training.warmup * training.steps)
    if step <= warmup_steps:
        return peak * step / warmup_steps
    progress = (step - warmup_steps) / max(1, training.steps - warmup_steps)
    return SCHEDULES[training.schedule](peak, floor, progress)
