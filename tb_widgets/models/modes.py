"""Training and evaluation mode, with respect for the parts that their author has frozen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


def begin_training(module: nn.Module) -> None:
    """Put a model into training mode; parts of it that were built in evaluation mode stay in that.

    A model that is in evaluation mode as a whole, as most that were loaded from files are, has no such parts.
    """
    frozen = [part for part in module.modules() if not part.training] if module.training else []
    module.train()
    for part in frozen:
        part.training = False


@contextmanager
def in_mode(module: nn.Module, *, training: bool) -> Iterator[None]:
    """Put a model into training or evaluation mode; at the end each of its parts is in its own mode again."""
    modes = [(part, part.training) for part in module.modules()]
    module.train(training)
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
