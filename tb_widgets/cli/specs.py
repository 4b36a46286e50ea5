"""Specs as files: ``spec`` prints one, ``spec check`` validates one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from tb_widgets.cli.options import PresetOption, Settings
from tb_widgets.cli.screen import console, say
from tb_widgets.spec import FieldCard, RunSpec
from tb_widgets.spec import preset as preset_spec

group = typer.Typer(invoke_without_command=True, help="Print a spec as YAML, or check one.")


@group.callback()
def spec(
    context: typer.Context,
    preset: PresetOption = None,
    settings: Settings = None,
    reference: Annotated[bool, typer.Option("--reference", help="List every field; piped, as Markdown.")] = False,
) -> None:
    """Print a spec as YAML: the defaults or a preset, with your settings."""
    if context.invoked_subcommand is not None:
        return
    if reference:
        _print_reference()
        return
    base = preset_spec(preset) if preset is not None else RunSpec()
    sys.stdout.write(base.with_settings(settings or []).to_yaml())


@group.command()
def check(file: Annotated[Path, typer.Argument(metavar="FILE", help="A spec in YAML or JSON.")]) -> None:
    """Validate a spec file and list all its errors."""
    RunSpec.load(file)
    say(console(), f"{file} is a valid spec.")


def _print_reference() -> None:
    screen = console()
    cards = RunSpec.field_cards()
    if not screen.is_terminal:
        lines = ["| Field | Default | Values | What it does |", "|---|---|---|---|"]
        for card in cards:
            cells = (f"`{_path(card)}`", f"`{_shown(card.default)}`", allowed(card), _help(card))
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        sys.stdout.write("\n".join(lines) + "\n")
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 1, 0))
    table.add_column("field", style="cyan", no_wrap=True)
    table.add_column("default", overflow="fold")
    table.add_column("what it does", ratio=1)
    for card in cards:
        table.add_row(_path(card), _shown(card.default), f"{_help(card)}\n{allowed(card)}")
    screen.print(table)


def _help(card: FieldCard) -> str:
    only = [f"{card.section}.{name} is {' or '.join(map(str, used))}" for name, used in card.when.items()]
    return f"{card.help} Used when {' and '.join(only)}." if only else card.help


def _path(card: FieldCard) -> str:
    return "schema" if card.path == "schema_version" else card.path


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def allowed(card: FieldCard) -> str:
    """Return in words which values a field takes.

    >>> card = next(card for card in RunSpec.field_cards() if card.path == "training.warmup")
    >>> allowed(card)
    'number (of the steps), at least 0, at most 1'
    """
    if card.choices:
        parts = [" or ".join(card.choices)]
    else:
        kinds = {"int": "whole number", "float": "number", "str": "text", "bool": "true or false"}
        parts = [f"{kinds.get(card.kind, card.kind)} ({card.unit})" if card.unit else kinds.get(card.kind, card.kind)]
    if card.minimum is not None:
        parts.append(f"{'more than' if card.exclusive_minimum else 'at least'} {card.minimum:,g}")
    if card.maximum is not None:
        parts.append(f"at most {_bound(card.maximum)}")
    parts += [f"or {word}" for word in card.words]
    if card.optional:
        parts.append("or null")
    return ", ".join(parts)


def _bound(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
