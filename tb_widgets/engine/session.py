"""One training session: from a run directory to a finished, stopped or failed run."""

from __future__ import annotations

import contextlib
import os
import random
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from filelock import Timeout
from torch import nn

from tb_widgets.engine.activation_checkpointing import activation_checkpointing
from tb_widgets.engine.commands import Commands
from tb_widgets.engine.compilation import missing_compiler
from tb_widgets.engine.environment import snapshot_environment
from tb_widgets.engine.failures import explain, remedy
from tb_widgets.engine.hardware import choose_device, choose_threads, describe_device
from tb_widgets.engine.inputs import gather_inputs
from tb_widgets.engine.memory import keep_freed_memory
from tb_widgets.engine.parallel import Group, SilentJournal
from tb_widgets.engine.precision import choose_precision
from tb_widgets.engine.saver import CheckpointSaver
from tb_widgets.engine.trainer import Trainer
from tb_widgets.errors import CheckpointError, ProcessLostError, RunError, TbError, print_traceback
from tb_widgets.models.load import LoadedModel
from tb_widgets.runs import CheckpointInfo, RunDirectory, State
from tb_widgets.runs.checkpoints import checkpoint_name, newest_verified, remove_leftovers, set_damaged_aside
from tb_widgets.runs.durable import replace_json
from tb_widgets.runs.environment import decides, differences, fact_title, fact_value
from tb_widgets.runs.journal import JournalWriter, iter_records, rewind
from tb_widgets.runs.process import ProcessIdentity
from tb_widgets.runs.status import AT_REST, again_in_words, read_status

# Seconds: whoever only looks whether a run is at work holds its lock for a moment.
LOCKED_WITHIN = 2.0


def train_run(run: RunDirectory, *, module: nn.Module | None = None) -> State:
    """Train a run to its end, from its newest checkpoint if it has one, and return the state it ended in.

    Every error ends up in the run directory, whatever its kind, ``SystemExit`` and ``KeyboardInterrupt`` too: a
    sentence in ``status.json`` and ``events.jsonl``, and the traceback on standard error, which the worker sends to
    ``log.txt``.

    Parameters
    ----------
    run
        A run made by :func:`tb_widgets.runs.create_run`.
    module
        A live model to train in this process; otherwise the model is built from the run's own source.

    Raises
    ------
    RunError
        If another process trains this run, or its directory can't be written at all.
    """
    group = Group.current()
    if not group.is_main:  # the main rank holds the lock for all
        return _train_locked(run, module, group)
    lock = run.lock()
    try:
        lock.acquire(timeout=LOCKED_WITHIN)
    except Timeout:
        raise RunError(f"{run.id} is already being trained by another process.", hint="Open it to watch it.") from None
    try:
        return _train_locked(run, module, group)
    finally:
        lock.release()


def _train_locked(run: RunDirectory, module: nn.Module | None, group: Group) -> State:
    process = ProcessIdentity.current()
    status = replace(
        read_status(run.status_file),
        state="preparing",
        phase="Starting",
        message="",
        hint="",
        remedy=None,
        lost=False,
        **AT_REST,
        **process.as_status(),
    )
    files = run.metrics_file, run.events_file, run.status_file
    journal = JournalWriter(*files, status, samples_file=run.samples_file) if group.is_main else SilentJournal(status)
    end: dict[str, Any]
    try:
        end = {"state": _prepare_and_train(run, journal, module, group)}
    except BaseException as error:  # noqa: BLE001 - the run must say how it ended, whatever the model's code did
        print_traceback()
        end = _end_in_words(error, run, restarts=status.restarts)
    state: State = end["state"]
    journal.update(phase="", progress=None, **AT_REST, **end)
    details = {key: end[key] for key in ("message", "hint") if key in end}
    try:
        journal.event({"done": "finished"}.get(state, state), step=journal.status.step, **details)
        journal.close()
    except RunError as error:
        # A journal that broke down writes the status at once, if that can be written at all.
        journal.update(**(end if state == "failed" else _end_in_words(error, run)))
        raise
    return state


