"""Looking at runs: ``runs``, ``show`` and ``compare``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from tb_widgets.cli.facts import checkpoint_facts, run_facts
from tb_widgets.cli.options import Json, RunName, RunsDir, service
from tb_widgets.cli.run_table import print_table, run_lines
from tb_widgets.cli.screen import console, print_json, say, say_after
from tb_widgets.cli.training import follow_run
from tb_widgets.display.baselines import better_in_words, choices_in_words
from tb_widgets.display.hints import hints_of
from tb_widgets.display.run_words import activity, best_in_words, metrics_in_words, training_in_words
from tb_widgets.display.terminal import STATE_STYLES
from tb_widgets.display.terminal_plot import loss_plot
from tb_widgets.runs import CheckpointInfo, RunDirectory, Status
from tb_widgets.runs.baselines import Baselines
from tb_widgets.runs.environment import decides, fact_title, fact_value, flat
from tb_widgets.runs.journal import iter_records
from tb_widgets.service.comparing import compare as compare_runs
from tb_widgets.service.run import Run
from tb_widgets.spec.metrics import LOSS, METRICS
from tb_widgets.wording import counted, duration, size_in_words


def runs(runs_dir: RunsDir = None, json: Json = False) -> None:
    """List the runs, newest first."""
    training = service(runs_dir)
    entries = training.runs()
    if json:
        print_json([run_facts(entry.run, entry.status) for entry in entries])
        return
    screen = console()
    if not entries:
        say(screen, f"No runs in {training.runs_dir} yet. Start one with: tb-widgets train")
        return
    for line in run_lines(entries, screen.width if screen.is_terminal else None):
        screen.print(line, soft_wrap=True)
    if screen.is_terminal:
        say(screen, f"\nThe end of an id is enough: tb-widgets show {entries[0].run.id[-4:]}", "dim")


def show(
    name: RunName,
    *,
    runs_dir: RunsDir = None,
    json: Json = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Watch the run until it ends.")] = False,
    environment: Annotated[
        bool, typer.Option("--environment", help="Compare its environment with this machine.")
    ] = False,
    against: Annotated[str | None, typer.Option(metavar="RUN", help="Compare with this run instead.")] = None,
) -> None:
    """Show a run: its state, metrics, curve and checkpoints."""
    if against is not None and not environment:
        raise typer.BadParameter("--against compares environments: add --environment.")
    training = service(runs_dir)
    run = training.attach(name)
    if environment:
        other = None if against is None else Run(training.attach(against).path)
        _print_environment(Run(run.path), other, as_json=json)
        return
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


def compare(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN ...]", help="Ids, folders or latest (default: all runs).")
    ] = None,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Compare the metrics, settings and environments of runs."""
    print_table(compare_runs(*names or [], runs_dir=runs_dir), console(), as_json=json)


def _print_environment(run: Run, other: Run | None, *, as_json: bool) -> None:
    facts, changed = run.environment, run.environment_differences(other)
    if as_json:
        told = {path: list(pair) for path, pair in changed.items()}
        print_json({"run_id": run.id, "environment": facts, "differences": told})
        return
    screen, there = console(), "this machine" if other is None else other.id
    shown = {path: value for path, value in flat(facts).items() if value is not None}
    packages = {path for path in shown if path.startswith("packages.") and not decides(path)}
    _print_facts(screen, {path: fact_value(value) for path, value in shown.items() if path not in packages})
    say(screen, f"and {counted(len(packages), 'package')} more; --json has all of them", "dim")
    if not changed:
        say(screen, f"\nNo differences from {there}.")
        return
    say(screen, f"\n{counted(len(changed), 'difference')} from {there}:")
    first = sorted(changed, key=lambda path: not decides(path))
    _print_facts(
        screen, {path: f"{fact_value(changed[path][0])}, there {fact_value(changed[path][1])}" for path in first}
    )


def _print_facts(screen: Console, facts: dict[str, str]) -> None:
    width = max(len(fact_title(path)) for path in facts)
    for path, value in facts.items():
        say_after(screen, Text(f"{fact_title(path):<{width}}  ", "dim"), value)


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
        ("device", ", ".join(filter(None, (status.device, status.ranks)))),
        *((title.lower(), value) for title, value in training_in_words(status.metrics or {})),
        ("folder", str(run.path)),
    ]
    facts = [(title, value) for title, value in facts if value]
    width = max(len(title) for title, _ in facts)
    for title, value in facts:
        say_after(screen, Text.assemble((f"{title:>{width}}  ", "dim")), value)
    for info in checkpoints:
        notes = [
            f"{metric.name} {metric.written(info.metrics[metric.key])}"
            for metric in METRICS.values()
            if metric.key in info.metrics
        ]
        notes += ["best"] * info.best + ["pinned"] * info.pinned
        line = f"checkpoint {info.step:,} ({size_in_words(info.size)}) {', '.join(notes)}".rstrip()
        say_after(screen, f"{'':>{width}}  ", line)
    if status.step > 1:
        say(screen)
        screen.print(loss_plot(iter_records(run.metrics_file), status.task, width=min(screen.width, 80) - 2))
    for hint in hints_of(run, status):
        say_after(screen, Text.assemble(("\nhint: ", "bold")), f"{hint.sentence} {hint.action}")
        say_after(screen, "      ", hint.why)
    if status.state in ("failed", "interrupted"):
        say(screen, f"\nEnd of {run.log_file}:", "dim")
        for line in run.log_tail(8):
            say(screen, f"  {line}", "dim")
