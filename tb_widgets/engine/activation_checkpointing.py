"""Less memory for more time: the activations inside a model's blocks are computed again for the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tb_widgets.errors import TrainingError
from tb_widgets.models.blocks import repeated_blocks


def require_blocks(module: nn.Module) -> None:
    """Refuse a model without blocks whose activations could be left out.

    Raises
    ------
    TrainingError
        If it has none.
    """
    if not repeated_blocks(module):
        raise TrainingError(
            "training.activation_checkpointing is true, but the model has no repeated blocks.",
            hint="Set it to false, or put the model's layers, all of one class, into an nn.ModuleList.",
        )


@contextmanager
def activation_checkpointing(module: nn.Module, *, on: bool = True) -> Iterator[None]:
    """Keep only what goes into each repeated block meanwhile (Chen et al., arXiv 1604.06174), in training mode.

    Names and weights stay as they are. Random states are put back for the second computation, so that dropout drops
    the same.
    """
    blocks = [*repeated_blocks(module).values()] if on else []
    before = [vars(block).get("forward") for block in blocks]
    for block in blocks:
        vars(block)["forward"] = partial(_computed_twice, block, block.forward)
    try:
        yield
    finally:
        for block, own in zip(blocks, before, strict=True):
            del vars(block)["forward"]
            if own is not None:
                vars(block)["forward"] = own


def _computed_twice(block: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not (block.training and torch.is_grad_enabled()):
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)
