"""Try a model out without leaving a trace in it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from tb_widgets.models.modes import in_mode


def device_of(module: nn.Module) -> torch.device:
    """Return where a model's weights are; ``cpu`` for a model without any."""
    return next((tensor.device for tensor in (*module.parameters(), *module.buffers())), torch.device("cpu"))


def plain_tensors(part: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a module that are neither parameters nor buffers, by attribute."""
    return {name: value for name, value in vars(part).items() if isinstance(value, Tensor)}


@contextmanager
def undisturbed(module: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Put a model into training or evaluation mode; at the end its mode, gradients and tables are as they were.

    torch's generators begin at a fixed seed inside, and go on outside as if nothing had been drawn.
    """
    gradients = [(parameter, parameter.grad) for parameter in module.parameters()]
    device = device_of(module)
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), in_mode(module, training=training), tables_kept(module):
        torch.manual_seed(0)
        for parameter, _ in gradients:
            parameter.grad = None
        try:
            yield
        finally:
            for parameter, gradient in gradients:
                parameter.grad = gradient


@contextmanager
def tables_kept(module: nn.Module) -> Iterator[None]:
    """Put back the tables that a forward pass writes into or replaces, as some do to make them longer."""
    buffers = [
        (part, name, buffer, buffer if is_lazy(buffer) else buffer.detach().clone())
        for part in module.modules()
        for name, buffer in part.named_buffers(recurse=False, remove_duplicate=False)
    ]
    plain = [(part, plain_tensors(part)) for part in module.modules()]
    try:
        yield
    finally:
        with torch.no_grad():
            for part, name, buffer, content in buffers:
                part._buffers[name] = buffer if is_lazy(buffer) else buffer.copy_(content)
        for part, tensors in plain:
            vars(part).update(tensors)


@contextmanager
def filled_zeros(module: nn.Module) -> Iterator[None]:
    """Give every parameter that is all zeros usual random values; at the end they are zeros again.

    Layers that begin at zero are good practice, but they hide what stands behind them: no gradient passes, and a
    missing mask shows in no logit. What a model can do is seen once they are not zero, as after the first steps.
    """
    generator = torch.Generator().manual_seed(0)
    filled = []
    for parameter in module.parameters():
        if not is_lazy(parameter) and parameter.is_floating_point() and parameter.numel() and not parameter.any():
            inputs = parameter[0].numel() if parameter.dim() > 1 else 100
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) / math.sqrt(max(1, inputs)))
            filled.append(parameter)
    try:
        yield
    finally:
        for parameter in filled:
            parameter.data.zero_()
