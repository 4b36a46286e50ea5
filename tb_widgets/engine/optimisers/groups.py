"""Groups of parameters, each with its own weight decay and its own share of the learning rate."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypedDict

import torch
from torch import Tensor, nn

from tb_widgets.spec import ParameterRole, TrainingSpec

_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
# Weights of theirs that an optimiser for matrices may take; others' may be tables, or used in their own way.
_MULTIPLY = (nn.Linear, nn.MultiheadAttention)


class ParameterGroup(TypedDict):
    """Parameters that are updated alike.

    ``role`` says what they are for; ``lr_scale`` times the schedule's learning rate is that of the group, at every
    step.
    """

    params: list[Tensor]
    role: ParameterRole
    weight_decay: float
    lr_scale: float


def parameter_groups(module: nn.Module, training: TrainingSpec, outputs: Collection[int] = ()) -> list[ParameterGroup]:
    """Return the trainable parameters in groups by their role, each parameter once.

    ============  ==============================================================  ============
    role          parameters                                                      weight decay
    ============  ==============================================================  ============
    matrix        weights of the linear layers inside the model                   yes
    other         other weights of two or more dimensions, convolutions say       yes
    head          the last linear layer that is as wide as ``outputs``            yes
    embedding     tables of tokens or positions, also where the head shares them  no
    vector        biases, weights of norms, scales                                no
    ============  ==============================================================  ============

    Parameters
    ----------
    outputs
        Numbers of tokens or classes that the model tells apart.
    """
    roles: dict[Tensor, ParameterRole] = {}
    head = None
    for part in module.modules():
        if isinstance(part, nn.Linear) and part.out_features in outputs:
            head = part.weight
        for parameter in part.parameters(recurse=False):
            role = _role(part, parameter)
            # A table that the head shares is met twice: what it is as a table counts.
            if role == "embedding" or parameter not in roles:
                roles[parameter] = role
    if head is not None and roles[head] == "matrix":
        roles[head] = "head"
    found: dict[ParameterRole, list[Tensor]] = {}
    for parameter in module.parameters():
        if parameter.requires_grad:
            found.setdefault(roles[parameter], []).append(parameter)
    return [
        {
            "params": parameters,
            "role": role,
            "weight_decay": 0.0 if role in ("embedding", "vector") else training.weight_decay,
            "lr_scale": training.relative_rates.get(role, 1.0),
        }
        for role, parameters in found.items()
    ]


def _role(part: nn.Module, parameter: Tensor) -> ParameterRole:
    if parameter.dim() < 2 or "Norm" in type(part).__name__:
        return "vector"
    if isinstance(part, _MULTIPLY):
        return "matrix"
    # (1, length, width) is a table of positions.
    return "embedding" if isinstance(part, _EMBEDDINGS) or parameter.shape[0] == 1 else "other"


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of a learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["lr_scale"]
