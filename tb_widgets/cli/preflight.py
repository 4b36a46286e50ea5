"""Measuring before training: ``preflight``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from tb_widgets.checks.preflight import Preflight, read_preflight
from tb_widgets.checks.result import SIGNS
from tb_widgets.cli.check import TITLE_WIDTH, VERDICT_STYLES
from tb_widgets.cli.options import Json, Model, PresetOption, Settings, SpecFile, TrustOption
from tb_widgets.cli.screen import console, print_json, say
from tb_widgets.display.terminal import doing
from tb_widgets.service.checking import begin_preflight
from tb_widgets.service.probing import PREFLIGHT_WITHIN
from tb_widgets.spec import asked_for, read_settings
from tb_widgets.wording import duration, size_in_words


def preflight(
    spec: SpecFile = None,
    *,
    preset: PresetOption = None,
    model: Model = None,
    micro_batches: Annotated[bool, typer.Option("--micro-batches", help="Try several micro-batches as well.")] = False,
    trust: TrustOption = False,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Measure what a run would be like on this machine, in 20 seconds at most, and train nothing."""
    asked, chosen = asked_for(spec, preset, model=model, settings=read_settings(settings or []))
    probe = begin_preflight(asked, chosen=chosen, micro_batches=micro_batches, trust=trust)
    try:
        with doing(console(stderr=True), f"Measuring, {PREFLIGHT_WITHIN:.0f} seconds at most"):
            figures = read_preflight(probe.wait().answer)
    finally:
        probe.stop()
    if json:
        print_json(figures.to_mapping())
    else:
        _print(console(), figures, probe.notes)


def _print(screen: Console, figures: Preflight, notes: list[str]) -> None:
    rows = [
        ("Model", f"{figures.task}, {figures.parameters:,} parameters, on {figures.device}"),
        ("Measured with", figures.batch),
        ("Memory", _memory(figures)),
        ("Speed", f"{figures.per_second:,.0f} {figures.unit} a second" if figures.per_second else ""),
        ("Whole run", f"about {duration(figures.eta)}" if figures.eta is not None else ""),
        ("First loss", _first_loss(figures)),
        ("CPU threads", _threads(figures)),
        ("Micro-batch", f"{figures.best_micro_batch} rows are fastest" if figures.best_micro_batch else ""),
    ]
    for title, value in rows:
        if value:
            screen.print(Text.assemble((f"{title:<{TITLE_WIDTH}} ", "dim"), value), soft_wrap=True)
    if figures.overfit != "unknown":
        sign, style = SIGNS[figures.overfit], VERDICT_STYLES[figures.overfit]
        words = {
            "pass": "it learns.",
            "warn": "it learns slowly; a higher learning rate may help.",
            "fail": "it does not learn; run tb-widgets check, and look at the learning rate.",
        }[figures.overfit]
        said = f"loss {figures.overfit_loss:.2f} after {figures.overfit_steps} steps on one batch: {words}"
        screen.print(
            Text.assemble((f"{'One batch':<{TITLE_WIDTH}} ", "dim"), (sign, style), f" {said}"), soft_wrap=True
        )
    for sentence in (*notes, *(f"There was no time for: {what}." for what in figures.left_out)):
        say(screen, sentence)


def _memory(figures: Preflight) -> str:
    if figures.peak_bytes is None or figures.memory_bytes is None:
        return ""
    bound = "at most" if figures.whole_batch else "and more with the whole batch"
    return f"{size_in_words(figures.peak_bytes)} of {size_in_words(figures.memory_bytes)} {bound}"


def _first_loss(figures: Preflight) -> str:
    if figures.first_loss is None or figures.even_guess is None:
        return ""
    return f"{figures.first_loss:.2f}; an even guess has {figures.even_guess:.2f}"


def _threads(figures: Preflight) -> str:
    if not figures.threads:
        return ""
    speeds = ", ".join(f"{speed.count}: {speed.per_second:,.0f}" for speed in figures.threads)
    fastest = f"{figures.best_threads} is fastest ({figures.unit} a second with {speeds})"
    return f"{fastest}; the run uses {figures.threads_used}"
