"""Testing a model on held-back text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from tb_widgets.engine.hardware import autocast
from tb_widgets.engine.objective import causal_lm_loss, count_correct


def evaluate(
    module: nn.Module,
    logits_of: Callable[[Tensor], Tensor],
    batches: Iterable[Tensor],
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> dict[str, float]:
    """Return the validation figures, weighted by tokens, so that a short last batch counts for what it holds.

    Parameters
    ----------
    module
        Put into evaluation mode, and back into the mode that it was in.
    logits_of
        (B, T) token ids to (B, T, V) scores.
    batches
        int64 tensors (B, T + 1): inputs and, shifted by one, targets.

    Returns
    -------
    dict
        ``val/loss`` (nats a token), ``val/perplexity`` (its exponential), ``val/accuracy`` (share of next tokens
        ranked first).
    """
    was_training = module.training
    module.eval()
    loss = torch.zeros((), device=device, dtype=torch.float64 if device.type != "mps" else torch.float32)
    correct = torch.zeros((), device=device, dtype=torch.int64)
    tokens = 0
    with torch.inference_mode():
        for cpu_batch in batches:
            batch = cpu_batch.to(device)
            inputs, targets = batch[:, :-1], batch[:, 1:]
            with autocast(device, dtype):
                logits = logits_of(inputs)
            loss += causal_lm_loss(logits, targets, reduction="sum")
            correct += count_correct(logits, targets)
            tokens += targets.numel()
    module.train(was_training)
    mean = loss.item() / tokens
    return {"val/loss": mean, "val/perplexity": perplexity(mean), "val/accuracy": correct.item() / tokens}


def perplexity(loss: float) -> float:
    """Return exp(loss), infinite where that is too large to write down.

    >>> round(perplexity(math.log(50)), 6)
    50.0
    """
    return math.exp(loss) if loss < 700 else math.inf
