"""Trains the models whose curves lie in ``curves/``, well and badly, and records them.

``python -m tests.display.record FOLDER [NAME ...]`` trains them in that folder, about half an hour in all, and writes
the named fixtures anew, or all. A fixture's first line is the run, the others are lines of its journal, every k-th of
them and those of evaluations.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tb_widgets.engine.session import train_run
from tb_widgets.runs import RunDirectory, create_run
from tb_widgets.runs.journal import read_records
from tb_widgets.spec import PRESETS, RunSpec

CURVES = Path(__file__).parent / "curves"
KEYS = ("step", "train/loss", "val/loss", "grad_norm")
LINES = 160  # of a journal that are kept, beside those of evaluations

Values = dict[str, Any]
BASE: Values = {
    "model.config": {"n_layer": 2, "n_head": 2, "n_embd": 48},
    "data.context_length": 64,
    "training.batch_size": 16,
    "training.steps": 600,
    "evaluation.every": 50,
    "evaluation.sample_length": 0,
    "checkpoints.every": 100_000,
    "hardware.threads": 1,
}
CHAR: Values = BASE | {"tokenizer.kind": "char"}
BERT: Values = BASE | {"model.source": "zoo:bert", "tokenizer.vocab_size": 512}
T5: Values = BASE | {"model.source": "zoo:t5", "data.source": "reversed-words", "tokenizer.kind": "char"}
VIT: Values = BASE | {"model.source": "zoo:vit", "data.source": "drawn-shapes", "training.steps": 400}
CLASSIFIER: Values = BASE | {
    "model.source": "zoo:bert-classifier",
    "data.source": "prose-or-code",
    "tokenizer.vocab_size": 512,
    "training.steps": 300,
}
NOISY: Values = {"training.batch_size": 4, "evaluation.every": 10, "evaluation.batches": 5}
QUICK: Values = PRESETS["quick"].values | {"hardware.threads": 1, "evaluation.sample_length": 0}
SHAKESPEARE: Values = PRESETS["shakespeare-char"].values | {"hardware.threads": 1, "evaluation.sample_length": 0}


class SeesAhead(nn.Module):
    """A language model without a causal mask."""

    def __init__(self, vocabulary: int = 256, width: int = 48) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(64, width)
        layer = nn.TransformerEncoderLayer(width, 2, 4 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.output = nn.Linear(width, vocabulary)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        return self.output(self.blocks(self.tokens(input_ids) + self.places(places)))


class Deep(nn.Module):
    """A language model of many layers without normalisation: a token sees the mean of those before it."""

    def __init__(
        self, vocabulary: int = 256, width: int = 48, layers: int = 32, gain: float = 1.0, power: int = 1
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=gain / math.sqrt(width))
        self.output = nn.Linear(width, vocabulary)
        self.power = power

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(input_ids)
        count = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        for layer in self.layers:
            x = x + torch.relu(layer((x + x.cumsum(1) / count) / 2)) ** self.power
        return self.output(x)


def part_of_docs(characters: int) -> str:
    """Return a text file of our own documentation, so long."""
    from tb_widgets.data.sources.builtin import read_text

    file = Path(sys.argv[1]).absolute() / f"docs-{characters}.txt"
    file.write_text(read_text("python-docs")[50_000 : 50_000 + characters], encoding="utf-8")
    return str(file)


def the_same_again(characters: int, times: int) -> str:
    """Return a text file in which one passage stands many times: in both parts."""
    file = Path(sys.argv[1]).absolute() / f"again-{characters}.txt"
    file.write_text(Path(part_of_docs(characters)).read_text(encoding="utf-8") * times, encoding="utf-8")
    return str(file)


def few_examples(rows: int) -> str:
    """Return a table of a few texts, some with the wrong label."""
    lines = Path(part_of_docs(60 * rows)).read_text(encoding="utf-8").replace(",", " ").replace('"', " ").split()
    file = Path(sys.argv[1]).absolute() / f"rows-{rows}.csv"
    made = [f"{' '.join(lines[9 * n : 9 * n + 9])},{'odd' if (n * 7919) % 3 else 'even'}" for n in range(rows)]
    file.write_text("text,label\n" + "\n".join(made), encoding="utf-8")
    return str(file)


LEAK: Values = {"model.allow_leak": True, "model.task": "causal-lm", "model.config": {}, "tokenizer.kind": "byte"}
BYTES: Values = BASE | {"model.task": "causal-lm", "model.config": {}, "tokenizer.kind": "byte"}

HEALTHY: dict[str, Callable[[], Values]] = {
    "quick": lambda: QUICK,
    "shakespeare-char": lambda: SHAKESPEARE,
    "char-small-batch": lambda: CHAR | {"training.batch_size": 4, "training.steps": 400, "evaluation.every": 20},
    "byte-constant": lambda: BASE | {"tokenizer.kind": "byte", "training.schedule": "constant", "training.steps": 800},
    "few-steps": lambda: CHAR | {"training.steps": 60, "evaluation.every": 5, "training.learning_rate": 3e-3},
    "linear-long": lambda: (
        CHAR
        | {"training.schedule": "linear", "training.steps": 3000, "training.log_every": 10, "evaluation.every": 150}
    ),
    "dropout": lambda: CHAR | {"model.config": {"n_layer": 2, "n_head": 2, "n_embd": 48, "dropout": 0.2}},
    "bert": lambda: BERT | {"training.steps": 800},
    "bert-unclipped": lambda: BERT | {"training.clip": None, "training.learning_rate": 2e-3},
    "t5-words": lambda: T5 | {"training.steps": 800, "training.learning_rate": 2e-3},
    "t5-spans": lambda: T5 | {"data.source": "python-source", "tokenizer.kind": "bpe", "tokenizer.vocab_size": 512},
    "vit": lambda: VIT,
    "classifier": lambda: CLASSIFIER,
    "classifier-noisy": lambda: CLASSIFIER | NOISY,
    "classifier-noisier": lambda: (
        CLASSIFIER | NOISY | {"training.seed": 3, "training.steps": 600, "training.learning_rate": 3e-3}
    ),
    "vit-noisy": lambda: VIT | NOISY,
    "sparse-lines": lambda: CHAR | {"training.log_every": 20, "evaluation.every": 10},
    "char": lambda: CHAR | {"training.learning_rate": 3e-3},
    "restarts": lambda: CHAR | {"training.schedule": "cosine-restarts", "training.learning_rate": 1e-2},
    "wsd": lambda: CHAR | {"training.schedule": "wsd", "training.learning_rate": 1e-2},
    "muon": lambda: CHAR | {"training.optimizer": "muon", "training.learning_rate": 1e-2},
    "char-fast": lambda: CHAR | {"training.learning_rate": 1e-2},
    "high-char": lambda: CHAR | {"training.learning_rate": 3e-2},
    "high-unclipped": lambda: CHAR | {"training.learning_rate": 3e-2, "training.clip": None},
    "high-constant": lambda: CHAR | {"training.learning_rate": 3e-2, "training.schedule": "constant"},
    "cut-short": lambda: QUICK | {"training.steps": 150, "evaluation.every": 15},
    "cut-short-constant": lambda: (
        CHAR | {"training.steps": 150, "evaluation.every": 15, "training.schedule": "constant"}
    ),
}
UNHEALTHY: dict[str, Callable[[], Values]] = {
    # The defaults: with this model python-docs is used up by step 700.
    "small": lambda: {"hardware.threads": 1, "evaluation.sample_length": 0},
    "overfit-char": lambda: (
        CHAR | {"data.source": part_of_docs(20_000), "training.steps": 1500, "training.learning_rate": 3e-3}
    ),
    "overfit-bert": lambda: (
        BERT | {"data.source": part_of_docs(15_000), "training.steps": 2000, "training.learning_rate": 3e-3}
    ),
    "overfit-rows": lambda: CLASSIFIER | {"data.source": few_examples(300), "evaluation.every": 20},
    "high-quick": lambda: QUICK | {"training.learning_rate": 3e-2},
    "high-bert": lambda: BERT | {"training.learning_rate": 3e-2},
    "high-vit": lambda: VIT | {"training.learning_rate": 3e-2},
    "higher-char": lambda: CHAR | {"training.learning_rate": 0.3},
    "enormous-char": lambda: CHAR | {"training.learning_rate": 1.0},
    "low-quick": lambda: QUICK | {"training.learning_rate": 3e-5},
    "low-char": lambda: CHAR | {"training.learning_rate": 1e-5},
    "low-bert": lambda: BERT | {"training.learning_rate": 1e-5},
    "low-t5": lambda: T5 | {"training.learning_rate": 1e-5},
    "low-vit": lambda: VIT | {"training.learning_rate": 1e-5},
    "leak-mask": lambda: BASE | LEAK | {"training.learning_rate": 2e-3},
    "leak-repeats": lambda: (
        CHAR | {"data.source": the_same_again(1500, 200), "training.learning_rate": 3e-3, "evaluation.every": 20}
    ),
    "badly-initialised": lambda: BYTES | {"training.clip": None, "training.learning_rate": 3e-3},
    "diverging": lambda: (
        BYTES
        | {
            "training.clip": None,
            "training.learning_rate": 0.3,
            "training.warmup": 0.5,
            "training.steps": 400,
            "evaluation.every": 20,
        }
    ),
    "exploding": lambda: (
        BYTES | {"training.clip": None, "training.learning_rate": 3e-2, "training.warmup": 0.5, "training.steps": 300}
    ),
    "flat-tiny-model": lambda: (
        CHAR
        | {
            "model.config": {"n_layer": 1, "n_head": 1, "n_embd": 4},
            "training.schedule": "constant",
            "training.steps": 3000,
            "training.learning_rate": 5e-3,
            "evaluation.every": 100,
        }
    ),
}
MODULES: dict[str, Callable[[], nn.Module]] = {
    "leak-mask": SeesAhead,
    "badly-initialised": Deep,
    "diverging": lambda: Deep(layers=24, gain=0.2),
    "exploding": lambda: Deep(layers=12, gain=0.2, power=2),
}


def record(folder: Path, name: str, values: Values) -> RunDirectory:
    """Train one model and write its fixture."""
    run = create_run(folder, RunSpec().with_values(values | {"name": name}))
    torch.manual_seed(0)
    train_run(run, module=MODULES[name]() if name in MODULES else None)
    write_fixture(run, name, values)
    return run


def write_fixture(run: RunDirectory, name: str, values: Values) -> None:
    """Write what a run's journal holds, thinned."""
    status, lines = run.status(), read_records(run.metrics_file)
    phase = next(event for event in read_records(run.events_file) if event["kind"] == "phase")
    # Where the data lie on this machine is nobody's concern.
    spec = values | ({"data.source": "text.txt"} if Path(str(values.get("data.source"))).is_absolute() else {})
    head = {
        "spec": spec,
        "state": status.state,
        "task": status.task,
        "parameters": status.parameters,
        "statistics": phase["statistics"],
    }
    every = math.ceil(len(lines) / LINES)
    kept = [line for n, line in enumerate(lines) if n % every == 0 or "val/loss" in line or n == len(lines) - 1]
    thin = [{key: short(line[key]) for key in KEYS if line.get(key) is not None} for line in kept]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in [head, *thin])
    (CURVES / f"{name}.jsonl").write_text(text, encoding="utf-8")


def short(value: float) -> float:
    """Round to four digits."""
    return value if isinstance(value, int) else float(f"{value:.4g}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    everything = HEALTHY | UNHEALTHY
    for wanted in sys.argv[2:] or everything:
        trained = record(place, wanted, everything[wanted]())
        said = trained.status()
        print(wanted, said.state, said.step, said.message, f"{said.elapsed:.0f} s", flush=True)
