"""Looking at runs: ``runs`` and ``show``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from tb_widgets.cli.facts import checkpoint_facts, run_facts
from tb_widgets.cli.options import Json, RunName, RunsDir, service
from tb_widgets.cli.run_table import run_lines
from tb_widgets.cli.screen import console, print_json, say, say_after
from tb_widgets.cli.training import follow_run
from tb_widgets.display.baselines import better_in_words, choices_in_words
from tb_widgets.display.hints import hints_of
from tb_widgets.display.run_words import activity, best_in_words, metrics_in_words, training_in_words
from tb_widgets.display.terminal import STATE_STYLES
from tb_widgets.display.terminal_plot import loss_plot
from tb_widgets.runs import CheckpointInfo, RunDirectory, Status
from tb_widgets.runs.baselines import Baselines
from tb_widgets.runs.journal import iter_records
from tb_widgets.spec.metrics import LOSS, METRICS
from tb_widgets.wording import duration, size_in_words


def runs(runs_dir: RunsDir = None, json: Json = False) -> None:
    """List the runs, newest first."""
    training = service(runs_dir)
    entries = training.runs()
    if json:
        print_json([run_facts(entry.run, entry.status) for entry in entries])
        return
    screen = console()
    if not entries:
        say(screen, f"There are no runs in {training.runs_dir} yet. Start one with: tb-widgets train")
        return
    for line in run_lines(entries, screen.width if screen.is_terminal else None):
        screen.print(line, soft_wrap=True)
    if screen.is_terminal:
        say(screen, f"\nThe end of its name is enough for a command: tb-widgets show {entries[0].run.id[-4:]}", "dim")


def show(
    name: RunName,
    runs_dir: RunsDir = None,
    json: Json = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Watch the run until it has ended.")] = False,
) -> None:
    """Show one run: its state, metrics, curve and checkpoints."""
    training = service(runs_dir)
    run = training.attach(name)
    if follow:
        raise typer.Exit(follow_run(training, run, as_json=json, only_watches=True))
    status, checkpoints = run.status(), run.checkpoints()
    if json:
        facts = run_facts(run, status)
        facts |= {"checkpoints": [checkpoint_facts(info) for info in checkpoints], "spec": run.spec.to_mapping()}
        facts |= {"hints": [asdict(hint) for hint in hints_of(run, status)]}
        print_json(facts)
        return
    _print_run(run, status, checkpoints)


def _print_run(run: RunDirectory, status: Status, checkpoints: list[CheckpointInfo]) -> None:
    screen = console()
    loss, baselines = (status.metrics or {}).get(LOSS.key), Baselines(iter_records(run.events_file))
    screen.print(
        Text.assemble((run.id, "bold"), "  ", (activity(status), STATE_STYLES.get(status.state, ""))), soft_wrap=True
    )
    for sentence in (status.message, status.hint):
        if sentence:
            say_after(screen, "", sentence)
    facts = [
        ("step", f"{status.step:,} of {status.total:,}"),
        ("metrics", ", ".join(metrics_in_words(status.metrics or {}, status))),
        ("means", choices_in_words(loss, baselines) if loss is not None else ""),
        ("compared", better_in_words(baselines, loss)),
        ("best", f"{status.best['monitor']} {best_in_words(status.best)} at step {status.best['step']:,}")
        if status.best
        else ("best", ""),
        ("time", duration(status.elapsed) if status.elapsed else ""),
        ("left", duration(status.eta) if status.eta is not None and status.is_active else ""),
        ("model", f"{status.model}, {status.parameters:,} parameters" if status.parameters else status.model),
        ("data", status.data),
        ("device", status.device),
        *((title.lower(), value) for title, value in training_in_words(status.metrics or {})),
        ("folder", str(run.path)),
    ]
    facts = [(title, value) for title, value in facts if value]
    width = max(len(title) for title, _ in facts)
    for title, value in facts:
        say_after(screen, Text.assemble((f"{title:>{width}}  ", "dim")), value)
    for info in checkpoints:
        notes = [
            f"{metric.title.lower()} {metric.written(info.metrics[metric.key])}"
            for metric in METRICS.values()
            if metric.key in info.metrics
        ]
        notes += ["best"] * info.best + ["pinned"] * info.pinned
        line = f"checkpoint {info.step:,} ({size_in_words(info.size)}) {', '.join(notes)}".rstrip()
        say_after(screen, f"{'':>{width}}  ", line)
    if status.step > 1:
        say(screen)
        screen.print(loss_plot(iter_records(run.metrics_file), width=min(screen.width, 80) - 2))
    for hint in hints_of(run, status):
        say_after(screen, Text.assemble(("\nhint: ", "bold")), f"{hint.sentence} {hint.action}")
        say_after(screen, "      ", hint.why)
    if status.state in ("failed", "interrupted"):
        say(screen, f"\nEnd of {run.log_file}:", "dim")
        for line in run.log_tail(8):
            say(screen, f"  {line}", "dim")
