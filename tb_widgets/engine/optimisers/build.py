"""The optimiser that a spec names."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn

from tb_widgets.engine.optimisers.adamw import build_adamw
from tb_widgets.engine.optimisers.groups import ParameterGroup, parameter_groups, set_learning_rate
from tb_widgets.engine.optimisers.muon import build_muon
from tb_widgets.spec import Optimiser, TrainingSpec

_Build = Callable[[list[ParameterGroup], TrainingSpec, torch.device], torch.optim.Optimizer]

OPTIMISERS: dict[Optimiser, _Build] = {"adamw": build_adamw, "muon": build_muon}
"""What builds each optimiser. It may split the groups further, and each keeps its ``lr_scale``."""


def build_optimiser(
    module: nn.Module, training: TrainingSpec, device: torch.device, outputs: Collection[int] = ()
) -> torch.optim.Optimizer:
    """Return the spec's optimiser over the trainable parameters of a module that is on its device already.

    ``outputs`` are the numbers of tokens or classes that the model tells apart.
    """
    optimiser = OPTIMISERS[training.optimizer](parameter_groups(module, training, outputs), training, device)
    set_learning_rate(optimiser, training.learning_rate)
    return optimiser


def step_if_finite(optimiser: torch.optim.Optimizer, norm: Tensor, scaler: torch.amp.GradScaler) -> None:
    """Take a step, unless the gradient norm is non-finite: then weights and moments stay as they are.

    One such gradient would turn every weight into NaN. A GPU is not waited for: a fused kernel looks itself whether
    it has to skip.
    """
    if norm.device.type == "cuda" and optimiser.defaults.get("fused"):
        optimiser.found_inf = torch.where(norm < math.inf, 0.0, 1.0)  # type: ignore[attr-defined]
    elif not math.isfinite(norm.item()):
        return
    scaler.step(optimiser)
