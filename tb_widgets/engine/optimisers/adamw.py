"""AdamW."""

from __future__ import annotations

import torch

from tb_widgets.engine.optimisers.groups import ParameterGroup
from tb_widgets.engine.optimisers.light import LightAdamW
from tb_widgets.engine.sharding import is_sharded
from tb_widgets.spec import TrainingSpec

FUSED_DEVICES = ("cpu", "cuda", "mps")


def build_adamw(groups: list[ParameterGroup], training: TrainingSpec, device: torch.device) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov and Hutter, arXiv 1711.05101), in one fused kernel on the devices that have it."""
    parameters = [parameter for group in groups for parameter in group["params"]]
    return LightAdamW(
        [{**group} for group in groups],
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        eps=training.eps,
        fused=device.type in FUSED_DEVICES and all(p.is_floating_point() and not is_sharded(p) for p in parameters),
    )
