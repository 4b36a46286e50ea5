"""Losses and gradient norms wait on the device until somebody reads them: a GPU is not stopped at every step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


class WaitingMetrics:
    """What the steps since the last reading have left on the device.

    Parameters
    ----------
    device
        Where it waits.
    log_every, steps
        A line of the journal stands for so many steps; the last of all steps ends one too.

    Attributes
    ----------
    window_loss
        Sum of the losses since the last line, a scalar on the device; it outlives a resume.
    """

    def __init__(self, device: torch.device, *, log_every: int, steps: int) -> None:
        self._device, self._log_every, self._steps = device, log_every, steps
        self.window_loss = torch.zeros((), device=device)
        self._norms: list[tuple[int, Tensor]] = []
        self._lines: list[tuple[int, dict[str, Any], Tensor]] = []

    def end_step(self, step: int, *, lr: float, norm: Tensor) -> None:
        """Note that a step is done; its losses are in ``window_loss``."""
        self._norms.append((step, norm))
        if step % self._log_every == 0 or step == self._steps:
            count = (step - 1) % self._log_every + 1
            line = {"step": step, "time": round(time.time(), 3), "lr": lr}
            self._lines.append((step, line, self.window_loss / count))
            self.window_loss = torch.zeros((), device=self._device)

    def ends_with_line(self, step: int) -> bool:
        """Whether the line of this step waits to be written."""
        return bool(self._lines) and self._lines[-1][0] == step

    def read(self) -> Iterator[tuple[int, float, dict[str, Any] | None]]:
        """Wait for the device once, and yield each step with its gradient norm and, where there is one, its line."""
        if not self._norms:
            return
        waiting = [*(norm for _, norm in self._norms), *(loss for *_, loss in self._lines)]
        values = torch.stack([value.float() for value in waiting]).tolist()
        steps = [step for step, _ in self._norms]
        lines = {
            step: line | {"train/loss": loss}
            for (step, line, _), loss in zip(self._lines, values[len(steps) :], strict=True)
        }
        self._norms.clear()
        self._lines.clear()
        for step, norm in zip(steps, values, strict=False):
            line = lines.get(step)
            yield step, norm, line | {"grad_norm": norm} if line is not None else None
