"""What commands print on, and how errors look."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from typing import Any

from rich.cells import cell_len
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


def say_after(screen: Console, lead: str | Text, text: str | Text, style: str = "") -> None:
    """Print a text after a lead, for example a title, and what does not fit into the line below itself.

    Lines end between words; a word longer than the terminal is wide, such as a path, stays whole. A file has no edge,
    and gets one line.
    """
    lead = Text(lead) if isinstance(lead, str) else lead
    text = Text(text) if isinstance(text, str) else text
    text.stylize(style)
    if not screen.is_terminal:
        screen.print(Text.assemble(lead, text), soft_wrap=True)
        return
    indent = lead.cell_len
    for number, line in enumerate(_wrapped(text, max(20, screen.width - indent))):
        line.rstrip()
        screen.print(Text.assemble(lead if number == 0 else " " * indent, line), soft_wrap=True)


def _wrapped(text: Text, width: int) -> Iterator[Text]:
    """Yield the lines of a text, which end between words: rich's own would break long words, or no line at all."""
    for line in text.split(allow_blank=True):
        ends, used = [], 0
        for word in re.finditer(r"\s*\S+\s*", line.plain):
            if used and used + cell_len(word[0].rstrip()) > width:
                ends.append(word.start())
                used = 0
            used += cell_len(word[0])
        yield from line.divide(ends)


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
    lead = Text.assemble(("Error: ", "bold red"))
    if len(lines) == 1:
        say_after(screen, lead, lines[0])
    else:
        say_after(screen, lead, f"{len(lines)} fields are wrong:")
        for line in lines:
            say_after(screen, "  ", line)
    if error.hint:
        say_after(screen, "", error.hint)


def name_for_commands(run: RunDirectory) -> str:
    """Return what names a run in a next command: its id, or its path where the default folder is another one."""
    return shlex.quote(run.id if run.path.parent == default_runs_dir() else str(run.path))
