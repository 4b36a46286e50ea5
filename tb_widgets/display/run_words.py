"""What a run does, its speed and its metrics as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from tb_widgets.runs import Status
from tb_widgets.runs.numbers import finite
from tb_widgets.spec.metrics import GROUP_RATE, LAYER_NORM, METRICS, TRAINING_METRICS
from tb_widgets.wording import duration

_MOST_PARTS = 12  # of a model, that are told one by one


def speed_in_words(status: Status) -> tuple[str, str] | None:
    """Return how fast a run goes, as a number and its unit; ``None`` while nobody knows.

    >>> speed_in_words(Status(tokens_per_second=21_300)), speed_in_words(Status())
    (('21,300', 'tokens/s'), None)
    """
    for count, unit in ((status.tokens_per_second, "tokens/s"), (status.examples_per_second, "examples/s")):
        if count:
            return f"{count:,.0f}", unit
    return None


def left_in_words(status: Status) -> str:
    """Return how long a run will probably take.

    >>> left_in_words(Status(eta=23))
    'about 0:23 left'
    """
    return f"about {duration(status.eta or 0)} left"


def metrics_in_words(metrics: Mapping[str, Any], status: Status | None = None) -> list[str]:
    """Return the newest metrics in words, for example ``loss 2.113`` and ``validation 2.204``, and a run's speed.

    >>> metrics = {"train/loss": 2.1134, "val/loss": 2.2041, "val/perplexity": 9.06}
    >>> metrics_in_words(metrics, Status(tokens_per_second=21_300))
    ['loss 2.113', 'validation 2.204', 'perplexity 9.1', '21,300 tokens/s']
    """
    loss = finite(metrics.get("train/loss"))
    parts = [f"loss {loss:.3f}"] if loss is not None else []
    for metric in METRICS.values():
        brief = metric.name if metric.brief is None else metric.brief
        if brief and (value := finite(metrics.get(metric.key))) is not None:
            parts.append(f"{brief} {metric.written(value)}")
    if status is not None and (fast := speed_in_words(status)):
        parts.append(" ".join(fast))
    return parts


def training_in_words(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a training has measured of itself last, beside loss and speed: titles and values.

    >>> training_in_words({"update_ratio": 0.0012, "grad_norm/h.0": 0.25, "grad_norm/h.1": 0.5, "lr/head": 0.002})
    [('Update ratio', '1.2e-03'), ('Layer gradients', 'h.0 0.25, h.1 0.5'), ('Learning rates', 'head 0.002')]
    """
    told = [
        (metric.title, metric.written(value))
        for metric in TRAINING_METRICS
        if (value := finite(metrics.get(metric.key))) is not None
    ]
    for title, prefix in (("Layer gradients", LAYER_NORM), ("Learning rates", GROUP_RATE)):
        if parts := {
            key.removeprefix(prefix): number
            for key, value in metrics.items()
            if key.startswith(prefix) and (number := finite(value)) is not None
        }:
            told.append((title, _parts_in_words(parts)))
    return told


def _parts_in_words(parts: Mapping[str, float]) -> str:
    """Return a number for every part of a model, or the extremes of many."""
    if len(parts) <= _MOST_PARTS:
        return ", ".join(f"{name} {value:.3g}" for name, value in parts.items())
    low, high = min(parts, key=parts.__getitem__), max(parts, key=parts.__getitem__)
    return f"{low} {parts[low]:.3g} to {high} {parts[high]:.3g}, median of {len(parts)} {median(parts.values()):.3g}"


def best_in_words(best: Mapping[str, Any]) -> str:
    """Return the best value of the metric that chooses a run's best checkpoint.

    >>> best_in_words({"monitor": "val/accuracy", "value": 0.1729})
    '17.3 %'
    """
    # The run may be one of another machine, with a metric that no package here knows.
    monitor, value = best["monitor"], best["value"]
    return METRICS[monitor].written(value) if monitor in METRICS else f"{value:.4g}"


def activity(status: Status) -> str:
    """Return what a run does at this moment: its phase while it prepares and trains, otherwise its state."""
    if status.state == "stopping":
        return "stopping, saving a checkpoint"
    if status.state in ("preparing", "running") and status.phase:
        return status.phase[0].lower() + status.phase[1:]
    return "starting" if status.state == "queued" and not status.is_waiting else status.state


def waiting_for(status: Status) -> str:
    """Return why a run has paused that nobody has asked to, and the way out; empty for any other.

    >>> waiting_for(Status(state="paused", message="The disk is full: 0 bytes free.", hint="Free some space."))
    'The disk is full: 0 bytes free. Free some space.'
    """
    return f"{status.message} {status.hint}".strip() if status.state == "paused" else ""
