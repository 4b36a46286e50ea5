"""Batches are made many times faster than a model of the small preset reads them, and hold little padding."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from tb_widgets.data.batches.buckets import ExampleBatches
from tb_widgets.data.prepared import prepare
from tb_widgets.engine.objective import prediction_loss
from tb_widgets.models.load import build
from tb_widgets.models.source import read_source, write_source
from tb_widgets.models.sources.resolve import resolve
from tb_widgets.spec import ModelSpec, Task, preset
from tests.bench.figure import Figure

BATCH, EXAMPLES, STEPS = 32, 50_000, 512
SPREAD = 0.8  # of the logarithm of the lengths
# Each task of texts, with data of ours and the model of ours that has its size.
TASKS: dict[Task, tuple[str, str]] = {
    "causal-lm": ("python-docs", "zoo:gpt"),
    "masked-lm": ("python-docs", "zoo:bert"),
    "seq2seq": ("python-docs", "zoo:t5"),
}
PAIRS = "reversed-words"
TURNS, BATCHES_IN_TURN = 6, 50


def padding(lengths: np.ndarray, *, plain: bool) -> float:
    """Return how many of a hundred tokens are padding."""
    order = np.random.default_rng(1).permutation(len(lengths))
    batches = ExampleBatches(
        lambda found: {"labels": torch.from_numpy(lengths[found])},
        lengths,
        batch_size=BATCH,
        seed=1,
        fingerprint="skewed",
    )
    total = real = 0
    for step in range(STEPS):
        rows = lengths[order[step * BATCH : (step + 1) * BATCH]] if plain else batches.batch(step)["labels"].numpy()
        total, real = total + rows.max() * len(rows), real + rows.sum()
    return float(100 * (1 - real / total))


def seconds(act: Callable[[int], object], steps: range) -> float:
    began = time.perf_counter()
    for step in steps:
        act(step)
    return (time.perf_counter() - began) / len(steps)


def speeds(folder: Path, task: Task, source: str, model_source: str) -> tuple[float, float]:
    """Return the seconds that a batch takes to make, and those that a step of training on it takes."""
    spec = preset("small").with_values({"data.source": source})
    data = prepare(spec.data, spec.tokenizer, task=task, cache_dir=folder)
    home = folder / f"{task}-{source}"
    sizes = {"vocab_size": data.vocab_size, "context_length": spec.data.context_length}
    write_source(resolve(ModelSpec(source=model_source, preset="small"), **sizes), home)
    model = build(read_source(home))
    batches = data.train_batches(batch_size=spec.training.batch_size, seed=1)
    optimiser = torch.optim.AdamW(model.module.parameters(), fused=True)

    def train(step: int) -> None:
        batch = batches.batch(step)
        prediction_loss(model.logits(batch), batch["labels"]).backward()
        optimiser.step()
        optimiser.zero_grad()

    train(0)
    made, trained = [], []
    for turn in range(TURNS):
        first = turn * BATCHES_IN_TURN
        made.append(seconds(batches.batch, range(first, first + BATCHES_IN_TURN)))
        trained.append(seconds(train, range(first, first + 2)))
    return float(np.median(made)), float(np.median(trained))


def measure(folder: Path) -> Iterator[Figure]:
    lengths = np.random.default_rng(0).lognormal(3.5, SPREAD, EXAMPLES).astype(np.int64).clip(1, 512)
    plain = f"batches of {BATCH}; as they come {padding(lengths, plain=True):.0f} %"
    yield Figure(
        "padding in batches of like lengths",
        padding(lengths, plain=False),
        "%",
        "at most",
        8.0,
        f"{EXAMPLES:,} texts of e^(3.5 ± {SPREAD}) tokens, {plain}",
    )
    for task, (source, model) in [*TASKS.items(), ("seq2seq", (PAIRS, "zoo:t5"))]:
        made, trained = speeds(folder, task, source, model)
        yield Figure(
            f"batches made / read at small, {task}, {source}",
            trained / made,
            "",
            "at least",
            20,
            f"{made * 1000:.2f} ms to make one, {trained * 1000:.0f} ms to train on it, in turns",
        )
