"""Muon for the matrices inside the model, AdamW for everything else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from tb_widgets.engine.optimisers.adamw import FUSED_DEVICES
from tb_widgets.engine.optimisers.groups import ParameterGroup
from tb_widgets.engine.optimisers.light import LightAdamW
from tb_widgets.spec import TrainingSpec

# Polar Express (Amsel et al., arXiv 2505.16932): the quintic of each of five steps.
_STEPS = (
    (8.1566, -22.4833, 15.8788),
    (4.0429, -2.8089, 0.5),
    (3.8917, -2.7725, 0.5061),
    (3.2858, -2.3681, 0.4645),
    (2.3465, -1.7098, 0.4232),
)
# An update's root mean square, as AdamW's typically is: one learning rate then serves both (Liu et al.,
# arXiv 2502.16982).
_SIZE = 0.2


def build_muon(groups: list[ParameterGroup], training: TrainingSpec, device: torch.device) -> torch.optim.Optimizer:
    """Return Muon (Jordan et al., 2024) with AdamW beside it."""
    return Muon(groups, training, fused=device.type in FUSED_DEVICES)


class Muon(LightAdamW):
    """Groups of the role ``matrix`` are updated by Muon, the others by AdamW.

    Muon makes the momentum of a matrix orthogonal, so that every direction of it is learned equally fast. Matrices of
    equal shape are computed together, which on a CPU is most of the time it takes. Queries, keys and values in one
    matrix (three times as high as wide) are three.
    """

    def __init__(self, groups: list[ParameterGroup], training: TrainingSpec, *, fused: bool) -> None:
        super().__init__(
            [{**group, "fused": fused} for group in groups],
            lr=training.learning_rate,
            betas=(training.beta1, training.beta2),
            eps=training.eps,
        )
        self._momentum = training.momentum

    def __setstate__(self, state: dict[str, Any]) -> None:
        # AdamW's own looks for its step count in the state of every parameter.
        torch.optim.Optimizer.__setstate__(self, state)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        every = self.param_groups
        try:
            self.param_groups = [group for group in every if group["role"] != "matrix"]
            super().step(closure)
        finally:
            self.param_groups = every
        for group in every:
            if group["role"] == "matrix":
                self._step_matrices(group)

    def _step_matrices(self, group: dict[str, Any]) -> None:
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not parameters:
            return
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters]
        momenta = [self.state[parameter]["momentum"] for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - self._momentum)
        ahead = torch._foreach_lerp(gradients, momenta, self._momentum)  # Nesterov's look ahead
        alike: defaultdict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter, update in zip(parameters, ahead, strict=True):
            for pair in zip(_blocks(parameter), _blocks(update), strict=True):
                alike[pair[0].shape[0], pair[0].shape[1]].append(pair)
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        for shape, pairs in alike.items():
            orthogonal = orthogonalise(torch.stack([update for _, update in pairs]))
            rate = group["lr"] * _SIZE * max(shape) ** 0.5
            torch._foreach_add_([block for block, _ in pairs], [*orthogonal.to(pairs[0][0].dtype)], alpha=-rate)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Return the nearest matrices whose singular values are all 1, nearly: ``U V^T`` of ``U S V^T``.

    Parameters
    ----------
    matrices
        (N, rows, columns). Zero matrices stay zero.
    """
    x = matrices.float()
    is_high = x.shape[-2] > x.shape[-1]
    if is_high:
        x = x.mT
    # The coefficients are for singular values up to 1, with room for rounding.
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * 1.01 + 1e-7)
    if matrices.is_cuda or _has_fast_bf16():
        x = _by_steps(x.to(torch.bfloat16)).float()
    else:
        x = _by_squares(x) if x.shape[-1] >= 2 * x.shape[-2] else _by_steps(x)
    return x.mT if is_high else x


@cache
def _has_fast_bf16() -> bool:
    """Whether this CPU multiplies matrices in bf16 faster than in fp32: the direction of an update needs no more."""
    return bool(torch.cpu._is_avx512_bf16_supported())


def _by_steps(x: Tensor) -> Tensor:
    for a, b, c in _STEPS:
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x


def _by_squares(x: Tensor) -> Tensor:
    """Do the same for wide matrices with products as small as they are high.

    ``square`` stays ``x x^T`` of each step, and ``turn`` is what the first ``x`` has been multiplied with. Rounded to
    bf16, squares would get negative eigenvalues, which the polynomial blows up.
    """
    square, turn = x @ x.mT, None
    for step, (a, b, c) in enumerate(_STEPS):
        factor = torch.baddbmm(square, square, square, beta=b, alpha=c)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        turn = factor if turn is None else factor @ turn
        if step < len(_STEPS) - 1:
            square = factor @ square @ factor
    return torch.bmm(turn, x) if turn is not None else x


def _blocks(matrix: Tensor) -> tuple[Tensor, ...]:
    rows, columns = matrix.shape
    return tuple(matrix.view(3, columns, columns)) if rows == 3 * columns else (matrix,)
