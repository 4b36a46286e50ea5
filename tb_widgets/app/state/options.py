"""Numbers beside the form, as people type them: of the playground, and for how long a done run goes on."""

from __future__ import annotations

from typing import Any

from tb_widgets.app.state.fields import CARDS, read_typed
from tb_widgets.errors import RunError, quoted
from tb_widgets.runs import Status
from tb_widgets.spec import read_value

OPTIONS = {"Temperature": (0, 10), "Top k": (1, 1_000_000), "Length": (1, 10_000)}
"""Of the playground, by their titles: the smallest and the largest value."""


def usual_extension(status: Status) -> int:
    """Return for how many steps a run that is done goes on: those it has left if it stopped early, else as many again.

    >>> usual_extension(Status(step=400, total=1000)), usual_extension(Status(step=600, total=600))
    (600, 600)
    """
    return status.total - status.step or status.total


def read_more_steps(value: int | str, done: int) -> int:
    """Return for how many steps more a run shall train, also as a person types it.

    Raises
    ------
    RunError
        If it is no whole number, or none that a run with so many steps done can have.
    """
    card = CARDS["training.steps"]
    most = int(card.maximum or 0) - done
    read = read_typed(card, value) if isinstance(value, str) else value
    if not isinstance(read, int) or not 1 <= read <= most:
        if value == "":
            raise RunError("Enter how many more steps to train.")
        raise RunError(f"More steps must be a whole number from 1 to {most:,}, not {quoted(repr(value), 40)}.")
    return read


def read_option(title: str, value: float | str | None) -> Any:
    """Return an option of the playground by its title, also as a person types it; an empty ``Top k`` is all tokens.

    Raises
    ------
    RunError
        If it is no such number.
    """
    low, high = OPTIONS[title]
    if title == "Top k" and value in ("", None):
        return None
    read = read_value(value) if isinstance(value, str) else value
    if isinstance(read, bool) or not isinstance(read, (int, float)) or not low <= read <= high:
        raise RunError(f"{title} must be a number from {low:,} to {high:,}, not {quoted(repr(value), 40)}.")
    return float(read) if title == "Temperature" else int(read)
