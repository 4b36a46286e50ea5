"""The loop. Read it top to bottom: :meth:`Trainer.run_to_end` is the whole of training."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm

from tb_widgets.data.prepared import PreparedData
from tb_widgets.engine.averaging import WeightAverage
from tb_widgets.engine.commands import Commands
from tb_widgets.engine.comparison import Comparison
from tb_widgets.engine.compilation import Compilation, missing_compiler
from tb_widgets.engine.evaluation import tally
from tb_widgets.engine.finiteness import NonFiniteMetrics, require_finite_loss, require_finite_weights
from tb_widgets.engine.gauges import Gauges, group_rates
from tb_widgets.engine.gpu_use import flops_per_read, peak_flops
from tb_widgets.engine.hardware import describe_device
from tb_widgets.engine.inference.answers import ANSWERS, Answers
from tb_widgets.engine.inference.samples import Sampler
from tb_widgets.engine.meter import Meter
from tb_widgets.engine.metrics import measured
from tb_widgets.engine.objective import count_labels, prediction_loss
from tb_widgets.engine.optimisers.build import build_optimiser, step_if_finite
from tb_widgets.engine.optimisers.groups import set_learning_rate
from tb_widgets.engine.parallel import Group
from tb_widgets.engine.precision import autocast, loss_scaler
from tb_widgets.engine.recovery import Recovery
from tb_widgets.engine.room import Room
from tb_widgets.engine.saver import CheckpointSaver
from tb_widgets.engine.schedule import learning_rate
from tb_widgets.engine.sharding import shard, whole
from tb_widgets.engine.state import Snapshot, restore, take_snapshot
from tb_widgets.engine.stopping import EarlyStopping
from tb_widgets.errors import CheckpointError, DivergedError, TrainingError
from tb_widgets.models.load import LoadedModel
from tb_widgets.models.modes import begin_training
from tb_widgets.runs import RunDirectory
from tb_widgets.runs.checkpoints import CheckpointInfo, checkpoint_name, newest_verified, verify
from tb_widgets.runs.journal import JournalWriter, rewind
from tb_widgets.spec import RunSpec, Task
from tb_widgets.spec.batch import Batch, in_parts
from tb_widgets.spec.metrics import COMPUTED, LOSS, METRICS
from tb_widgets.wording import counted

Outcome = Literal["done", "stopped"]
FIRST_BATCHES = 20  # read by the validation before the first step, at most


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
        Where and in which dtype the forward pass runs.
    group
        The processes that train together; one alone by default.
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
        group: Group | None = None,
    ) -> None:
        self.spec, self.model, self.data = spec, model, data
        self.run, self.journal, self.saver = run, journal, saver
        self.device, self.dtype = device, dtype
        self.group = group or Group()
        training = spec.training
        self.module = model.module.to(device)
        self.group.equalise(self.module)
        if self.group.is_sharded:
            _require_no_loss_scale(dtype)
            shard(self.module, device, self.group.size)
        self.parameters = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        self.optimiser = build_optimiser(self.module, training, device, model.outputs)
        self.gauges = Gauges(self.module)
        self.scaler = loss_scaler(device, dtype)
        self.average = WeightAverage(self.parameters, training.averaging)
        self.batches = data.train_batches(batch_size=training.batch_size, seed=training.seed)
        self.validation = data.validation_batches(batch_size=training.batch_size, batches=spec.evaluation.batches)
        self.answers = Answers.of(
            data,
            pairs=spec.evaluation.answers,
            batch_size=training.batch_size,
            context_length=spec.data.context_length,
        )
        facts = data.facts(self.validation) | (self.answers.facts if self.answers else {})
        _require_measured(spec, data.task, facts)
        self.sampler = Sampler(spec, model, data, device)
        self.room = Room(run, journal, saver)
        self.commands = Commands(run.control, self.group, self.room)
        self.compilation = Compilation(self.model, journal)
        self.comparison = Comparison(run, journal)
        speed = "tokens_per_second" if data.tokenizer is not None else "examples_per_second"
        scales = self.scaler.is_enabled()
        self.meter = Meter(
            journal, device=device, training=training, speed=speed, expects_skips=scales, group=self.group
        )
        self.step = 0
        share = -(-training.batch_size // self.group.size)
        self.recovery = Recovery(min(training.micro_batch_size or share, share), journal, self.group)
        self.stopping = EarlyStopping(spec)
        self._saved_step = 0
        self._ended_with: CheckpointInfo | None = None
        self._non_finite = NonFiniteMetrics(journal)

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
        steps = self.spec.training.steps
        self._saved_step = self.step
        begin_training(self.module)
        if self.step == 0:
            # Where the curves begin: an untrained model guesses alike everywhere, so some batches tell it.
            self._validate(self.validation[:FIRST_BATCHES])
        mine = self.group.share(self.batches.batch(self.step))
        part = {role: tensor[: self.recovery.rows].to(self.device) for role, tensor in mine.items()}
        peak = peak_flops(describe_device(self.device), self.dtype)
        if peak is not None and not self.group.is_sharded:
            self.meter.flops = flops_per_read(self.model, part, self.dtype) / (peak * self.group.size)
        if self.spec.hardware.compile and not missing_compiler(self.device):
            self.compilation.begin(part, self.dtype, self.step)
        self.meter.begin(self.step)
        while self.step < steps:
            if self.commands.obey(self.meter, save=self._save):
                self.journal.update(state="stopping", now=True)
                self.meter.report()
                self._save()
                return "stopped"
            try:
                is_over = self._train_on()
            except DivergedError as error:
                self._roll_back(error)
                continue
            if is_over:
                break
        return "stopped" if self._is_stopped_for_room() else "done"

    def _is_stopped_for_room(self) -> bool:
        """Let everything be written, pausing while the disk is full; return whether somebody ends that by a stop."""
        self.saver.settle()
        self.journal.try_again()
        while self.group.broadcast(int(self.room.is_short())):
            if self.commands.obey(self.meter, save=self._save, now=True):
                return True
        return False

    def resume_from(self, checkpoint: Path) -> None:
        """Put everything back to where a checkpoint was taken.

        Raises
        ------
        CheckpointError
            If the checkpoint does not fit the model, or the text is no longer the one that it was trained on.
        """
        meta = self._go_to(checkpoint)
        self.meter.clock.before = meta["elapsed"]
        self.recovery.restore(meta["recovery"])

    def _go_to(self, checkpoint: Path) -> dict[str, Any]:
        """Put weights, optimiser, random states and counts back, and return the checkpoint's ``meta.json``."""
        meta, carried = restore(checkpoint, self.module, self.optimiser, self.scaler)
        if meta["data"]["fingerprint"] != self.data.fingerprint:
            raise CheckpointError(
                f"The text {self.spec.data.source} is no longer the one this run was trained on.",
                hint="Restore the old text, or start a new run on the new one.",
            )
        self.average.restore(carried)
        self.step = meta["step"]
        self.meter.window_loss = carried["window_loss"].to(self.device)
        self.meter.skipped.in_row = meta["skipped_in_row"]
        self.meter.level.restore(meta["level"])
        self.stopping.restore(meta["stopping"])
        return meta

    def _roll_back(self, error: DivergedError) -> None:
        """Go on from the newest checkpoint at half the learning rate, or raise the error where there is none."""
        self._is_stopped_for_room()
        self.saver.close()
        chosen = newest_verified(self.run.checkpoints_folder)[0] if self.group.is_main else None
        step = self.group.broadcast(chosen.step if chosen else -1)
        self.recovery.roll_back(error, step if step >= 0 else None)
        self._go_to(self.run.checkpoints_folder / checkpoint_name(step))
        self.meter.forget(step)
        self._saved_step = step
        if self.group.is_main:
            self.journal.flush()
            rewind(self.run.metrics_file, step)
            rewind(self.run.samples_file, step)

    def _say_over(self) -> None:
        """Say why the run ends here; whoever continues it gets the same patience again."""
        name, delta = METRICS[self.stopping.monitor].name, self.spec.evaluation.min_delta
        self.saver.settle()  # the status names the best checkpoint once it is on the disk
        best = self.journal.status.best
        if best is not None and not delta:
            why = f"no better since step {best['step']:,}"
        else:  # the best may be one that was not better by enough
            by = f" by {delta:g} or more" if delta else ""
            why = f"not better{by} in {counted(self.stopping.waited, 'evaluation')}"
        message = f"Stopped early at step {self.step:,} of {self.spec.training.steps:,}: validation {name} {why}."
        self.stopping.waited = 0
        self._tell_end("stopped-early", message)

    def _end_with_best(self) -> None:
        """Put the best checkpoint's state in the place of the newest, unless there is none that is whole.

        Its optimiser's state comes with its weights: whoever continues the run goes on with both.
        """
        self._is_stopped_for_room()
        self.saver.close()
        best = next((info for info in self.run.checkpoints() if info.best), None) if self.group.is_main else None
        if best is not None:
            try:
                best = verify(best.path)
            except CheckpointError as error:
                self._tell_end("warning", f"The run ends with its newest weights, not with its best. {error.message}")
                best = None
        step = self.group.broadcast(best.step if best else -1)
        if step < 0:
            return
        path = self.run.checkpoints_folder / checkpoint_name(step)
        self.average.restore(restore(path, self.module, self.optimiser, self.scaler)[1])
        self._ended_with = best
        self._tell_end("restored-best", f"The last checkpoint has the weights of the best one, of step {step:,}.")

    def _tell_end(self, kind: str, message: str) -> None:
        self.journal.update(message=f"{self.journal.status.message} {message}".strip())
        self.journal.event(kind, step=self.step, message=message)

    def _train_on(self) -> bool:
        """Train a step and do what is due after it; return whether to stop early."""
        self._train_one_step()
        is_last = self.step == self.spec.training.steps
        evaluates = is_last or self.step % self.spec.evaluation.every == 0
        metrics = self._evaluate(sample_anyway=is_last) if evaluates else {}
        is_over = evaluates and self.stopping.look(metrics[self.stopping.monitor]) and not is_last
        if is_over:
            self._say_over()
        is_best = evaluates and self.saver.is_best(metrics)
        if (is_last or is_over) and self.spec.checkpoints.restore_best and not is_best:
            self._end_with_best()
        if is_best or is_last or is_over or self.step % self.spec.checkpoints.every == 0:
            self._save()
        # A report may find that the run has diverged, so every rank has to make it.
        if is_last or is_over or self.group.broadcast(int(self.meter.is_report_due())):
            self.meter.report()
        return is_over

    def _train_one_step(self) -> None:
        training = self.spec.training
        lr = learning_rate(training, self.step + 1) * self.recovery.rate_share
        set_learning_rate(self.optimiser, lr)
        batch = self.batches.batch(self.step)
        mine = self.group.share(batch)
        total = self.group.sum(count_labels(mine["labels"]))
        if not total:
            raise TrainingError(
                f"No label of step {self.step + 1:,} counts: every one is -100, so there is nothing to learn.",
                hint="Use other data or a larger batch, so that every batch has something to predict.",
            )
        undo = partial(self.optimiser.zero_grad, set_to_none=True)
        loss = self.recovery.within_memory(
            lambda rows: self.compilation.attempt(lambda: self._learn(mine, rows, total), self.step + 1, undo=undo),
            self.step + 1,
            undo=undo,
        )
        self.meter.add_loss(loss)
        self.group.average_gradients(self.parameters)
        self.scaler.unscale_(self.optimiser)
        is_sampled = self.meter.is_sampled(self.step + 1) and not self.group.is_sharded
        sampled = self.gauges.layer_norms() if is_sampled else {}
        before = self.gauges.sampled_weights() if is_sampled else None
        if training.clip is None:
            norm = get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        else:
            norm = clip_grad_norm_(self.parameters, training.clip)
        norm = whole(norm)
        step_if_finite(self.optimiser, norm, self.scaler)
        if before is not None:
            sampled |= self.gauges.update_ratio(before)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.average.update(self.step)
        rates = {"lr": lr} | group_rates(self.optimiser.param_groups)
        self.meter.end_step(self.step, rates=rates, norm=norm, batch=batch, sampled=sampled)

    def _learn(self, batch: Batch, rows: int, total: int) -> Tensor:
        """Let the gradients of a batch add up, some rows at a time, and return its loss.

        ``total`` is the number of labels that count on all ranks.
        """
        summed = torch.zeros((), device=self.device)
        for part in in_parts(batch, rows):
            labels = count_labels(part["labels"])
            if not labels and not self.group.is_sharded:
                continue
            on_device = {role: tensor.to(self.device, non_blocking=True) for role, tensor in part.items()}
            with autocast(self.device, self.dtype):
                logits = self.compilation.model.logits(on_device)
            # Each part counts by its share of the labels, so the sum is the mean over the whole batch. Losses and
            # gradients are averaged over the ranks, which the group's size makes up for.
            share = labels / total * self.group.size
            loss = prediction_loss(logits, on_device["labels"]) * share if labels else 0.0 * logits.sum()
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            summed += loss.detach()
        return summed

    def _evaluate(self, *, sample_anyway: bool) -> dict[str, float]:
        """Validate, and write samples now and then."""
        metrics = self._validate(self.validation, self.answers)
        samples = sample_anyway or self.sampler.may_sample(self.meter.clock.here())
        if self.group.is_sharded:  # all ranks write the same together
            samples = bool(self.group.broadcast(int(samples)))
        if samples and (self.group.is_main or self.group.is_sharded):
            with self.meter.apart(), self.average.in_place():
                self.sampler.write(self.journal, self.step)
        return metrics

    def _validate(self, batches: list[Batch], answers: Answers | None = None) -> dict[str, float]:
        facts = self.data.facts(batches)
        with self.meter.apart(), self.average.in_place():
            found = self.recovery.within_memory(
                lambda rows: tally(
                    self.module,
                    self.model.logits,
                    batches,
                    task=self.data.task,
                    device=self.device,
                    dtype=self.dtype,
                    rows=rows,
                    group=self.group,
                    facts=facts,
                    answers=answers,
                ),
                self.step,
            )
            metrics = found.agreed(self.group)
        self._non_finite.look(self.step, metrics)
        self.meter.end_validation(metrics)
        self.comparison.look(self.step, metrics[LOSS.key])
        return metrics

    def _save(self) -> None:
        if self.step == self._saved_step:
            return
        # Losses and norms are read before the state is kept, so that no checkpoint holds what can't be gone on with.
        self.meter.report()
        with self.meter.apart():
            self.meter.agree_on_loss()
            require_finite_loss(self.step, self.meter.window_loss.item())
            with self.average.in_place():
                require_finite_weights(self.step, self.module)
                if self.group.is_sharded:
                    self.saver.settle()
                    snapshot = self._take_snapshot()
                    if self.group.is_main:
                        self.saver.save(self.step, lambda: snapshot)
                elif self.group.is_main:  # all ranks hold the same
                    self.saver.save(self.step, self._take_snapshot)
        self._saved_step = self.step

    def _take_snapshot(self) -> Snapshot:
        return take_snapshot(
            self.module,
            self.optimiser,
            self.scaler,
            carried={"window_loss": self.meter.window_loss} | self.average.carried(),
            keep=self.group.is_main,
            meta={
                "metrics": self._ended_with.metrics if self._ended_with else self.meter.validation_at(self.step),
                "elapsed": round(self.meter.clock.elapsed(), 2),
                "skipped_in_row": self.meter.skipped.in_row,
                "level": self.meter.level.state(),
                "recovery": self.recovery.state(),
                "stopping": self.stopping.state(),
                "data": {
                    "fingerprint": self.data.fingerprint,
                    "seed": self.spec.training.seed,
                    "next_batch": self.step,
                },
            },
        )


def _require_no_loss_scale(dtype: torch.dtype) -> None:
    if dtype == torch.float16:
        raise TrainingError(
            "hardware.sharding is full, and this GPU's half precision (fp16) needs a loss scale, which a model in "
            "parts has none for.",
            hint="Set training.precision to fp32.",
        )


def _require_measured(spec: RunSpec, task: Task, facts: Mapping[str, float]) -> None:
    if (monitor := spec.checkpoints.monitor) in (there := measured(task, facts)):
        return
    needs = COMPUTED[monitor].needs
    way = f"Set it to {' or '.join(there)}."
    if needs == ANSWERS and not spec.evaluation.answers:
        way = f"Set evaluation.answers to 32. Or: {way[0].lower()}{way[1:]}"
    raise TrainingError(
        f"checkpoints.monitor is {monitor}, which can't be measured on these data: it needs {needs.replace('_', ' ')}.",
        hint=way,
    )
