"""Training from a terminal: ``train``, ``resume`` and ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from tb_widgets.cli.facts import run_facts
from tb_widgets.cli.options import (
    Data,
    Detach,
    Json,
    Model,
    PresetOption,
    RunName,
    RunsDir,
    Settings,
    SpecFiles,
    TrustOption,
    TrustRun,
    service,
)
from tb_widgets.cli.run_table import print_table
from tb_widgets.cli.screen import console, name_for_commands, print_error, print_json, say, say_after
from tb_widgets.display.baselines import better_in_words, choices_in_words
from tb_widgets.display.run_words import best_in_words
from tb_widgets.display.schedule_drawing import continuing_in_words
from tb_widgets.display.terminal import Messages, watch
from tb_widgets.display.terminal_plot import loss_plot
from tb_widgets.errors import FAILED, RunError
from tb_widgets.runs import RunDirectory, Status
from tb_widgets.runs.baselines import Baselines
from tb_widgets.runs.journal import iter_records, last_event_number
from tb_widgets.runs.numbers import finite
from tb_widgets.service.gathering import gather_shown
from tb_widgets.service.machines import in_words, join, require_even, torchrun_line
from tb_widgets.service.preparing import prepared
from tb_widgets.service.run import Run
from tb_widgets.service.service import TrainingService
from tb_widgets.service.several import train_all
from tb_widgets.service.workers.ranks import Machines
from tb_widgets.spec import asked_for, read_settings
from tb_widgets.spec.metrics import LOSS
from tb_widgets.wording import duration

BY_CTRL_C = 130  # the exit code by which shells know what Ctrl-C has ended


def train(
    specs: SpecFiles = None,
    *,
    preset: PresetOption = None,
    model: Model = None,
    trust: TrustOption = False,
    data: Data = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the run.")] = None,
    settings: Settings = None,
    runs_dir: RunsDir = None,
    detach: Detach = False,
    at_once: Annotated[
        int, typer.Option(metavar="N", min=1, show_default=False, help="Specs to train in parallel (default 1).")
    ] = 1,
    nnodes: Annotated[
        int,
        typer.Option("--nnodes", metavar="N", min=1, show_default=False, help="Machines that train it (default 1)."),
    ] = 1,
    node_rank: Annotated[
        int, typer.Option("--node-rank", metavar="N", min=0, show_default=False, help="This machine's number, from 0.")
    ] = 0,
    rdzv: Annotated[
        str | None, typer.Option("--rdzv", metavar="HOST:PORT", help="Where machine 0 waits for the others.")
    ] = None,
    json: Json = False,
) -> None:
    """Train a model and watch it. Ctrl-C stops and saves the run.

    A second Ctrl-C returns without waiting; the exit code is 130 either way.
    Several specs train one after another, or in parallel, and end in a table.
    Several machines that share the runs folder train one spec together: run the
    same command on each, with its own --node-rank.
    """
    machines = _machines(nnodes, node_rank, rdzv)
    if specs and len(specs) > 1:
        if any((preset, model, data, name, settings, detach, machines)):
            raise typer.BadParameter("several specs are trained as they are: remove the other settings.")
        _train_several(specs, at_once=at_once, trust=trust, runs_dir=runs_dir, as_json=json)
        return
    spec = specs[0] if specs else None
    asked, chosen = asked_for(spec, preset, model=model, data=data, settings=_settings(name, settings))
    training, screen = service(runs_dir), console(stderr=True)
    ready = prepared(asked, chosen=chosen, trust=trust, screen=screen)
    if machines is not None and machines.rank:
        require_even(ready, machines)
        say(screen, in_words(torchrun_line(training.runs_dir, ready, machines)), "dim")
        raise typer.Exit(join(training.runs_dir, ready, machines))
    run = training.start(ready, machines=machines)
    if machines is not None:
        say(screen, in_words(torchrun_line(run.path, ready, machines)), "dim")
        others = f"--nnodes {nnodes} --rdzv {rdzv} --node-rank {'1' if nnodes == 2 else f'1 to {nnodes - 1}'}"
        say(screen, f"{run.id} begins when the others have joined: the same command there with {others}.")
    _detach_or_follow(training, run, detach=detach, as_json=json)


def _machines(count: int, rank: int, address: str | None) -> Machines | None:
    if count == 1:
        if rank or address:
            raise typer.BadParameter("--node-rank and --rdzv are for several machines: give --nnodes too.")
        return None
    if address is None:
        raise typer.BadParameter("several machines need --rdzv HOST:PORT, an address of the first one.")
    try:
        return Machines(count, rank, address)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from error


def _settings(name: str | None, settings: list[str] | None) -> dict[str, Any]:
    return ({"name": name} if name is not None else {}) | read_settings(settings or [])


def resume(
    name: RunName,
    *,
    trust: TrustRun = False,
    runs_dir: RunsDir = None,
    detach: Detach = False,
    json: Json = False,
    from_start: Annotated[bool, typer.Option("--from-start", help="Restart if no checkpoint is usable.")] = False,
    more_steps: Annotated[
        int | None,
        typer.Option("--more-steps", min=1, metavar="N", help="Train a finished run for longer."),
    ] = None,
) -> None:
    """Continue a run from its newest checkpoint.

    The run was paused, stopped or cut off; with --more-steps, it is finished.
    """
    if more_steps is not None and from_start:
        raise typer.BadParameter("a finished run continues from its last step, not from the start.")
    training = service(runs_dir)
    run = training.attach(name)
    status = run.status()
    if not status.is_active and (more_steps is None or status.state == "done"):
        gather_shown(run.spec, console(stderr=True))  # its copy may have made room for others since
    messages = Messages(run, after=last_event_number(run.events_file))
    if more_steps is not None:
        spec = run.spec
        training.extend(run, more_steps, trust=trust)
        say(console(stderr=True), continuing_in_words(spec, status.step, more_steps))
    else:
        training.resume(run, trust=trust, from_start=from_start)
    _detach_or_follow(training, run, detach=detach, as_json=json, messages=messages)


def _train_several(specs: list[Path], *, at_once: int, trust: bool, runs_dir: Path | None, as_json: bool) -> None:
    screen = console(stderr=as_json)
    failed = []

    def tell(run: Run) -> None:
        status = run.status
        failed.extend([run] if status.state != "done" else [])
        say(screen, f"{run.id}: {status.state} after {status.step:,} steps. {status.message}".rstrip())

    say(screen, f"Training {len(specs)} specs {'one after another' if at_once == 1 else f'{at_once} at a time'}.")
    try:
        table = train_all(specs, at_once=at_once, runs_dir=runs_dir, trust=trust, on_end=tell)
    except KeyboardInterrupt:
        say(screen, "Detached: running trainings continue; the queue continues when the dashboard is opened.", "yellow")
        raise typer.Exit(BY_CTRL_C) from None
    print_table(table, screen, as_json=as_json)
    raise typer.Exit(int(bool(failed)))


def _detach_or_follow(
    training: TrainingService, run: RunDirectory, *, detach: bool, as_json: bool, messages: Messages | None = None
) -> None:
    if not detach:
        raise typer.Exit(follow_run(training, run, as_json=as_json, messages=messages))
    if as_json:
        print_json(run_facts(run, run.status()))
        return
    say(console(), f"{run.path} trains in the background.")
    say(console(), f"Watch it with: tb-widgets show --follow {name_for_commands(run)}")


def follow_run(
    training: TrainingService,
    run: RunDirectory,
    *,
    as_json: bool = False,
    curve: bool = False,
    messages: Messages | None = None,
    only_watches: bool = False,
) -> int:
    """Watch a run to its end, print its messages and how it ended, and return the exit code.

    The first Ctrl-C asks the run to save and stop; a second one leaves it alone with that. Whoever only watches a run
    that was started elsewhere leaves it alone at once.
    """
    screen = console(stderr=as_json)
    messages = messages or Messages(run)
    trains_here = run.spec.hardware.backend == "kernel"  # then it would end with this process
    presses, asked, was_active = 0, False, run.status().is_active
    while True:
        # Everything is inside: the second Ctrl-C may come while we answer the first.
        try:
            if presses and only_watches:
                status = run.status()
                say_after(screen, "", f"Detached: {run.id} continues.", "yellow")
                break
            if presses > 1 and not trains_here:
                status = _detach(run, screen)
                break
            if presses and not asked:
                asked = True
                _ask_to_stop(training, run, screen, trains_here=trains_here)
            status = watch(run, console=screen, curve=curve, messages=messages)
            if not (was_active and training.resume_lost(run)):
                break
        except KeyboardInterrupt:
            presses += 1
    if as_json:
        print_json(run_facts(run, status))
    elif not status.is_active:
        _print_end(run, status, screen)
    if status.state in ("failed", "interrupted"):
        print_error(RunError(f"{run.id} {status.state}: {status.message}", hint=status.hint))
        say(console(stderr=True), f"Log: {run.log_file}")
        return FAILED
    return BY_CTRL_C if presses and status.state != "done" else 0


def _ask_to_stop(training: TrainingService, run: RunDirectory, screen: Console, *, trains_here: bool) -> None:
    try:
        training.stop(run)
    except RunError:
        return  # it has just ended by itself
    again = "" if trains_here else " Press Ctrl-C again to return without waiting."
    say_after(screen, "", f"Stopping after this step, saving a checkpoint.{again}", "yellow")


def _detach(run: RunDirectory, screen: Console) -> Status:
    status = run.status()
    if status.is_active:
        name = name_for_commands(run)
        say_after(screen, "", f"Detached: {run.id} saves a checkpoint and stops.", "yellow")
        say(screen, f"Watch it with: tb-widgets show --follow {name}")
        say(screen, f"Resume with: tb-widgets resume {name}")
    return status


def _print_end(run: RunDirectory, status: Status, screen: Console) -> None:
    name = name_for_commands(run)
    if status.state == "done":
        say(screen, f"Done: {status.step:,} steps in {duration(status.elapsed)}.", "bold green")
        if status.message:
            say(screen, status.message)
    elif status.state == "stopped":
        say(screen, f"Stopped at step {status.step:,} of {status.total:,}.", "bold yellow")
    if status.best:
        best = status.best
        baselines = Baselines(iter_records(run.events_file))
        chosen = choices_in_words(best["value"], baselines) if best["monitor"] == LOSS.key else ""
        also = f", {chosen}" if chosen else ""
        say(screen, f"Best {best['monitor']}: {best_in_words(best)} at step {best['step']:,}{also}.")
        if better := better_in_words(baselines, finite((status.metrics or {}).get(LOSS.key))):
            say(screen, better)
    say(screen, str(run.path))
    if status.state == "stopped":
        say(screen, f"Resume with: tb-widgets resume {name}")
    elif status.state == "done":
        say(screen, f"Generate with: tb-widgets generate {name}")


def demo(data: Data = None, settings: Settings = None, runs_dir: RunsDir = None) -> None:
    """Train a small model for a minute, draw its curve, write a sample."""
    screen = console()
    asked, chosen = asked_for(preset="quick", data=data, settings=_settings("demo", settings))
    training = service(runs_dir)
    run = training.start(prepared(asked, chosen=chosen, screen=screen))
    say(screen, f"Training a small transformer on {run.spec.data.source} for about a minute.")
    code = follow_run(training, run, curve=True)
    if code == BY_CTRL_C:
        raise typer.Exit(code)
    if run.status().step > 1:
        say(screen)
        screen.print(loss_plot(iter_records(run.metrics_file), run.status().task, width=min(screen.width, 80) - 2))
    if run.checkpoints():
        _print_sample(Run(run.path), screen)
    name = name_for_commands(run)
    say(screen, "\nTry next:", "bold")
    for command in (
        f'tb-widgets generate {name} --prompt "The "',
        f"tb-widgets show {name}",
        "tb-widgets train --preset small --data YOUR_TEXT.txt",
        "tb-widgets app",
    ):
        say(screen, f"  {command}")
    raise typer.Exit(code)


def _print_sample(run: Run, screen: Console) -> None:
    from tb_widgets.cli.writing import write_answer

    answers = [sample for sample in run.samples if "task" in sample]
    if answers:  # a model that does not go on from a prompt has shown what it does
        say(screen, f"\nIts output for a validation example at step {answers[-1]['step']:,}:", "bold")
        shown = Text.assemble((answers[-1]["prompt"], "bold"), "\n", answers[-1]["text"])
        screen.print(shown, width=min(screen.width, 80) - 2)
        return
    chosen = next((checkpoint for checkpoint in run.checkpoints if checkpoint.info.best), run.last)
    prompt = "The import statement"
    text = write_answer(chosen, prompt, length=100, show=False)
    say(screen, f"\nA sample of its best checkpoint (step {chosen.step:,}):", "bold")
    screen.print(Text.assemble((prompt, "bold"), text.text), width=min(screen.width, 80) - 2)