def _end_in_words(error: BaseException, run: RunDirectory, *, restarts: int = 0) -> dict[str, Any]:
    told = explain(error)
    is_lost = isinstance(told, ProcessLostError)
    state: State = "interrupted" if is_lost or isinstance(error, KeyboardInterrupt) else "failed"
    end: dict[str, Any] = {"state": state, "message": told.message, "hint": told.hint, "lost": is_lost}
    if is_lost:
        end["message"] += again_in_words(restarts)
    with contextlib.suppress(TbError):  # a spec that can't be read: that is what the message says then
        end["remedy"] = remedy(told, run.spec)
    return end


def _prepare_and_train(run: RunDirectory, journal: JournalWriter, module: nn.Module | None, group: Group) -> State:
    spec = run.spec
    group = replace(group, is_sharded=group.size > 1 and spec.hardware.sharding == "full")
    chosen = _choose_checkpoint(run, journal) if group.is_main else None
    resumed_at = group.broadcast(chosen.step if chosen else -1)
    begin = max(0, resumed_at)
    journal.event("started" if resumed_at < 0 else "resumed", pid=os.getpid(), step=begin)
    if group.is_main and run.control.is_requested("after-loss"):
        _tell_of_loss(run, journal, begin)

    device = choose_device(spec.hardware.device)
    dtype, instead = choose_precision(spec.training.precision, device)
    lacking = missing_compiler(device) if spec.hardware.compile else ""
    for message in filter(None, (instead, lacking)):
        journal.event("warning", message=message)
    _seed_everything(spec.training.seed, deterministic=spec.training.deterministic)
    with group.main_first():
        inputs = gather_inputs(run, journal, module, group)
    commands = Commands(run.control, group)
    if "stop" in commands.standing():
        commands.done("stop")
        return "stopped"
    model, data = inputs.model, inputs.data
    if module is None and device.type == "cpu":  # a live model's process is its owner's
        keep_freed_memory()
    threads = _use_threads(run, model, device)
    if group.is_main:
        environment = snapshot_environment(
            spec,
            device=device,
            dtype=dtype,
            threads=threads,
            data_fingerprint=data.fingerprint,
            model_origin=inputs.origin,
        )
        if resumed_at >= 0:
            _warn_of_change(run, environment, journal)
        replace_json(run.environment_file, environment)
    saver = CheckpointSaver(run, spec.checkpoints, journal)
    try:
        trainer = Trainer(
            spec, model, data, run=run, journal=journal, saver=saver, device=device, dtype=dtype, group=group
        )
        if resumed_at >= 0:
            trainer.resume_from(run.checkpoints_folder / checkpoint_name(resumed_at))
        if group.is_main:
            # What was written after the checkpoint is computed again, to the same values; no step stands there twice.
            rewind(run.metrics_file, begin)
            rewind(run.samples_file, begin)
            if begin == 0:
                trainer.comparison.count(data, trainer.validation)
        journal.update(
            state="running",
            phase="Training",
            step=trainer.step,
            total=spec.training.steps,
            task=data.task,
            parameters=model.parameters,
            device=describe_device(device, group.size),
            ranks=group.in_words(),
            machines=group.machines,
            threads=threads,
            best=_best(run),
            now=True,
        )
        journal.event(
            "phase", phase="training", step=trainer.step, parameters=model.parameters, statistics=data.statistics
        )
        with activation_checkpointing(model.module, on=spec.training.activation_checkpointing):
            outcome = trainer.run_to_end()
        journal.update(phase="Saving", now=True)
    finally:
        saver.close()
    return outcome


