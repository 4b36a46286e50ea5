"""What is measured of a model on validation data: every validation metric, as people and settings know it.

A metric is added by one file: it describes the metric and says how it is computed, and is found by an entry point of
the group ``tb_widgets.metrics`` that names its module. Journal, form, plots, run list and command line then have it::

    from tb_widgets.spec.metrics import Metric, computes


    @computes(Metric("val/top-5", title="Top 5", unit="labels among the five likeliest", better="max", form=".1%"))
    def top_5(device):
        from torchmetrics.classification import MulticlassAccuracy

        return MulticlassAccuracy(top_k=5, average="micro", ignore_index=-100)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from tb_widgets.spec.registry import Registry
from tb_widgets.spec.tasks import TASKS, Task

Better = Literal["min", "max"]
Compute = TypeVar("Compute", bound=Callable[..., Any])


@dataclass(frozen=True)
class Metric:
    """A validation metric.

    Attributes
    ----------
    key
        Its name in journal, status and settings, for example ``val/loss``.
    title, unit
        What plots and tables call it, and what it counts.
    titles
        The title above a plot for tasks in which it has another one.
    better
        Which way is better; the best checkpoint follows from it.
    form
        How a value is written, in Python's format language.
    brief
        What a line of progress calls it; empty leaves it out there, ``None`` takes the title.
    tasks
        Those that it exists for; ``None`` for every task.
    units
        The unit for tasks in which it counts something else.
    log
        Whether only a logarithmic axis can show an untrained model beside a trained one.
    """

    key: str
    title: str
    unit: str = ""
    better: Better = "min"
    form: str = ".4g"
    brief: str | None = None
    tasks: tuple[Task, ...] | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    log: bool = False

    def exists_for(self, task: str) -> bool:
        """Whether models for a task have it."""
        return self.tasks is None or task in self.tasks

    def written(self, value: float) -> str:
        """Return a value as people read it.

        >>> ACCURACY.written(0.3412), LOSS.written(2.1134)
        ('34.1 %', '2.113')
        """
        return f"{value:{self.form}}".replace("%", " %")

    def heading(self, task: str = "") -> str:
        """Return title and unit as a plot shows them, for example ``Loss (nats per token)``."""
        title, unit = self.titles.get(task, self.title), self.units.get(task, self.unit)
        return f"{title} ({unit})" if unit else title


METRICS: Registry[Metric] = Registry("metrics")
COMPUTED: dict[str, Callable[..., Any]] = {}
"""Makes what computes a metric, by its key: a ``torchmetrics.Metric`` for a device."""
FOLLOWING: dict[str, tuple[str, Callable[[float], float]]] = {}
"""The metrics that follow from another one's value: that one's key, and how."""


def computes(metric: Metric, *, of: Metric | None = None) -> Callable[[Compute], Compute]:
    """Register a metric together with how it is computed.

    The function takes a ``torch.device`` and makes a ``torchmetrics.Metric``, which adds up over batches and ranks. It
    is updated with logits ``(N, V)`` and labels ``(N,)``, of which -100 does not count. Import heavy packages inside:
    forms and command lines read the description only.

    Parameters
    ----------
    of
        Another metric, where this one follows from its value: then the function takes that number and returns one.
    """

    def register(compute: Compute) -> Compute:
        if metric not in OWN:
            METRICS.add(metric.key, metric)
        if of is None:
            COMPUTED[metric.key] = compute
        else:
            FOLLOWING[metric.key] = (of.key, compute)
        return compute

    return register


LOSS = Metric(
    "val/loss",
    title="Loss",
    unit="nats per token",
    form=".3f",
    brief="validation",
    units={name: f"nats per {task.unit}" for name, task in TASKS.items()},
)
PERPLEXITY = Metric(
    "val/perplexity",
    title="Perplexity",
    form=",.1f",
    log=True,
    tasks=tuple(name for name, task in TASKS.items() if task.predicts_tokens),
)
ACCURACY = Metric(
    "val/accuracy",
    title="Accuracy",
    better="max",
    form=".1%",
    brief="",
    titles={name: task.accuracy for name, task in TASKS.items()},
)
OWN = (LOSS, PERPLEXITY, ACCURACY)
for _metric in OWN:
    METRICS.add(_metric.key, _metric)
