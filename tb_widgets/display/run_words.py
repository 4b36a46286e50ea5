"""What a run does, its speed and its metrics as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tb_widgets.runs import Status
from tb_widgets.runs.numbers import finite
from tb_widgets.spec.metrics import METRICS


def speed_in_words(status: Status) -> tuple[str, str] | None:
    """Return how fast a run goes, as a number and its unit; ``None`` while nobody knows.

    >>> speed_in_words(Status(tokens_per_second=21_300)), speed_in_words(Status())
    (('21,300', 'tokens/s'), None)
    """
    for count, unit in ((status.tokens_per_second, "tokens/s"), (status.examples_per_second, "examples/s")):
        if count:
            return f"{count:,.0f}", unit
    return None


def metrics_in_words(metrics: Mapping[str, Any], status: Status) -> list[str]:
    """Return the newest metrics in words, for example ``loss 2.113`` and ``validation 2.204``, and the speed.

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
    if fast := speed_in_words(status):
        parts.append(" ".join(fast))
    return parts


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
    return status.state
