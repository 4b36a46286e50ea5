"""What is measured of a model: the metrics of validation and of training, as people and settings know them.

A validation metric is added by one file: it describes the metric and says how it is computed, and is found by an
entry point of the group ``tb_widgets.metrics`` that names its module. Journal, form, plots, run list and command line
then have it::

    from tb_widgets.spec.metrics import Metric, computes


    @computes(Metric("val/top-2", title="Top 2", unit="labels among the two likeliest", better="max", form=".1%"))
    def top_2(device):
        from torchmetrics.classification import MulticlassAccuracy

        return MulticlassAccuracy(num_classes=256, top_k=2, average="micro", ignore_index=-100)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from tb_widgets.spec.registry import Registry
from tb_widgets.spec.tasks import TASKS, Task

Better = Literal["min", "max"]
_HUGE = 1e9  # from here on a number is written by its exponent
Compute = TypeVar("Compute", bound=Callable[..., Any])


@dataclass(frozen=True)
class Metric:
    """A metric of validation, or of training.

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
    plotted
        Whether it has a plot of its own beside a run; journal, details and ``checkpoints.monitor`` have it anyway.
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
    plotted: bool = True

    @property
    def name(self) -> str:
        """What it is called inside a sentence.

        >>> ACCURACY.name, F1.name, CHRF.name
        ('accuracy', 'F1', 'chrF')
        """
        first, rest = self.title[:1], self.title[1:]
        return self.title if rest != rest.lower() or rest.isdigit() else first.lower() + rest

    def exists_for(self, task: str) -> bool:
        """Whether models for a task have it."""
        return self.tasks is None or task in self.tasks

    def written(self, value: float) -> str:
        """Return a value as people read it.

        >>> ACCURACY.written(0.3412), LOSS.written(2.1134)
        ('34.1 %', '2.113')
        """
        return f"{value:{self.form if abs(value) < _HUGE else '.3g'}}".replace("%", " %")

    def heading(self, task: str = "") -> str:
        """Return title and unit as a plot shows them, for example ``Loss (nats per token)``."""
        title, unit = self.titles.get(task, self.title), self.units.get(task, self.unit)
        return f"{title} ({unit})" if unit else title


@dataclass(frozen=True)
class Computation:
    """How a metric is computed.

    Attributes
    ----------
    compute
        Makes a ``torchmetrics.Metric`` for a device, or returns the metric's value for another one's.
    of
        The key of that other metric; ``None`` where it follows from none.
    needs
        A fact about the data that is handed over as well; empty for none. Without it there is no such metric.
    """

    compute: Callable[..., Any]
    of: str | None = None
    needs: str = ""


METRICS: Registry[Metric] = Registry("metrics")
COMPUTED: dict[str, Computation] = {}
"""How each metric is computed, by its key."""


def computes(metric: Metric, *, of: Metric | None = None, needs: str = "") -> Callable[[Compute], Compute]:
    """Register a metric together with how it is computed.

    The function takes a ``torch.device`` and makes a ``torchmetrics.Metric``, which adds up over batches and ranks. It
    is updated with logits ``(N, V)`` and labels ``(N,)``, of which -100 does not count. Import heavy packages inside:
    forms and command lines read the description only.

    Parameters
    ----------
    of
        Another metric, where this one follows from its value: then the function takes that number and returns one.
    needs
        A fact that it takes as well: ``classes``, how many there are; ``bytes_per_label``, a mean over the labels of
        the validation text; or ``answers``, how many validation texts a sequence-to-sequence model answers. In that
        case the metric is updated with what it wrote and what would be right, two lists of texts.
        Where the data do not know the fact, the metric is left out.
    """

    def register(compute: Compute) -> Compute:
        if metric not in OWN:
            METRICS.add(metric.key, metric)
        COMPUTED[metric.key] = Computation(compute, of.key if of is not None else None, needs)
        return compute

    return register


_TOKENS: tuple[Task, ...] = tuple(name for name, task in TASKS.items() if task.predicts_tokens)
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
    tasks=_TOKENS,
)
ACCURACY = Metric(
    "val/accuracy",
    title="Accuracy",
    better="max",
    form=".1%",
    brief="",
    titles={name: task.accuracy for name, task in TASKS.items()},
)
BITS_PER_BYTE = Metric(
    "val/bits-per-byte", title="Bits per byte", form=".3f", brief="", tasks=("causal-lm",), plotted=False
)
TOP_5 = Metric(
    "val/top-5",
    title="Top 5",
    unit="label among the five likeliest",
    better="max",
    form=".1%",
    brief="",
    tasks=_TOKENS,
    plotted=False,
)
F1 = Metric(
    "val/f1",
    title="F1",
    unit="mean over the classes",
    better="max",
    form=".3f",
    brief="",
    tasks=tuple(name for name, task in TASKS.items() if task.tells_classes),
    plotted=False,
)
BLEU = Metric(
    "val/bleu",
    title="BLEU",
    unit="of 100",
    better="max",
    form=".1f",
    brief="",
    tasks=("seq2seq",),
    plotted=False,
)
CHRF = replace(BLEU, key="val/chrf", title="chrF")
EXACT_MATCH = replace(
    BLEU, key="val/exact-match", title="Exact match", unit="answers that are right as a whole", form=".1%"
)
OWN = (LOSS, PERPLEXITY, ACCURACY, BITS_PER_BYTE, TOP_5, F1, BLEU, CHRF, EXACT_MATCH)
for _metric in OWN:
    METRICS.add(_metric.key, _metric)

UPDATE_RATIO = Metric("update_ratio", title="Update ratio", unit="RMS of update / RMS of weights", form=".1e")
MFU = Metric("mfu", title="MFU", unit="of the peak FLOP/s", better="max", form=".1%")
GPU_BUSY = Metric("gpu_busy", title="GPU busy", unit="of the time", better="max", form=".0%")
TRAINING_METRICS = (UPDATE_RATIO, MFU, GPU_BUSY)
"""What a training measures of itself beside loss, gradient norm, learning rate and speed, as far as it can."""
LAYER_NORM, GROUP_RATE = "grad_norm/", "lr/"
"""What the keys of a layer's gradient norm and of a group's learning rate begin with."""
