"""Measuring before training: ``preflight``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from tb_widgets.checks.preflight import (
    Preflight,
    checkpointing_in_words,
    compiling_in_words,
    determinism_in_words,
    read_preflight,
)
from tb_widgets.checks.result import SIGNS
from tb_widgets.cli.check import TITLE_WIDTH, VERDICT_STYLES
from tb_widgets.cli.options import Json, Model, PresetOption, Settings, SpecFile, TrustOption
from tb_widgets.cli.screen import console, print_json, say_after
from tb_widgets.display.terminal import doing
from tb_widgets.service.checking import begin_preflight
from tb_widgets.service.probing import preflight_within
from tb_widgets.spec import asked_for, read_settings
from tb_widgets.spec.metrics import LOSS
from tb_widgets.wording import duration, size_in_words


def preflight(
    spec: SpecFile = None,
    *,
    preset: PresetOption = None,
    model: Model = None,
    micro_batches: Annotated[bool, typer.Option("--micro-batches", help="Also compare micro-batches.")] = False,
    compiles: Annotated[bool, typer.Option("--compile", help="Also measure compiling, in 3 minutes at most.")] = False,
    trust: TrustOption = False,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Measure memory, speed and duration of a run in 20 seconds."""
    asked, chosen = asked_for(spec, preset, model=model, settings=read_settings(settings or []))
    probe = begin_preflight(asked, chosen=chosen, micro_batches=micro_batches, compiles=compiles, trust=trust)
    within = preflight_within(compiles or asked.hardware.compile)
    try:
        with doing(console(stderr=True), f"Measuring, at most {within:.0f} seconds"):
            measured = read_preflight(probe.wait().answer)
    finally:
        probe.stop()
    if json:
        print_json(measured.to_mapping())
    else:
        _print(console(), measured, probe.notes)


def _print(screen: Console, measured: Preflight, notes: list[str]) -> None:
    rows = [
        ("Model", f"{measured.task}, {measured.parameters:,} parameters, on {measured.device}"),
        ("Measured with", measured.batch),
        ("Peak memory", _memory(measured)),
        ("Speed", f"{measured.per_second:,.0f} {measured.unit}/s" if measured.per_second else ""),
        ("Whole run", f"about {duration(measured.eta)}" if measured.eta is not None else ""),
        ("Initial loss", _first_loss(measured)),
        ("CPU threads", _threads(measured)),
        ("Activations", checkpointing_in_words(measured)),
        ("Determinism", determinism_in_words(measured)),
        ("Compiling", compiling_in_words(measured)),
        ("Micro-batch", f"{measured.best_micro_batch} examples are fastest" if measured.best_micro_batch else ""),
    ]
    for title, value in rows:
        if value:
            say_after(screen, Text.assemble((f"{title:<{TITLE_WIDTH}} ", "dim")), value)
    if measured.overfit != "unknown":
        sign, style = SIGNS[measured.overfit], VERDICT_STYLES[measured.overfit]
        words = {
            "pass": "it learns.",
            "warn": "it learns slowly; a higher learning rate may help.",
            "fail": "it does not learn; run tb-widgets check, and check the learning rate.",
        }[measured.overfit]
        losses = f"{LOSS.written(measured.first_loss or 0.0)} → {LOSS.written(measured.overfit_loss or 0.0)}"
        said = f"{losses} in {measured.overfit_steps} steps: {words}"
        say_after(screen, Text.assemble((f"{'Overfitting':<{TITLE_WIDTH}} ", "dim"), (sign, style), " "), said)
    for sentence in (*notes, *(f"Not measured, for lack of time: {what}." for what in measured.left_out)):
        say_after(screen, "", sentence)


def _memory(measured: Preflight) -> str:
    if measured.peak_bytes is None or measured.memory_bytes is None:
        return ""
    bound = "" if measured.whole_batch else ", and more with the whole batch"
    return f"{size_in_words(measured.peak_bytes)} of {size_in_words(measured.memory_bytes)}{bound}"


def _first_loss(measured: Preflight) -> str:
    if measured.first_loss is None or measured.even_guess is None:
        return ""
    return f"{measured.first_loss:.3f}; uniform guessing gives {measured.even_guess:.3f}"


def _threads(measured: Preflight) -> str:
    if not measured.threads:
        return ""
    speeds = ", ".join(f"{speed.count}: {speed.per_second:,.0f}" for speed in measured.threads)
    fastest = f"{measured.best_threads} is fastest ({speeds} {measured.unit}/s)"
    return f"{fastest}; the run uses {measured.threads_used}"
