"""The optimiser, with weight decay where it belongs."""

from __future__ import annotations

import math
from inspect import unwrap

import torch
from torch import Tensor, nn

from tb_widgets.spec import TrainingSpec

FUSED_DEVICES = ("cpu", "cuda", "mps")


class _AdamW(torch.optim.AdamW):
    """AdamW whose first use does not import PyTorch's compiler.

    PyTorch wraps these methods so that the compiler leaves them alone, and imports it for that: two seconds of every
    start, for a loop that compiles nothing.
    """

    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))
    add_param_group = unwrap(torch.optim.AdamW.add_param_group)
    zero_grad = unwrap(torch.optim.AdamW.zero_grad)
    state_dict = unwrap(torch.optim.AdamW.state_dict)
    load_state_dict = unwrap(torch.optim.AdamW.load_state_dict)


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
    return _AdamW(
        [group for group in groups if group["params"]],
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        eps=training.eps,
        fused=device.type in FUSED_DEVICES and all(p.is_floating_point() for p in parameters),
    )


def step_if_finite(optimiser: torch.optim.Optimizer, norm: Tensor, scaler: torch.amp.GradScaler) -> None:
    """Take a step, unless the gradient norm is non-finite: then weights and moments stay as they are.

    One such gradient would turn every weight into NaN. A GPU is not waited for: its fused kernel looks itself whether
    it has to skip.
    """
    if norm.device.type == "cuda" and optimiser.defaults["fused"]:
        optimiser.found_inf = torch.where(norm < math.inf, 0.0, 1.0)  # type: ignore[attr-defined]
    elif not math.isfinite(norm.item()):
        return
    scaler.step(optimiser)
