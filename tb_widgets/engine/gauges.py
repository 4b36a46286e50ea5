"""What is measured around a step now and then: gradient norms by layer, the size of the update."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tb_widgets.models.blocks import layer_names
from tb_widgets.spec.metrics import GROUP_RATE, LAYER_NORM, UPDATE_RATIO

_MOST = 2**16  # weights of one tensor whose update is looked at


class Gauges:
    """Looks at gradients and weights around one optimiser step, without waiting for the device.

    All ranks have the same gradients and weights by then, so each of them measures the same.
    """

    def __init__(self, module: nn.Module) -> None:
        layers = layer_names(module)
        named = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
        self._weights = [*named.values()]
        self._layers = list(dict.fromkeys(layers[name] for name in named))
        self._layer_of = torch.tensor([self._layers.index(layers[name]) for name in named])
        self._strides = [math.ceil(weight.numel() / _MOST) for weight in self._weights]

    def layer_norms(self) -> dict[str, Tensor]:
        """Return the gradient norm of every layer by its key in the journal; call it before clipping."""
        norms = torch._foreach_norm([_gradient(weight) for weight in self._weights])
        squares = torch.stack(norms).float() ** 2
        summed = squares.new_zeros(len(self._layers)).index_add_(0, self._layer_of.to(squares.device), squares)
        return {f"{LAYER_NORM}{layer}": norm for layer, norm in zip(self._layers, summed.sqrt(), strict=True)}

    def sampled_weights(self) -> list[Tensor]:
        """Return a copy of the weights, of large tensors of evenly spaced ones only."""
        return [
            weight.detach().reshape(-1)[::stride].clone()
            for weight, stride in zip(self._weights, self._strides, strict=True)
        ]

    def update_ratio(self, before: list[Tensor]) -> dict[str, Tensor]:
        """Return the RMS of what has changed since :meth:`sampled_weights` over the RMS of the weights then."""
        changes = [*torch._foreach_sub(self.sampled_weights(), before)]
        return {UPDATE_RATIO.key: self._norm(changes) / self._norm(before).clamp_min(1e-30)}

    def _norm(self, sampled: list[Tensor]) -> Tensor:
        squares = torch.stack(torch._foreach_norm(sampled)).float() ** 2
        sizes = [weight.numel() / part.numel() for weight, part in zip(self._weights, sampled, strict=True)]
        return (squares * torch.tensor(sizes, device=squares.device)).sum().sqrt()


def _gradient(weight: Tensor) -> Tensor:
    return weight.grad if weight.grad is not None else weight.new_zeros(1)


def group_rates(groups: Iterable[dict[str, object]]) -> dict[str, float]:
    """Return the learning rate of every parameter group by its key in the journal; empty where all are alike."""
    rates = {f"{GROUP_RATE}{group['role']}": float(str(group["lr"])) for group in groups}
    return rates if len(set(rates.values())) > 1 else {}
