"""Generating with a checkpoint: ``generate``."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from tb_widgets.cli.options import CheckpointName, Json, RunName, RunsDir, TrustRun, service
from tb_widgets.cli.screen import console, print_json
from tb_widgets.display.terminal import doing, show_controls
from tb_widgets.runs import RunDirectory
from tb_widgets.service.generation import Generation, GenerationService
from tb_widgets.service.run import Checkpoint, Run
from tb_widgets.spec import TASKS

_LOOK_EVERY = 0.05  # seconds between two looks at a growing text


def _number(about: str, *, min: float) -> Any:
    return typer.Option(metavar="N", min=min, show_default=False, help=about)


def generate(
    name: RunName,
    *,
    checkpoint: CheckpointName = "best",
    prompt: Annotated[str, typer.Option(show_default=False, help="Text to continue.")] = "",
    length: Annotated[int, _number("Tokens to generate (default 200).", min=1)] = 200,
    temperature: Annotated[float, _number("0: greedy; 1: unchanged (default 0.8).", min=0.0)] = 0.8,
    top_k: Annotated[int, _number("Most likely tokens (default 40); 0: all.", min=0)] = 40,
    seed: Annotated[int, _number("Same seed, same text (default 0).", min=0)] = 0,
    trust: TrustRun = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Generate text with the model of a run.

    A classifier predicts the class of the prompt; an image classifier those of --length new images.
    """
    run = Run(service(runs_dir).attach(name).path)
    chosen = run.checkpoint(checkpoint)
    options: dict[str, Any] = {"temperature": temperature, "top_k": top_k or None, "seed": seed, "trust": trust}
    done = write_answer(chosen, prompt, length=length, show=not json, **options)
    if json:
        facts = {"run_id": run.id, "checkpoint": chosen.step, "task": done.task, "prompt": prompt, "text": done.text}
        print_json(facts | {"tokens_per_second": done.tokens_per_second})


def write_answer(
    checkpoint: Checkpoint,
    prompt: str,
    *,
    length: int,
    temperature: float = 0.8,
    top_k: int | None = 40,
    seed: int = 0,
    trust: bool = False,
    show: bool = True,
) -> Generation:
    """Let a checkpoint answer a prompt, in a process without secrets, and print the text as it grows.

    A text that goes on from its prompt is printed after it; any other answer stands alone.

    Raises
    ------
    ConsentError
        If the run was started elsewhere and nobody has agreed to run its code.
    ServiceError
        If the model can't be loaded, or fails while it writes.
    """
    run: RunDirectory = checkpoint.run
    writers = GenerationService()
    try:
        options: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "seed": seed, "trust": trust}
        text = writers.generate(run, checkpoint.path, prompt, length=length, **options)
        if show:
            _follow(text, f"Loading step {checkpoint.step:,}")
        text.finished.wait()
    finally:
        writers.close()
    text.raise_failure()
    return text


def _follow(text: Generation, loading: str) -> None:
    """Print a text as it grows; one that is broken off ends its line as well."""
    with doing(console(stderr=True), loading):
        while not text.text and not text.finished.wait(_LOOK_EVERY):
            pass
    if not text.text:
        return
    shown, ended = 0, False
    try:
        if text.task is not None and TASKS[text.task].continues:
            _write(text.prompt)
        while not ended:
            ended = text.finished.wait(_LOOK_EVERY)
            now = len(text.text)
            _write(text.text[shown:now])
            shown = now
    finally:
        _write("\n")


def _write(text: str) -> None:
    """Print a text as it is into a file or pipe; a terminal must not obey what a model makes up."""
    sys.stdout.write(show_controls(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()