def _choose_checkpoint(run: RunDirectory, journal: JournalWriter) -> CheckpointInfo | None:
    """Return the newest checkpoint that is whole, or ``None`` for a run that begins.

    Checkpoints that were passed over are renamed: with their later steps they would count as the newest for ever.

    Raises
    ------
    CheckpointError
        If there were checkpoints and none is whole, unless it was agreed to begin again at step 0.
    """
    remove_leftovers(run.checkpoints_folder)
    checkpoint, passed_over = newest_verified(run.checkpoints_folder)
    if checkpoint is None and not run.control.is_requested("from-start"):
        first = next(iter(passed_over.values()), "They were moved or deleted." if _has_saved(run) else "")
        if first:
            raise CheckpointError(
                f"No checkpoint of {run.id} can be used, so the run would restart at step 0. {first}",
                hint=f"Put a copy of a checkpoint into {run.checkpoints_folder}, or restart: "
                f"tb-widgets resume {run.id} --from-start (in Python, resume(from_start=True)).",
            )
    for path, reason in passed_over.items():
        aside = set_damaged_aside(path)
        journal.event("warning", message=f"{reason} Skipped this checkpoint; its folder is now {aside.name}.")
    run.control.withdraw("from-start")
    return checkpoint


def _tell_of_loss(run: RunDirectory, journal: JournalWriter, begin: int) -> None:
    """Say that the process before was lost, which could not say so, and where its successor goes on."""
    run.control.withdraw("after-loss")
    onward = f"continues from the checkpoint of step {begin:,}" if begin else "restarts: no checkpoint was saved yet"
    journal.event(
        "warning",
        recovered="lost",
        step=begin,
        message=f"The training process was lost at step {journal.status.step:,} (killed, or out of memory). "
        f"Training {onward}.",
    )


def _has_saved(run: RunDirectory) -> bool:
    """Whether the run has written a checkpoint since it last began at step 0."""
    saved = False
    for event in iter_records(run.events_file):
        saved = event.get("kind") == "checkpoint" or (saved and event.get("kind") != "started")
    return saved


def _use_threads(run: RunDirectory, model: LoadedModel, device: torch.device) -> int:
    """Set the number of intra-op threads; a resumed run takes the number it began with, since sums depend on it."""
    before = read_status(run.status_file).threads
    training = run.spec.training
    rows = min(training.batch_size, training.micro_batch_size or training.batch_size)
    # An image counts as one token for 4 x 4 pixels.
    image = model.adapter.image
    length = run.spec.data.context_length if image is None else max(1, image[1] * image[2] // 16)
    threads = before or choose_threads(run.spec.hardware, parameters=model.parameters, tokens_per_pass=rows * length)
    if device.type == "cpu":
        torch.set_num_threads(threads)
    return threads


def _warn_of_change(run: RunDirectory, now: dict[str, Any], journal: JournalWriter) -> None:
    """Say what is not as it was when the run was last at work, where that may decide what is computed."""
    try:
        changed = differences(run.environment, now)
    except RunError:  # its file was lost; there is nothing to compare with
        return
    told = [
        f"{fact_title(path)} was {fact_value(before)} and is {fact_value(after)}"
        for path, (before, after) in changed.items()
        if decides(path) and not path.startswith("code.project.")  # the model's code is frozen in the run
    ]
    if told:
        journal.event(
            "warning",
            message=f"The run continues in another environment: {'; '.join(told)}. Its losses may differ from those of "
            "an uninterrupted run.",
        )


def _seed_everything(seed: int, *, deterministic: bool) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Setting it imports the whole compiler, which takes seconds: only where it changes something.
    if torch.are_deterministic_algorithms_enabled() != deterministic:
        torch.use_deterministic_algorithms(deterministic)


def _best(run: RunDirectory) -> dict[str, Any] | None:
    monitor = run.spec.checkpoints.monitor
    best = next((info for info in run.checkpoints() if info.best), None)
    return {"step": best.step, "monitor": monitor, "value": best.metrics[monitor]} if best else None
