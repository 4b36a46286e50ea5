"""How the validation metrics are computed. What they are called, and which way is better, stands in spec/metrics.py."""

from __future__ import annotations

import math

import torch
import torchmetrics
from torch import Tensor

from tb_widgets.engine.objective import count_correct, prediction_loss
from tb_widgets.spec import Task
from tb_widgets.spec.batch import NOT_COUNTED
from tb_widgets.spec.metrics import ACCURACY, COMPUTED, FOLLOWING, LOSS, METRICS, PERPLEXITY, computes


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


class ValidationMetrics:
    """Every metric of a task, over the batches of one validation."""

    def __init__(self, task: Task, device: torch.device) -> None:
        self._keys = [metric.key for metric in METRICS.values() if metric.exists_for(task)]
        self._computed = {key: COMPUTED[key](device).to(device) for key in self._keys if key in COMPUTED}

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch of logits (..., V) and labels (...)."""
        rows, flat = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
        for metric in self._computed.values():
            metric.update(rows, flat)

    def compute(self) -> dict[str, float]:
        """Return each metric by its key, over all batches and ranks."""
        found = {key: float(metric.compute()) for key, metric in self._computed.items()}
        for key in self._keys:
            if key in FOLLOWING:
                other, follow = FOLLOWING[key]
                found[key] = follow(found[other])
        return {key: found[key] for key in self._keys}
