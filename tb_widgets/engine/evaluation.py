"""Evaluating a model on validation examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tb_widgets.engine.inference.answers import Answers
from tb_widgets.engine.metrics import ValidationMetrics
from tb_widgets.engine.objective import count_labels
from tb_widgets.engine.parallel import Group
from tb_widgets.engine.precision import autocast
from tb_widgets.errors import TrainingError
from tb_widgets.models.modes import in_mode
from tb_widgets.spec import Task
from tb_widgets.spec.batch import Batch, in_parts


@dataclass(frozen=True)
class Tally:
    """What one rank has counted in its share of the validation; :meth:`agreed` is over all."""

    metrics: ValidationMetrics
    labels: int

    def agreed(self, group: Group) -> dict[str, float]:
        """Return the metrics by their keys over all ranks, each of which has to ask.

        Raises
        ------
        TrainingError
            If no label counts.
        """
        if not group.sum(self.labels):
            raise TrainingError(
                "No label of the validation data counts: every one is -100, so there is nothing to measure.",
                hint="Use a larger or a different validation set.",
            )
        return self.metrics.compute()


def tally(
    module: nn.Module,
    logits_of: Callable[[Batch], Tensor],
    batches: Iterable[Batch],
    *,
    task: Task = "causal-lm",
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    rows: int | None = None,
    group: Group | None = None,
    facts: Mapping[str, float] | None = None,
    answers: Answers | None = None,
) -> Tally:
    """Count what the validation metrics of a task need, over the labels of this rank's share of all batches.

    Parameters
    ----------
    module
        Put into evaluation mode, and each of its parts back into the mode that it was in.
    logits_of
        A batch by role to logits (..., V), one row for each label.
    batches
        With ``labels`` in which -100 does not count.
    task
        Decides which metrics there are.
    rows
        Examples that go through the model at once; ``None`` for whole batches.
    group
        Each rank takes its share of every batch.
    facts
        What some metrics need to know of the data; see :meth:`PreparedData.facts`.
    answers
        Texts that the model answers, for the metrics over answers; without them there are none.
    """
    group = group or Group()
    metrics = ValidationMetrics(task, device, {**(facts or {}), **(answers.facts if answers else {})})
    counted = 0

    def forward(batch: Batch) -> Tensor:
        with autocast(device, dtype):
            return logits_of(batch)

    # Not in inference mode: a table that the model makes here would be of no use to the next training step.
    with in_mode(module, training=False), torch.no_grad():
        for cpu_batch in batches:
            # Ranks with parts of one model make the same passes: what can't be shared evenly, the main one counts.
            is_shared = not group.is_sharded or len(cpu_batch["labels"]) % group.size == 0
            mine = group.share(cpu_batch) if is_shared else cpu_batch
            counts = is_shared or group.is_main
            if not len(mine["labels"]):
                continue
            counted += count_labels(mine["labels"]) * counts
            for part in in_parts(mine, rows or len(mine["labels"])):
                batch = {role: tensor.to(device) for role, tensor in part.items()}
                logits = forward(batch)
                if counts:
                    metrics.update(logits, batch["labels"])
        if answers is not None:
            share = (lambda batch: batch) if group.is_sharded else group.share
            for written, right in answers.written(forward, share, device=device, rows=rows):
                if group.is_main or not group.is_sharded:
                    metrics.update_answers(written, right)
    return Tally(metrics, counted)


def evaluate(
    module: nn.Module,
    logits_of: Callable[[Batch], Tensor],
    batches: Iterable[Batch],
    *,
    group: Group | None = None,
    **options: Any,
) -> dict[str, float]:
    """Return the validation metrics of a task by their keys, over the counted labels of all batches and ranks.

    It takes what :func:`tally` takes, and raises what :meth:`Tally.agreed` does.
    """
    return tally(module, logits_of, batches, group=group, **options).agreed(group or Group())
