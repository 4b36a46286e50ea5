"""Measuring a checkpoint on all validation data: ``evaluate``."""

from __future__ import annotations

from typing import Annotated

import typer

from tb_widgets.cli.options import CheckpointName, Json, RunName, RunsDir, TrustRun, service
from tb_widgets.cli.screen import console, print_json, say
from tb_widgets.display.terminal import doing
from tb_widgets.service.run import Run
from tb_widgets.spec.metrics import METRICS


def evaluate(
    name: RunName,
    *,
    checkpoint: CheckpointName = "best",
    batches: Annotated[int | None, typer.Option(metavar="N", min=1, help="Number of batches (default: all).")] = None,
    trust: TrustRun = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Evaluate a checkpoint on the whole validation set."""
    run = Run(service(runs_dir).attach(name).path)
    chosen = run.checkpoint(checkpoint)
    with doing(console(stderr=True), f"Evaluating step {chosen.step:,}"):
        metrics = chosen.evaluate(batches=batches, trust=trust)
    if json:
        print_json({"run_id": run.id, "checkpoint": chosen.step, "metrics": metrics})
        return
    say(
        console(),
        f"Step {chosen.step:,} of {run.id}, on {'the whole' if batches is None else 'part of the'} validation set:",
    )
    for key, value in metrics.items():
        say(console(), f"  {METRICS[key].heading(run.status.task)}: {METRICS[key].written(value)}")
