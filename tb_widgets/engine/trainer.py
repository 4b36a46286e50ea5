"""The loop. Read it top to bottom: :meth:`Trainer.run_to_end` is the whole of training."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn.utils import clip_grad_norm_, get_total_norm

from tb_widgets.data.prepared import PreparedData
from tb_widgets.engine.evaluation import evaluate
from tb_widgets.engine.hardware import autocast
from tb_widgets.engine.inference.samples import Sampler
from tb_widgets.engine.objective import count_labels, prediction_loss
from tb_widgets.engine.optimisers.build import build_optimiser, step_if_finite
from tb_widgets.engine.saver import CheckpointSaver
from tb_widgets.engine.schedule import learning_rate
from tb_widgets.engine.skipped import SkippedSteps
from tb_widgets.engine.state import Snapshot, restore, take_snapshot
from tb_widgets.engine.waiting import WaitingMetrics
from tb_widgets.errors import CheckpointError, TrainingError
from tb_widgets.models.adapter import Batch
from tb_widgets.models.load import LoadedModel
from tb_widgets.models.modes import begin_training, in_mode
from tb_widgets.runs import RunDirectory
from tb_widgets.runs.journal import JournalWriter, append_text
from tb_widgets.runs.status import AT_REST
from tb_widgets.spec import RunSpec

REPORT_EVERY = 0.3  # seconds between two reads of the losses that wait on the device
LISTEN_EVERY = 0.05  # seconds between two looks at the control folder
SAMPLING_SHARE = 0.01  # of the training time, at most, goes into text samples

Outcome = Literal["done", "stopped"]


@dataclass
class _Clock:
    """Training time: it stands still while the run is paused. All in seconds."""

    before: float = 0.0
    since: float = field(default_factory=time.perf_counter)
    paused: float = 0.0

    def elapsed(self) -> float:
        return self.before + self.here()

    def here(self) -> float:
        return time.perf_counter() - self.since - self.paused


class Trainer:
    """Trains one model for its task, and writes what happens into a run directory.

    Parameters
    ----------
    spec
        What to do.
    model, data
        Ready to use; the model is moved to ``device``.
    run, journal, saver
        Where the run is written, and by whom.
    device, dtype
        Where and in which number format the forward pass runs.
    """

    def __init__(
        self,
        spec: RunSpec,
        model: LoadedModel,
        data: PreparedData,
        *,
        run: RunDirectory,
        journal: JournalWriter,
        saver: CheckpointSaver,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.spec, self.model, self.data = spec, model, data
        self.run, self.journal, self.saver = run, journal, saver
        self.device, self.dtype = device, dtype
        self.module = model.module.to(device)
        self.optimiser = build_optimiser(self.module, spec.training, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        training = spec.training
        self.batches = data.train_batches(batch_size=training.batch_size, seed=training.seed)
        self.validation = data.validation_batches(batch_size=training.batch_size, batches=spec.evaluation.batches)
        self.sampler = Sampler(spec, model, data, device)
        log_every = training.log_every or max(1, math.ceil(training.steps / 10_000))
        self.step = 0
        self.clock = _Clock()
        self._waiting = WaitingMetrics(device, log_every=log_every, steps=training.steps)
        self._skipped = SkippedSteps(journal, expected=self.scaler.is_enabled())
        self._validated: tuple[int, dict[str, float]] | None = None
        self._reported_at, self._read, self._idle = 0.0, 0, 0.0
        self._speed = "tokens_per_second" if data.tokenizer is not None else "examples_per_second"
        self._listened_at = 0.0
        self._sampling_seconds = 0.0
        self._saved_step = 0
        best = next((info for info in run.checkpoints() if info.best), None)
        sign = 1 if spec.checkpoints.mode == "min" else -1
        self._has_told_non_finite = False
        self._best = sign * best.metrics[spec.checkpoints.monitor] if best else math.inf

    def run_to_end(self) -> Outcome:
        """Train from the current step to the last, obeying the control folder between steps.

        Raises
        ------
        TrainingError
            If the loss is no longer a number, the gradient norm has been non-finite for many steps, or nothing in a
            batch counts.
        RunError
            If the run directory can't be written.
        """
        training, every = self.spec.training, self.spec.evaluation.every
        self.clock.since = self._reported_at = time.perf_counter()
        self._first_step = self._saved_step = self.step
        begin_training(self.module)
        while self.step < training.steps:
            if self._listen() == "stop":
                self._report()
                self._save()
                return "stopped"
            self._train_one_step()
            is_last = self.step == training.steps
            evaluates = is_last or self.step % every == 0
            is_best = evaluates and self._evaluate(sample_anyway=is_last)
            if is_best or is_last or self.step % self.spec.checkpoints.every == 0:
                self._save()
            # The first loss is told at once: somebody may be waiting to see that it moves.
            if self.step == self._first_step + 1 or time.perf_counter() - self._reported_at > REPORT_EVERY:
                self._report()
        self._report()
        return "done"

    def resume_from(self, checkpoint: Path) -> None:
        """Put everything back to where a checkpoint was taken.

        Raises
        ------
        CheckpointError
            If the checkpoint does not fit the model, or the text is no longer the one that it was trained on.
        """
        meta, carried = restore(checkpoint, self.module, self.optimiser, self.scaler)
        if meta["data"]["fingerprint"] != self.data.fingerprint:
            raise CheckpointError(
                f"The text {self.spec.data.source} is no longer the one that this run was trained on.",
                hint="Put the old text back, or start a new run on the new one.",
            )
        self.step = meta["step"]
        self._waiting.window_loss = carried["window_loss"].to(self.device)
        self.clock.before = meta["elapsed"]
        self._skipped.in_row = meta.get("skipped_in_row", 0)

    def _train_one_step(self) -> None:
        training = self.spec.training
        lr = learning_rate(training, self.step + 1)
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        batch = self.batches.batch(self.step)
        parts = _parts(batch, training.micro_batch_size or training.batch_size)
        counts = [count_labels(part["labels"]) for part in parts]
        if not sum(counts):
            raise TrainingError(
                f"No label of step {self.step + 1:,} counts: every one is -100, so there is nothing to learn.",
                hint="Train on other data, in which every batch has something to predict, or set a larger batch.",
            )
        for micro, labels in zip(parts, counts, strict=True):
            if not labels:
                continue
            on_device = {role: tensor.to(self.device, non_blocking=True) for role, tensor in micro.items()}
            with autocast(self.device, self.dtype):
                scores = self.model.scores(on_device)
            # Each part counts by its share of the labels, so the sum is the mean over the whole batch.
            loss = prediction_loss(scores, on_device["labels"]) * (labels / sum(counts))
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self._waiting.window_loss += loss.detach()
        self._read += _read_in(batch)
        self.scaler.unscale_(self.optimiser)
        if training.clip is None:
            norm = get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        else:
            norm = clip_grad_norm_(self.parameters, training.clip)
        step_if_finite(self.optimiser, norm, self.scaler)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self._waiting.end_step(self.step, lr=lr, norm=norm)

    def _report(self) -> None:
        """Read the waiting losses from the device at once, write them down, and say how fast it goes."""
        now = time.perf_counter()
        seconds = now - self._reported_at - self._idle
        speed: dict[str, Any] = {self._speed: round(self._read / seconds, 1) if self._read and seconds > 0 else None}
        record: dict[str, Any] = {}
        for step, norm, line in self._waiting.read():
            if line is not None:
                record = line | speed
                if self._validated and self._validated[0] == step:
                    record |= self._validated[1]
                self.journal.metrics(record)
                if not math.isfinite(record["train/loss"]):
                    self._fail_for_nan(step)
            self._skipped.look(step, norm)
        if record:
            shown = {key: value for key, value in record.items() if "/" in key or key == "lr"}
            self.journal.update(metrics=shown | self._last_validation())
        done = self.step - self._first_step
        here = self.clock.here()
        eta = round((self.spec.training.steps - self.step) * here / done, 1) if done else None
        self.journal.update(step=self.step, elapsed=round(self.clock.elapsed(), 2), eta=eta)
        if speed[self._speed]:
            self.journal.update(**speed)
        self._reported_at, self._read, self._idle = now, 0, 0.0

    def _last_validation(self) -> dict[str, float]:
        return self._validated[1] if self._validated else {}

    def _fail_for_nan(self, step: int) -> None:
        raise TrainingError(
            f"The loss is not a number any more at step {step:,}.",
            hint="Lower the learning rate or turn gradient clipping on; the checkpoints before it are good.",
        )

    def _evaluate(self, *, sample_anyway: bool) -> bool:
        """Test on held-back text; return whether this is the best model so far."""
        started = time.perf_counter()
        figures = evaluate(
            self.module,
            self.model.scores,
            self.validation,
            task=self.data.task,
            device=self.device,
            dtype=self.dtype,
        )
        self._validated = (self.step, figures)
        self._tell_non_finite(figures)
        self._idle += time.perf_counter() - started
        # With several steps to a journal line, the validation may fall between two lines and gets one of its own.
        has_line = self._waiting.ends_with_line(self.step)
        self._report()
        if not has_line:
            self.journal.metrics({"step": self.step, "time": round(time.time(), 3), **figures})
        if self.spec.evaluation.sample_length and (
            sample_anyway or self._sampling_seconds <= SAMPLING_SHARE * self.clock.here()
        ):
            self._write_samples()
        rules = self.spec.checkpoints
        value = figures[rules.monitor] * (1 if rules.mode == "min" else -1)
        is_best = math.isfinite(value) and value < self._best
        if is_best:
            self._best = value
        return is_best

    def _tell_non_finite(self, metrics: dict[str, float]) -> None:
        odd = [key for key, value in metrics.items() if not math.isfinite(value)]
        if odd and not self._has_told_non_finite:
            self.journal.event(
                "warning",
                message=f"At step {self.step:,} {' and '.join(odd)} {'are' if odd[1:] else 'is'} non-finite, and left "
                "out. A non-finite metric never counts as the best.",
            )
        self._has_told_non_finite = bool(odd)

    def _write_samples(self) -> None:
        started = time.perf_counter()
        with in_mode(self.module, training=False):
            for sample in self.sampler.samples():
                line = {"step": self.step, "time": round(time.time(), 3), **sample}
                append_text(self.run.samples_file, json.dumps(line, ensure_ascii=False) + "\n")
        self._sampling_seconds += time.perf_counter() - started
        self._idle += time.perf_counter() - started

    def _save(self) -> None:
        if self.step == self._saved_step:
            return
        # Losses and norms are read before the state is kept, so that no checkpoint holds what can't be gone on with.
        self._report()
        started = time.perf_counter()
        self._require_finite_state()
        self.saver.save(self.step, self._take_snapshot)
        self._saved_step = self.step
        self._idle += time.perf_counter() - started

    def _take_snapshot(self) -> Snapshot:
        metrics = self._validated[1] if self._validated and self._validated[0] == self.step else {}
        return take_snapshot(
            self.module,
            self.optimiser,
            self.scaler,
            carried={"window_loss": self._waiting.window_loss},
            meta={
                "metrics": metrics,
                "elapsed": round(self.clock.elapsed(), 2),
                "skipped_in_row": self._skipped.in_row,
                "data": {
                    "fingerprint": self.data.fingerprint,
                    "seed": self.spec.training.seed,
                    "next_batch": self.step,
                },
            },
        )

    def _require_finite_state(self) -> None:
        if not self._waiting.window_loss.isfinite():
            self._fail_for_nan(self.step)
        # One norm is quick to look at. Finite weights may be too large for it: then each is looked at.
        if math.isfinite(get_total_norm(self.parameters).item()):
            return
        trained = [(name, weight) for name, weight in self.module.named_parameters() if weight.requires_grad]
        names = [name for name, weight in trained if not weight.isfinite().all()]
        if names:
            raise TrainingError(
                f"The weights are non-finite at step {self.step:,} ({', '.join(names[:3])}), so they were not saved.",
                hint="Lower the learning rate, or look for what changes these weights besides the optimiser; the "
                "checkpoints before it are good.",
            )

    def _listen(self) -> Literal["stop"] | None:
        now = time.perf_counter()
        if now - self._listened_at < LISTEN_EVERY:
            return None
        self._listened_at = now
        control = self.run.control
        if control.is_requested("save-now"):
            self._save()
            control.withdraw("save-now")
        if control.is_requested("pause") and not control.is_requested("stop"):
            self._pause()
        if control.is_requested("stop"):
            control.withdraw("stop")
            self.journal.update(state="stopping", now=True)
            return "stop"
        return None

    def _pause(self) -> None:
        """Wait without computing until the pause is withdrawn, or a stop is requested; the state stays in memory."""
        control = self.run.control
        self._report()
        began = time.perf_counter()
        self.journal.update(state="paused", **AT_REST, now=True)
        self.journal.event("paused", step=self.step)
        while control.is_requested("pause") and not control.is_requested("stop"):
            time.sleep(LISTEN_EVERY)
            if control.is_requested("save-now"):
                self._save()
                control.withdraw("save-now")
        control.withdraw("pause")
        waited = time.perf_counter() - began
        self.clock.paused += waited
        self._idle += waited
        self.journal.update(state="running", now=True)
        self.journal.event("resumed", step=self.step, paused_seconds=round(waited, 1))


def _parts(batch: Batch, rows: int) -> list[Batch]:
    """Cut a batch into micro-batches of at most so many rows."""
    pieces = zip(*(torch.split(tensor, rows) for tensor in batch.values()), strict=True)
    return [dict(zip(batch, piece, strict=True)) for piece in pieces]


def _read_in(batch: Batch) -> int:
    """Return how many tokens a batch holds without its padding, or how many images."""
    if "tokens" not in batch:
        return len(batch["images"])
    return int(batch["mask"].sum()) if "mask" in batch else batch["tokens"].numel()
