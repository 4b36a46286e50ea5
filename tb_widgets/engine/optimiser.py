"""The optimiser, with weight decay where it belongs."""

from __future__ import annotations

import torch
from torch import nn

from tb_widgets.spec import TrainingSpec

FUSED_DEVICES = ("cpu", "cuda", "mps")


def build_optimiser(module: nn.Module, training: TrainingSpec, device: torch.device) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov and Hutter, arXiv 1711.05101) over the trainable parameters.

    Matrices decay; biases and norm weights (fewer than two dimensions) do not. The update runs in one fused kernel
    on the devices that have it.
    """
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": training.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        eps=training.eps,
        fused=device.type in FUSED_DEVICES and all(p.is_floating_point() for p in parameters),
    )
