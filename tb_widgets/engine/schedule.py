"""The learning rate of every step, as a pure function: nothing to save, nothing to restore."""

from __future__ import annotations

import math
from collections.abc import Callable

from tb_widgets.spec import Schedule, TrainingSpec


def constant(_training: TrainingSpec, _progress: float) -> float:
    """Stay at the peak."""
    return 1.0


def linear(_training: TrainingSpec, progress: float) -> float:
    """Fall in a straight line."""
    return 1 - progress


def cosine(_training: TrainingSpec, progress: float) -> float:
    """Fall along half a cosine (Loshchilov and Hutter, arXiv 1608.03983): slowly at both ends."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def cosine_restarts(training: TrainingSpec, progress: float) -> float:
    """Fall along a cosine several times, each time from the peak (the same paper); the last one ends at the floor."""
    done = progress * training.cycles
    return cosine(training, done % 1 if progress < 1 else 1.0)


def polynomial(training: TrainingSpec, progress: float) -> float:
    """Fall as a power of what is left."""
    return float((1 - progress) ** training.power)


def warmup_stable_decay(training: TrainingSpec, progress: float) -> float:
    """Stay at the peak, then fall in a straight line (Hu et al., arXiv 2404.06395): more steps can be had later."""
    left = 1 - progress
    return 1.0 if left >= training.cooldown else left / training.cooldown


SCHEDULES: dict[Schedule, Callable[[TrainingSpec, float], float]] = {
    "cosine": cosine,
    "linear": linear,
    "constant": constant,
    "wsd": warmup_stable_decay,
    "cosine-restarts": cosine_restarts,
    "polynomial": polynomial,
}
"""Where the rate is between floor (0) and peak (1), of the share of the steps since warm-up that are done."""


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
    height = SCHEDULES[training.schedule](training, progress)
    return peak * height + floor * (1 - height)
