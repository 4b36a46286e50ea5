"""Groups of parameters, each with its own weight decay and its own share of the learning rate."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor, nn

from tb_widgets.spec import TrainingSpec


class ParameterGroup(TypedDict):
    """Parameters that are updated alike.

    ``lr_scale`` times the schedule's learning rate is that of the group, at every step.
    """

    params: list[Tensor]
    weight_decay: float
    lr_scale: float


def parameter_groups(module: nn.Module, training: TrainingSpec) -> list[ParameterGroup]:
    """Return the trainable parameters in groups: matrices decay; biases and norm weights, of one dimension, do not."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups: list[ParameterGroup] = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": training.weight_decay, "lr_scale": 1.0},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0, "lr_scale": 1.0},
    ]
    return [group for group in groups if group["params"]]


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of a learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["lr_scale"]
