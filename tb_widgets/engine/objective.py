"""What is minimised: the loss of predicting each next token."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy


def causal_lm_loss(logits: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return the cross entropy of next-token prediction, in nats.

    Parameters
    ----------
    logits
        (B, T, V): the model's scores at positions 0 to T-1.
    targets
        (B, T): the token that follows each position; the shift is made by the batch, not here.
    reduction
        ``"mean"`` over tokens or ``"sum"``.

    Returns
    -------
    Tensor
        A scalar in float32, whatever the precision of the logits.
    """
    return cross_entropy(logits.reshape(-1, logits.shape[-1]).float(), targets.reshape(-1), reduction=reduction)


def count_correct(logits: Tensor, targets: Tensor) -> Tensor:
    """Return how many next tokens were ranked first, as an int64 scalar on the device."""
    return (logits.argmax(dim=-1) == targets).sum()
