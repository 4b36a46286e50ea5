"""Checking a model: ``check``."""

from __future__ import annotations

import json as json_text
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from tb_widgets.checks.result import SIGNS, CheckResult, Verdict, any_failed, results_in_words
from tb_widgets.cli.options import Json, Settings, TrustOption
from tb_widgets.cli.screen import console, print_error, print_json, say, say_after
from tb_widgets.display.terminal import doing
from tb_widgets.errors import WRONG_INPUT, TbError
from tb_widgets.service.checking import begin_check
from tb_widgets.service.probing import CHECK_WITHIN, Probe
from tb_widgets.spec import RunSpec

VERDICT_STYLES: dict[Verdict, str] = {"pass": "green", "warn": "yellow", "fail": "red", "unknown": "dim"}
TITLE_WIDTH = 15


def check(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="zoo:gpt, a path, Gist or hub:OWNER/NAME.")],
    *,
    tier: Annotated[
        int, typer.Option("--tier", metavar="N", min=1, max=2, show_default=False, help="1: quick checks; 2: all.")
    ] = 2,
    trust: TrustOption = False,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Check a model before training it.

    Exit code: 0 all checks passed, 1 a check failed, 2 the model can't be loaded or run.
    """
    screen = console()
    spec = RunSpec().with_settings([f"model.source={json_text.dumps(model)}", *(settings or [])])
    probe: Probe | None = None
    try:
        probe = begin_check(spec, tier=tier, trust=trust)
        with doing(screen if not json else console(stderr=True), f"Checking, at most {CHECK_WITHIN / 60:.0f} minutes"):
            _follow(probe, None if json else screen)
        probe.wait()
    except TbError as error:
        if json:
            print_json(_facts(model, probe, _not_loaded(error, probe)))
        print_error(error)
        raise typer.Exit(WRONG_INPUT) from error
    finally:
        if probe is not None:
            probe.stop()
    if json:
        print_json(_facts(model, probe, probe.results))
    else:
        _print_summary(screen, probe)
    raise typer.Exit(int(any_failed(probe.results)))


def _follow(probe: Probe, screen: Console | None) -> None:
    """Print each result as it comes."""
    shown, described = 0, False
    while True:
        finished = probe.finished.wait(0.05)
        if screen is not None:
            if probe.answer and not described:
                described = True
                _print_conclusions(screen, probe)
            for result in probe.results[shown:]:
                shown += 1
                _print_result(screen, result)
        if finished:
            return


def _print_conclusions(screen: Console, probe: Probe) -> None:
    answer = probe.answer
    say_after(screen, "", Text.assemble((answer["title"], "bold"), f", {answer['parameters']:,} parameters"))
    for conclusion in answer["conclusions"]:
        lead = Text.assemble((f"  {conclusion['what']:<{TITLE_WIDTH}} ", "dim"))
        say_after(screen, lead, Text.assemble(f"{conclusion['value']}  ", (conclusion["why"], "dim")))
    say(screen)


def _print_result(screen: Console, result: CheckResult) -> None:
    style = VERDICT_STYLES[result.verdict]
    lead = Text.assemble((SIGNS[result.verdict], style), f" {result.title:<{TITLE_WIDTH}} ")
    say_after(screen, lead, result.message)
    if result.verdict != "pass" and result.advice:
        say_after(screen, " " * lead.cell_len, result.advice, style)


def _print_summary(screen: Console, probe: Probe) -> None:
    say(screen)
    for note in probe.notes:
        say_after(screen, "", note)
    say(screen, f"{results_in_words(probe.results)}.")


def _facts(model: str, probe: Probe | None, results: list[CheckResult]) -> dict[str, Any]:
    facts: dict[str, Any] = {"model": model, "task": probe.answer.get("task") if probe is not None else None}
    facts["checks"] = [result.to_mapping() for result in results]
    facts["notes"] = probe.notes if probe is not None else []
    return facts


def _not_loaded(error: TbError, probe: Probe | None) -> list[CheckResult]:
    """The results so far; a model that could not even be loaded has this one."""
    if probe is not None and probe.results:
        return probe.results
    return [CheckResult("loads", "Loads", 1, "fail", error.message, advice=error.hint)]
