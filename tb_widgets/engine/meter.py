"""What a training measures of itself: losses, gradient norms, speed and time, and the journal's lines about them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tb_widgets.engine.finiteness import LossLevel, SkippedSteps, require_finite_loss
from tb_widgets.engine.gpu_use import GpuWatch
from tb_widgets.engine.parallel import Group
from tb_widgets.errors import DivergedError
from tb_widgets.runs.journal import JournalWriter
from tb_widgets.runs.status import AT_REST
from tb_widgets.spec import TrainingSpec
from tb_widgets.spec.batch import Batch, count_read
from tb_widgets.spec.metrics import GPU_BUSY, MFU, TRAINING_METRICS

REPORT_EVERY = 0.3  # seconds between two reads of the losses that wait on the device
_MOST_LINES = 10_000  # of the journal, where the spec does not say how many steps a line averages
_SHOWN = frozenset({"lr", *(metric.key for metric in TRAINING_METRICS)})  # in the status, besides all with a slash
_SAMPLED = 20  # every so many lines, what costs more to measure


@dataclass
class Clock:
    """Training time: it stands still while the run is paused. All in seconds."""

    before: float = 0.0
    since: float = field(default_factory=time.perf_counter)
    paused: float = 0.0

    def elapsed(self) -> float:
        """Return the training time of the whole run."""
        return self.before + self.here()

    def here(self) -> float:
        """Return the training time of this process."""
        return time.perf_counter() - self.since - self.paused


class Meter:
    """Collects what the steps leave, and reports it.

    Losses and norms wait on the device until :meth:`report` reads them all at once: a GPU is not stopped at every step.

    Parameters
    ----------
    journal
        Where it is written.
    device
        Where the losses wait.
    training
        How many steps there are, and for how many of them a line of the journal stands.
    speed
        Name of the speed in journal and status, ``tokens_per_second`` or ``examples_per_second``.
    expects_skips
        Whether a step that is skipped for its gradient is nothing to tell, as with a loss scale.
    group
        The ranks over which losses are averaged.

    Attributes
    ----------
    flops
        Those that a read token (or image) takes, as a share of the FLOP/s of all the ranks' devices; ``None`` where
        either is not known.
    window_loss
        Sum of this rank's losses since the last line, a scalar on the device; it outlives a resume.
    """

    def __init__(
        self,
        journal: JournalWriter,
        *,
        device: torch.device,
        training: TrainingSpec,
        speed: str,
        expects_skips: bool,
        group: Group,
    ) -> None:
        self.clock = Clock()
        self.skipped = SkippedSteps(journal, expected=expects_skips)
        self.level = LossLevel()
        self.window_loss = torch.zeros((), device=device)
        self.flops: float | None = None
        self._gpu = GpuWatch(device)
        self._journal, self._device, self._speed, self._group = journal, device, speed, group
        self._steps = training.steps
        self._log_every = training.log_every or max(1, math.ceil(training.steps / _MOST_LINES))
        self._norms: list[tuple[int, Tensor]] = []
        self._lines: list[tuple[int, dict[str, Any], dict[str, Tensor]]] = []
        self._newest: dict[str, float] = {}
        self._validated: tuple[int, dict[str, float]] | None = None
        self._first_step = self._step = 0
        self._reported_at, self._read, self._idle = 0.0, 0, 0.0

    def begin(self, step: int) -> None:
        """Start the clock at a step."""
        self.clock.since = self._reported_at = time.perf_counter()
        self._first_step = self._step = step

    def add_loss(self, loss: Tensor) -> None:
        """Add the loss of a part of a step, a scalar on the device."""
        self.window_loss += loss.detach()

    def is_sampled(self, step: int) -> bool:
        """Whether more is measured of a step than of others: of some that have a line, and of the last."""
        return step % (self._log_every * _SAMPLED) == 0 or step == self._steps

    def end_step(
        self, step: int, *, rates: dict[str, float], norm: Tensor, batch: Batch, sampled: dict[str, Tensor]
    ) -> None:
        """Note that a step is done, which has learned from a batch of all ranks.

        Parameters
        ----------
        rates, sampled
            Learning rates, and what was measured of a step that :meth:`is_sampled`, by their keys in the journal.
        """
        self._step = step
        self._read += count_read(batch)
        self._norms.append((step, norm))
        if step % self._log_every == 0 or step == self._steps:
            count = (step - 1) % self._log_every + 1
            self.agree_on_loss()
            line = {"step": step, "time": round(time.time(), 3), **rates}
            self._lines.append((step, line, {"train/loss": self.window_loss / count, **sampled}))
            self.window_loss = torch.zeros((), device=self._device)

    def agree_on_loss(self) -> None:
        """Give every rank the mean of the losses since the last line, as before they are written."""
        self._group.mean_(self.window_loss)

    def forget(self, step: int) -> None:
        """Forget the steps after one that is gone back to."""
        self._norms.clear()
        self._lines.clear()
        self._newest.clear()
        self._validated = None
        self._step = step
        self._first_step = min(self._first_step, step)

    def end_validation(self, metrics: dict[str, float]) -> None:
        """Report the metrics of a validation at the current step."""
        self._validated = (self._step, metrics)
        # With several steps to a journal line, the validation may fall between two lines and gets one of its own.
        has_line = bool(self._lines) and self._lines[-1][0] == self._step
        self.report()
        if not has_line:
            self._journal.metrics({"step": self._step, "time": round(time.time(), 3), **metrics})

    def validation_at(self, step: int) -> dict[str, float]:
        """Return the validation metrics of a step; none where there was no validation."""
        return self._validated[1] if self._validated and self._validated[0] == step else {}

    def is_report_due(self) -> bool:
        """Whether the last report is some time ago. The first loss is told at once: somebody may wait to see it."""
        return self._step == self._first_step + 1 or time.perf_counter() - self._reported_at > REPORT_EVERY

    def report(self) -> None:
        """Read the waiting losses from the device at once, write them down, and say how fast it goes.

        Raises
        ------
        TrainingError
            If a loss is no longer a number, or the gradient norm has been non-finite for many steps.
        """
        now = time.perf_counter()
        seconds = now - self._reported_at - self._idle
        speed: dict[str, Any] = {self._speed: round(self._read / seconds, 1) if self._read and seconds > 0 else None}
        done = self._step - self._first_step
        eta = round((self._steps - self._step) * self.clock.here() / done, 1) if done else None
        # First how far it is: a step that turns out to have ended the run has been done.
        self._journal.update(step=self._step, elapsed=round(self.clock.elapsed(), 2), eta=eta)
        if self.flops is not None and speed[self._speed]:
            speed[MFU.key] = round(speed[self._speed] * self.flops, 4)
        if self._lines and (busy := self._gpu.busy()) is not None:
            speed[GPU_BUSY.key] = busy
        has_line = bool(self._lines)
        for step, norm, line in self._read_waiting():
            if line is not None:
                record = line | speed | self.validation_at(step)
                self._journal.metrics(record)
                self._newest |= {key: value for key, value in record.items() if "/" in key or key in _SHOWN}
            try:
                if line is not None:
                    require_finite_loss(step, record["train/loss"])
                    self.level.look(step, record["train/loss"])
                self.skipped.look(step, norm)
            except DivergedError:
                self._journal.update(step=step)  # what came after it, before it was read, is lost
                raise
        if has_line:
            self._journal.update(metrics=self._newest | (self._validated[1] if self._validated else {}))
        if speed[self._speed]:
            self._journal.update(**{self._speed: speed[self._speed]})
        self._reported_at, self._read, self._idle = now, 0, 0.0

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Leave the time inside out of the speed: it goes into a validation, a sample or a checkpoint."""
        began = time.perf_counter()
        yield
        self._idle += time.perf_counter() - began

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock, and say so in status and events."""
        self.report()
        began = time.perf_counter()
        self._journal.update(state="paused", **AT_REST, now=True)
        self._journal.event("paused", step=self._step)
        yield
        self._reported_at, self._idle = time.perf_counter(), 0.0
        waited = self._reported_at - began
        self.clock.paused += waited
        self._journal.update(state="running", now=True)
        self._journal.event("resumed", step=self._step, paused_seconds=round(waited, 1))

    def _read_waiting(self) -> Iterator[tuple[int, float, dict[str, Any] | None]]:
        """Wait for the device once, and yield each step with its gradient norm and, where there is one, its line."""
        if not self._norms:
            return
        measured = [(step, key, value) for step, _, values in self._lines for key, value in values.items()]
        waiting = [*(norm for _, norm in self._norms), *(value for *_, value in measured)]
        read = torch.stack([value.float() for value in waiting]).tolist()
        steps = [step for step, _ in self._norms]
        lines = {step: line for step, line, _ in self._lines}
        for (step, key, _), value in zip(measured, read[len(steps) :], strict=True):
            lines[step][key] = value if key == "train/loss" else float(f"{value:.4g}")
        self._norms.clear()
        self._lines.clear()
        for step, norm in zip(steps, read, strict=False):
            line = lines.get(step)
            yield step, norm, line | {"grad_norm": norm} if line is not None else None
