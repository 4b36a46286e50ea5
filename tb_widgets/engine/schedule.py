"""The learning rate of every step, as a pure function: nothing to save, nothing to restore."""

from __future__ import annotations

import math

from tb_widgets.spec import TrainingSpec


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
    if training.schedule == "constant":
        return peak
    if training.schedule == "linear":
        return floor + (peak - floor) * (1 - progress)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * progress))
