"""The engine with everything on, HF Trainer and Lightning, each against a bare PyTorch loop, at four sizes of model.

Same model, text, batch, context, optimiser (fused AdamW), clipping, validation and threads, in fp32. The frameworks are
measured at their best: they write no checkpoint and draw no bar. Where one is not installed that is said:
``pip install 'tb-widgets[bench]'``.
"""

from __future__ import annotations

import logging
import statistics
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from tb_widgets.engine.session import train_run
from tb_widgets.runs import RunDirectory, create_run
from tb_widgets.spec import RunSpec
from tests.bench.engine import BareLoop
from tests.bench.figure import Absent, Figure
from tests.bench.turns import Loop, Turns, bare, engine, seconds_per_step

LIGHTNING, TRANSFORMERS = "Lightning", "HF Trainer"
PACKAGES = {TRANSFORMERS: ("transformers", "accelerate"), LIGHTNING: ("lightning",)}


@dataclass(frozen=True)
class Size:
    """A model, and how much of its training is measured: about a minute for four loops together.

    ``every`` is how often validation is read and a checkpoint written; the last step's are not counted.
    """

    layers: int
    heads: int
    width: int
    context: int
    batch: int
    steps: int
    turn: int
    every: int
    lives: int  # how a model lies in memory makes it a percent or two faster or slower for life
    bound: float

    def spec(self) -> RunSpec:
        config = {"n_layer": self.layers, "n_head": self.heads, "n_embd": self.width}
        return RunSpec().with_values(
            {
                "model.config": config,
                "tokenizer.kind": "byte",
                "data.context_length": self.context,
                "training.steps": self.steps,
                "training.batch_size": self.batch,
                "training.precision": "fp32",
                "evaluation.every": self.every,
                "evaluation.batches": 10 if self.every < self.steps else 1,
                "checkpoints.every": self.every,
            }
        )


SIZES = {
    "0.1 M": Size(2, 2, 64, 64, 12, steps=1000, turn=20, every=250, lives=3, bound=0.85),
    "1 M": Size(4, 4, 144, 64, 12, steps=400, turn=10, every=100, lives=2, bound=0.95),
    "10 M": Size(6, 6, 384, 128, 8, steps=24, turn=2, every=24, lives=1, bound=0.97),
    "100 M": Size(12, 13, 832, 128, 2, steps=6, turn=1, every=6, lives=1, bound=0.97),
}


class Windows(Dataset[dict[str, Tensor]]):
    """Windows of the training text, drawn as the bare loop draws them."""

    def __init__(self, loop: BareLoop) -> None:
        self.loop = loop

    def __len__(self) -> int:
        return self.loop.spec.training.steps * self.loop.spec.training.batch_size

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        context = self.loop.spec.data.context_length
        first = int(torch.randint(len(self.loop.tokens) - context, ()))
        window = self.loop.tokens[first : first + context + 1]
        return {"tokens": window[:-1], "labels": window[1:]}


def held_back(loop: BareLoop) -> list[dict[str, Tensor]]:
    """The validation windows of the bare loop, one by one."""
    rows = [row for batch in loop.held_back for row in batch]
    return [{"tokens": row[:-1], "labels": row[1:]} for row in rows]


class WithLoss(nn.Module):
    """The model as HF Trainer wants it: called with labels, it returns its loss."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, tokens: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.module(tokens)
        return {"loss": functional.cross_entropy(logits.flatten(0, 1), labels.flatten()), "logits": logits}


def hf_trainer(folder: Path, spec: RunSpec, first: RunDirectory) -> Loop:
    def loop(turns: Turns) -> None:
        from transformers import Trainer, TrainerCallback, TrainingArguments

        class TakesTurns(TrainerCallback):  # type: ignore[misc]
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                turns.step(TRANSFORMERS)

        parts, training = BareLoop(spec, first), spec.training
        arguments = TrainingArguments(
            output_dir=str(folder / "hf"),
            use_cpu=True,
            max_steps=training.steps,
            per_device_train_batch_size=training.batch_size,
            per_device_eval_batch_size=training.batch_size,
            learning_rate=training.learning_rate,
            max_grad_norm=training.clip,
            optim="adamw_torch_fused",
            logging_steps=10,
            eval_strategy="steps",
            eval_steps=spec.evaluation.every,
            prediction_loss_only=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        trainer = Trainer(
            model=WithLoss(parts.model),
            args=arguments,
            train_dataset=Windows(parts),
            eval_dataset=held_back(parts),
            callbacks=[TakesTurns()],
        )
        trainer.log = lambda *_, **__: None  # it would print
        trainer.train()

    return loop


def lightning(folder: Path, spec: RunSpec, first: RunDirectory) -> Loop:
    def loop(turns: Turns) -> None:
        import lightning

        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        parts, training = BareLoop(spec, first), spec.training

        class Module(lightning.LightningModule):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.model = WithLoss(parts.model)

            def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
                return self.model(**batch)["loss"]

            def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
                self.log("val/loss", self.model(**batch)["loss"])

            def configure_optimizers(self) -> torch.optim.Optimizer:
                return torch.optim.AdamW(self.parameters(), lr=training.learning_rate, fused=True)

        class TakesTurns(lightning.Callback):  # type: ignore[misc]
            def on_train_batch_start(self, *_: Any) -> None:
                turns.step(LIGHTNING)

        trainer = lightning.Trainer(
            accelerator="cpu",
            max_steps=training.steps,
            gradient_clip_val=training.clip,
            log_every_n_steps=10,
            val_check_interval=spec.evaluation.every,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[TakesTurns()],
            default_root_dir=folder,
        )
        trainer.fit(
            Module(),
            DataLoader(Windows(parts), batch_size=training.batch_size),
            DataLoader(held_back(parts), batch_size=training.batch_size),
        )

    return loop


def missing(name: str) -> list[str]:
    """The packages of a framework that are not installed."""
    return [package for package in PACKAGES[name] if find_spec(package) is None]


def measure(folder: Path) -> Iterator[Figure | Absent]:
    others = [name for name in PACKAGES if not missing(name)]
    for name in PACKAGES:
        if absent := missing(name):
            yield Absent(name, f"{' and '.join(absent)} not installed: pip install 'tb-widgets[bench]'")
    make = {TRANSFORMERS: hf_trainer, LIGHTNING: lightning}
    warnings.filterwarnings("ignore", module="lightning|transformers|torch.utils.data")
    for title, size in SIZES.items():
        spec = size.spec()
        first = create_run(folder, spec.with_values({"training.steps": 2}))
        assert train_run(first) == "done", first.status().message  # prepares text and model, and chooses the threads
        loops = {"engine": engine(folder, spec), "bare loop": bare(spec, first)}
        loops |= {name: make[name](folder, spec, first) for name in others}
        threads = first.status().threads
        lives = [seconds_per_step(loops, size=size.turn, steps=size.steps, threads=threads) for _ in range(size.lives)]
        found = {name: statistics.mean(life[name] for life in lives) for name in loops}
        tokens = size.batch * size.context
        told = ", ".join(f"{name} {tokens / seconds:,.0f}" for name, seconds in found.items())
        how = f"tokens/s: {told}; {size.lives} x {size.steps} steps in turns of {size.turn}, {threads} thread(s)"
        parameters = first.status().parameters
        yield Figure(
            f"engine / bare loop, {title} ({parameters:,})",
            found["bare loop"] / found["engine"],
            "",
            "at least",
            size.bound,
            how,
        )
        for name in others:
            ratio = found[name] / found["engine"]
            yield Figure(f"engine / {name}, {title}", ratio, "", "at least", 0.97, "the same turns")
