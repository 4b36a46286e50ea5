"""The engine against the loop that a person would write: the same model, sizes, threads and number of steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch.nn import functional

from tb_widgets.data.batches import validation_batches
from tb_widgets.data.prepared import prepare
from tb_widgets.engine.session import default_cache_dir, train_run
from tb_widgets.models.load import build, read_source
from tb_widgets.runs import RunDirectory, create_run
from tb_widgets.runs.journal import read_records
from tb_widgets.spec import RunSpec, preset
from tests.bench.figure import Figure

# Whole periods of what the preset does: validation and a checkpoint every 100 steps, or more often.
STEPS = {"quick": 300, "small": 100}
ROUNDS = {"quick": 7, "small": 5}


@dataclass(frozen=True)
class Bare:
    """Seconds of the bare loop, and how many of them went into validation."""

    whole: float
    validating: float


def engine_seconds(run: RunDirectory) -> float:
    """Seconds from the first step until everything is on the disk, as the run's own events tell."""
    assert train_run(run) == "done", run.status().message
    moments = {event["kind"]: event["time"] for event in read_records(run.events_file)}
    return moments["finished"] - moments["phase"]


def bare_loop(spec: RunSpec, run: RunDirectory) -> Bare:
    """Train a run's model again, on the same text, without any of our machinery."""
    training, context = spec.training, spec.data.context_length
    data = prepare(spec.data, spec.tokenizer, cache_dir=default_cache_dir(), frozen_tokenizer=run.tokenizer_folder)
    tokens = torch.from_numpy(data.train.astype("int64"))
    held_back = validation_batches(
        data.validation, context_length=context, batch_size=training.batch_size, batches=spec.evaluation.batches
    )
    torch.manual_seed(training.seed)
    model = build(read_source(run.model_folder)).module
    optimiser = torch.optim.AdamW(model.parameters(), lr=training.learning_rate, fused=True)
    window = torch.arange(context + 1)

    validating = 0.0
    began = time.perf_counter()
    model.train()
    for step in range(1, training.steps + 1):
        batch = tokens[torch.randint(len(tokens) - context, (training.batch_size, 1)) + window]
        logits = model(batch[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip)
        optimiser.step()
        optimiser.zero_grad()
        if step % 10 == 0:
            loss.item()
        if step % spec.evaluation.every == 0:
            paused = time.perf_counter()
            model.eval()
            with torch.inference_mode():
                figures = []
                for batch in held_back:
                    logits, targets = model(batch[:, :-1]), batch[:, 1:]
                    figures.append(functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).item())
                    figures.append((logits.argmax(-1) == targets).float().mean().item())
            model.train()
            validating += time.perf_counter() - paused
    return Bare(time.perf_counter() - began, validating)


def preset_spec(name: str) -> RunSpec:
    return preset(name).with_values({"training.steps": STEPS[name]})


def measure(folder: Path) -> Iterator[Figure]:
    for name, steps in STEPS.items():
        spec, rounds = preset_spec(name), ROUNDS[name]
        first = create_run(folder, spec.with_values({"training.steps": 5}))
        train_run(first)  # prepares text and model, sets the threads, and warms the machine up
        same_work, strict, speeds = [], [], []
        for number in range(rounds):
            if number % 2:
                bare = bare_loop(spec, first)
                ours = engine_seconds(create_run(folder, spec))
            else:
                ours = engine_seconds(create_run(folder, spec))
                bare = bare_loop(spec, first)
            same_work.append(bare.whole / ours)
            strict.append((bare.whole - bare.validating) / ours)
            speeds.append(steps * spec.training.batch_size * spec.data.context_length / ours)
        how = f"{rounds} rounds of {steps} steps, alternating, median ({median(speeds):,.0f} tokens/s); "
        yield Figure(
            f"engine / bare loop, {name}, same validation",
            median(same_work),
            "",
            "at least",
            0.97,
            how + "journal, checkpoints, samples on; rounds " + " ".join(f"{ratio:.3f}" for ratio in same_work),
        )
        yield Figure(
            f"engine / bare loop without validation, {name}",
            median(strict),
            "",
            "at least",
            0.97,
            "the same rounds; the bare loop does not validate, so that this holds the price of validation as well",
        )
