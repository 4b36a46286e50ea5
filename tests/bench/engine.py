"""The engine against the loop that a person would write: the same model, sizes, threads and number of steps.

The speed of a shared machine wanders by a third within seconds, so the two take turns, a few steps each, inside one
process: what slows one slows the other. That process keeps its freed memory, as every worker does; a loop in a process
of its own would do without, and pay about a tenth more for that alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import torch
from torch.nn import functional

from tb_widgets.data.batches.windows import validation_batches
from tb_widgets.data.prepared import prepare
from tb_widgets.engine.saver import CheckpointSaver
from tb_widgets.engine.session import train_run
from tb_widgets.engine.trainer import Trainer
from tb_widgets.models.load import build
from tb_widgets.models.source import read_source
from tb_widgets.runs import RunDirectory, create_run
from tb_widgets.runs.folders import default_cache_dir
from tb_widgets.runs.journal import read_records
from tb_widgets.spec import RunSpec, preset
from tests.bench.figure import Figure

# The whole of `quick`; of `small` whole periods of its validation and checkpoints.
STEPS = {"quick": 600, "small": 200}
TURN = {"quick": 10, "small": 2}  # steps
# How a model happens to lie in memory makes it a percent or two faster or slower for life: several lives.
LIVES = {"quick": 4, "small": 2}
# Validating 10 batches every 100 steps is 3 % of `quick`'s work in itself, whoever does it.
STRICT = {"quick": 0.94, "small": 0.97}


class BareLoop:
    """Trains a run's model again, on the same text, without any of our machinery."""

    def __init__(self, spec: RunSpec, run: RunDirectory) -> None:
        training, context = spec.training, spec.data.context_length
        data = prepare(spec.data, spec.tokenizer, cache_dir=default_cache_dir(), frozen_tokenizer=run.tokenizer_folder)
        self.spec = spec
        self.tokens = torch.from_numpy(data.train.astype("int64"))
        self.held_back = validation_batches(
            data.validation, context_length=context, batch_size=training.batch_size, batches=spec.evaluation.batches
        )
        torch.manual_seed(training.seed)
        self.model = build(read_source(run.model_folder)).module.train()
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=training.learning_rate, fused=True)
        self.window = torch.arange(context + 1)
        self.step = 0
        self.seconds = self.validating = 0.0

    def train(self, steps: int) -> None:
        began = time.perf_counter()
        for _ in range(steps):
            self._train_one_step()
        self.seconds += time.perf_counter() - began

    def _train_one_step(self) -> None:
        training, context = self.spec.training, self.spec.data.context_length
        batch = self.tokens[torch.randint(len(self.tokens) - context, (training.batch_size, 1)) + self.window]
        logits = self.model(batch[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), training.clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.step += 1
        if self.step % 10 == 0:
            loss.item()
        if self.step % self.spec.evaluation.every == 0 or self.step == training.steps:
            began = time.perf_counter()
            self._validate()
            self.validating += time.perf_counter() - began

    def _validate(self) -> None:
        self.model.eval()
        with torch.inference_mode():
            figures = []
            for batch in self.held_back:
                logits, targets = self.model(batch[:, :-1]), batch[:, 1:]
                figures.append(functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).item())
                figures.append((logits.argmax(-1) == targets).float().mean().item())
        self.model.train()


class KnownSaver(CheckpointSaver):
    """The engine's own, of which can be asked whether it writes."""

    @property
    def rests(self) -> bool:
        return self._thread is None or not self._thread.is_alive()


def train_in_turns(folder: Path, spec: RunSpec, first: RunDirectory, turn: int) -> tuple[float, BareLoop]:
    """Return the engine's seconds, from its first step until everything is on the disk, and the bare loop after it."""
    bare = BareLoop(spec, first)

    class TakesTurns(Trainer):
        def _train_one_step(self) -> None:
            assert isinstance(self.saver, KnownSaver)
            # What the engine writes in the background would slow the other: it is let go on until that is done.
            if self.step - bare.step >= turn and self.saver.rests:
                bare.train(self.step - bare.step)
            super()._train_one_step()

    run = create_run(folder, spec)
    with patch.multiple("tb_widgets.engine.session", Trainer=TakesTurns, CheckpointSaver=KnownSaver):
        assert train_run(run) == "done", run.status().message
    moments = {event["kind"]: event["time"] for event in read_records(run.events_file)}
    ours = moments["finished"] - moments["phase"] - bare.seconds
    bare.train(spec.training.steps - bare.step)
    return ours, bare


def preset_spec(name: str) -> RunSpec:
    return preset(name).with_values({"training.steps": STEPS[name]})


def measure(folder: Path) -> Iterator[Figure]:
    for name, steps in STEPS.items():
        spec, lives = preset_spec(name), LIVES[name]
        first = create_run(folder, spec.with_values({"training.steps": 5}))
        train_run(first)  # prepares text and model, sets the threads, and warms the machine up
        pairs = [train_in_turns(folder, spec, first, TURN[name]) for _ in range(lives)]
        ours, bare = sum(seconds for seconds, _ in pairs), sum(loop.seconds for _, loop in pairs)
        training = bare - sum(loop.validating for _, loop in pairs)
        speed = lives * steps * spec.training.batch_size * spec.data.context_length / ours
        yield Figure(
            f"engine / bare loop, {name}, both validate",
            bare / ours,
            "",
            "at least",
            0.97,
            f"{lives} x {steps} steps each, in turns of {TURN[name]}; journal, checkpoints, samples on; "
            f"{speed:,.0f} tokens/s; lives " + " ".join(f"{loop.seconds / seconds:.3f}" for seconds, loop in pairs),
        )
        yield Figure(
            f"engine / bare loop without validation, {name}",
            training / ours,
            "",
            "at least",
            STRICT[name],
            "the same turns; the price of validation itself counts as the engine's",
        )
