"""What commands print on, and how errors look."""

from __future__ import annotations

import json
import shlex
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from tb_widgets.display.terminal import Screen
from tb_widgets.errors import SpecError, TbError
from tb_widgets.runs import RunDirectory, default_runs_dir

FILE_WIDTH = 160  # characters; a file or a pipe has no edge, so tables there need not be squeezed


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints what it is given: no markup, no emoji, no guessed colours, no commands."""
    screen = Screen(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not screen.is_terminal:
        screen.width = max(screen.width, FILE_WIDTH)
    return screen


def say(screen: Console, text: str = "", style: str = "") -> None:
    """Print a line that the terminal may wrap, but we do not, so that paths and commands can be copied whole."""
    screen.print(Text(text, style=style), soft_wrap=True)


def print_json(value: Any) -> None:
    """Print one line of JSON on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_error(error: TbError) -> None:
    """Print an error for people on standard error: what happened, each wrong field on its line, what to do next."""
    screen = console(stderr=True)
    lines = [error.message]
    if isinstance(error, SpecError):
        lines = [f"{field}: {reason}" if field else reason for field, reason in error.problems]
    if len(lines) == 1:
        screen.print(Text.assemble(("Error: ", "bold red"), lines[0]), soft_wrap=True)
    else:
        screen.print(Text.assemble(("Error: ", "bold red"), f"{len(lines)} fields are wrong."), soft_wrap=True)
        for line in lines:
            say(screen, f"  {line}")
    if error.hint:
        say(screen, error.hint)


def name_for_commands(run: RunDirectory) -> str:
    """Return what names a run in a next command: its id, or its path where the default folder is another one."""
    return shlex.quote(run.id if run.path.parent == default_runs_dir() else str(run.path))
