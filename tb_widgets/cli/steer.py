"""Steering runs that are at work: ``pause`` and ``stop``."""

from __future__ import annotations

from tb_widgets.cli.options import RunName, RunsDir, service
from tb_widgets.cli.screen import console, name_for_commands, say


def pause(name: RunName, runs_dir: RunsDir = None) -> None:
    """Pause a run after its current step (state stays in memory)."""
    training = service(runs_dir)
    run = training.attach(name)
    training.pause(run)
    say(console(), f"{run.id} pauses after its current step. Resume with: tb-widgets resume {name_for_commands(run)}")


def stop(name: RunName, runs_dir: RunsDir = None) -> None:
    """Stop a run after its current step and save a checkpoint."""
    training = service(runs_dir)
    run = training.attach(name)
    training.stop(run)
    say(
        console(),
        f"{run.id} stops after its current step and saves. Resume with: tb-widgets resume {name_for_commands(run)}",
    )
