"""How the validation metrics are computed. What they are called, and which way is better, stands in spec/metrics.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torchmetrics
from torch import Tensor

from tb_widgets.engine import text_metrics  # noqa: F401 - registers them
from tb_widgets.engine.inference.answers import ANSWERS
from tb_widgets.engine.objective import count_correct, prediction_loss
from tb_widgets.spec import Task
from tb_widgets.spec.batch import NOT_COUNTED
from tb_widgets.spec.metrics import ACCURACY, BITS_PER_BYTE, COMPUTED, F1, LOSS, METRICS, PERPLEXITY, TOP_5, computes

_PIECE = 2**18  # logits


class MeanOverLabels(torchmetrics.Metric):
    """A sum over the counted labels, divided by their number: a short last batch counts for what it holds."""

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=dtype), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch of logits (N, V) and labels (N,)."""
        self.total += self.sum_over(logits, labels)
        self.count += (labels != NOT_COUNTED).sum()

    def compute(self) -> Tensor:
        """Return the mean, in float64 on the CPU."""
        return self.total.cpu().double() / self.count.cpu()

    def sum_over(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what is added for a batch."""
        raise NotImplementedError


class MeanLoss(MeanOverLabels):
    """Cross entropy in nats a label."""

    def sum_over(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the summed cross entropy."""
        return prediction_loss(logits, labels, reduction="sum")


class ShareCorrect(MeanOverLabels):
    """Share of the labels that were ranked first."""

    def sum_over(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return how many were ranked first."""
        return count_correct(logits, labels)


class ShareAmongLikeliest(MeanOverLabels):
    """Share of the labels that were ranked among the first few; of equal logits, the label's own comes last."""

    def __init__(self, few: int) -> None:
        super().__init__(torch.int64)
        self.few = few

    def sum_over(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return how many were ranked among them."""
        own = logits.gather(-1, labels.clamp(min=0).unsqueeze(-1))
        # Counted as floats, in pieces that stay in a cache: several times faster than topk or a sum of booleans.
        rows = max(1, _PIECE // logits.shape[-1])
        room = torch.empty(min(rows, len(logits)), logits.shape[-1], device=logits.device)
        pieces = zip(torch.split(logits, rows), torch.split(own, rows), strict=True)
        rank = torch.cat([torch.ge(piece, mine, out=room[: len(piece)]).sum(-1) for piece, mine in pieces])
        # A logit that is no number is not even as large as itself.
        return ((rank > 0) & (rank <= self.few) & (labels != NOT_COUNTED)).sum()


class MacroF1(torchmetrics.Metric):
    """The mean of every class's F1, ``2 right / (predicted + labelled)``, over the classes that occur in either."""

    full_state_update = False
    right: Tensor
    predicted: Tensor
    labelled: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        for name in ("right", "predicted", "labelled"):
            self.add_state(name, torch.zeros(classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch of logits (N, V) and labels (N,); a model may have more outputs than there are classes."""
        counted = labels != NOT_COUNTED
        labels, ranked = labels[counted], logits[counted].argmax(dim=-1)
        self.labelled += self._count(labels)
        self.predicted += self._count(ranked)
        self.right += self._count(labels[ranked == labels])

    def compute(self) -> Tensor:
        """Return the mean, in float64 on the CPU."""
        both = (self.predicted + self.labelled).cpu()
        return (2 * self.right.cpu()[both > 0].double() / both[both > 0]).mean()

    def _count(self, classes: Tensor) -> Tensor:
        known = len(self.right)
        return torch.bincount(classes, minlength=known)[:known]


@computes(LOSS)
def loss(device: torch.device) -> torchmetrics.Metric:
    """Return the mean loss; sums are in float64 where the device has it."""
    return MeanLoss(torch.float32 if device.type == "mps" else torch.float64)


@computes(ACCURACY)
def accuracy(_device: torch.device) -> torchmetrics.Metric:
    """Return the share of labels ranked first."""
    return ShareCorrect(torch.int64)


@computes(PERPLEXITY, of=LOSS)
def perplexity(loss: float) -> float:
    """Return exp(loss), infinite where that is too large to write down.

    >>> round(perplexity(math.log(50)), 6)
    50.0
    """
    return math.exp(loss) if loss < 700 else math.inf


@computes(BITS_PER_BYTE, of=LOSS, needs="bytes_per_label")
def bits_per_byte(loss: float, bytes_per_label: float) -> float:
    """Return the loss in bits for each byte of text, which texts in other tokens can be compared by.

    >>> bits_per_byte(math.log(16), 4.0)
    1.0
    """
    return loss / math.log(2) / bytes_per_label


@computes(TOP_5)
def top_5(_device: torch.device) -> torchmetrics.Metric:
    """Return the share of labels ranked among the first five."""
    return ShareAmongLikeliest(5)


@computes(F1, needs="classes")
def f1(_device: torch.device, classes: float) -> torchmetrics.Metric:
    """Return the mean F1 of the classes."""
    return MacroF1(int(classes))


def measured(task: Task, facts: Mapping[str, float]) -> list[str]:
    """Return the keys of the metrics of a task that can be computed with these facts about the data."""
    there = [metric.key for metric in METRICS.values() if metric.exists_for(task)]
    return [key for key in there if not COMPUTED[key].needs or COMPUTED[key].needs in facts]


class ValidationMetrics:
    """Every metric of a task, over the batches of one validation.

    Parameters
    ----------
    facts
        What metrics need to know of the data; those that need others are left out.
    """

    def __init__(self, task: Task, device: torch.device, facts: Mapping[str, float] | None = None) -> None:
        self._keys, self._facts = measured(task, facts or {}), facts or {}
        self._computed = {
            key: COMPUTED[key].compute(device, *self._needed(key)).to(device)
            for key in self._keys
            if COMPUTED[key].of is None
        }

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch of logits (..., V) and labels (...)."""
        rows, flat = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
        for key, metric in self._computed.items():
            if COMPUTED[key].needs != ANSWERS:
                metric.update(rows, flat)

    def update_answers(self, written: Sequence[str], right: Sequence[str]) -> None:
        """Add texts that a model wrote, and what would be right."""
        for key, metric in self._computed.items():
            if COMPUTED[key].needs == ANSWERS:
                metric.update(written, right)

    def compute(self) -> dict[str, float]:
        """Return each metric by its key, over all batches and ranks."""
        found = {key: float(metric.compute()) for key, metric in self._computed.items()}
        for key in self._keys:
            if (other := COMPUTED[key].of) is not None:
                found[key] = COMPUTED[key].compute(found[other], *self._needed(key))
        return {key: found[key] for key in self._keys}

    def _needed(self, key: str) -> list[float]:
        needs = COMPUTED[key].needs
        return [self._facts[needs]] if needs else []
