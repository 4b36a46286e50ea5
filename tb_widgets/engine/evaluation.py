"""Testing a model on held-back examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from tb_widgets.engine.modes import in_mode
from tb_widgets.engine.objective import count_correct, count_labels, prediction_loss
from tb_widgets.engine.precision import autocast
from tb_widgets.errors import TrainingError
from tb_widgets.models.adapter import Batch
from tb_widgets.spec import Task

WITH_PERPLEXITY: tuple[Task, ...] = ("causal-lm", "masked-lm", "seq2seq")


def evaluate(
    module: nn.Module,
    scores_of: Callable[[Batch], Tensor],
    batches: Iterable[Batch],
    *,
    task: Task = "causal-lm",
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> dict[str, float]:
    """Return the validation figures, weighted by counted labels, so that a short last batch counts for what it holds.

    Parameters
    ----------
    module
        Put into evaluation mode, and each of its parts back into the mode that it was in.
    scores_of
        A batch by role to (..., V) scores, one row for each label.
    batches
        With ``labels`` in which -100 does not count.
    task
        Decides which figures there are.

    Returns
    -------
    dict
        ``val/loss`` (nats a label), ``val/accuracy`` (share of labels ranked first) and, for tasks that predict
        tokens, ``val/perplexity`` (the loss's exponential).

    Raises
    ------
    TrainingError
        If no label counts.
    """
    loss = torch.zeros((), device=device, dtype=torch.float64 if device.type != "mps" else torch.float32)
    correct = torch.zeros((), device=device, dtype=torch.int64)
    counted = 0
    # Not in inference mode: a table that the model makes here would be of no use to the next training step.
    with in_mode(module, training=False), torch.no_grad():
        for cpu_batch in batches:
            counted += count_labels(cpu_batch["labels"])
            batch = {role: tensor.to(device) for role, tensor in cpu_batch.items()}
            with autocast(device, dtype):
                scores = scores_of(batch)
            loss += prediction_loss(scores, batch["labels"], reduction="sum")
            correct += count_correct(scores, batch["labels"])
    if not counted:
        raise TrainingError(
            "No label of the held-back data counts: every one is -100, so there is nothing to measure.",
            hint="Hold back more data, or other data that have something to predict.",
        )
    mean = loss.item() / counted
    figures = {"val/loss": mean, "val/perplexity": perplexity(mean), "val/accuracy": correct.item() / counted}
    if task not in WITH_PERPLEXITY:
        del figures["val/perplexity"]
    return figures


def perplexity(loss: float) -> float:
    """Return exp(loss), infinite where that is too large to write down.

    >>> round(perplexity(math.log(50)), 6)
    50.0
    """
    return math.exp(loss) if loss < 700 else math.inf
