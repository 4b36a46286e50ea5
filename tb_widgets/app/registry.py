"""Which panels there are, and where on the page they stand."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from ipywidgets import Widget

    from tb_widgets.app.dashboard import Dashboard

Column = Literal["main", "side"]


class Panel(Protocol):
    """A card of the page: a thin view of the dashboard's models."""

    def __init__(self, dashboard: Dashboard) -> None: ...

    def render(self) -> Widget:
        """Build the widgets; called once, when the panel's step is first visited."""
        ...

    def refresh(self) -> None:
        """Show what has changed; called on every beat while the panel's step is in sight."""
        ...


@dataclass(frozen=True)
class Entry:
    """A registered panel."""

    name: str
    step: str
    column: Column
    order: int
    for_visitors: bool
    make: type[Panel]


STEPS = {"model": "Model", "check": "Check", "data": "Data", "train": "Train", "runs": "Runs"}
_entries: dict[str, Entry] = {}


def panel(name: str, *, step: str, column: Column, order: int, for_visitors: bool = True) -> Callable[[type], type]:
    """Register a class as a panel of a step.

    Parameters
    ----------
    for_visitors
        Whether visitors of a shared page have it, too.

    Raises
    ------
    ValueError
        If the name is taken, or there is no such step.
    """

    def register(make: type) -> type:
        if name in _entries:
            raise ValueError(f"There is already a panel {name!r}: {_entries[name].make.__qualname__}.")
        if step not in STEPS:
            raise ValueError(f"There is no step {step!r}; there are {', '.join(STEPS)}.")
        _entries[name] = Entry(name, step, column, order, for_visitors, make)
        return make

    return register


def find_panels() -> None:
    """Import every module of the panels folder: each registers its own."""
    from tb_widgets.app import panels

    for module in pkgutil.walk_packages(panels.__path__, f"{panels.__name__}."):
        import_module(module.name)


def panels_of(step: str, *, for_visitor: bool = False) -> list[Entry]:
    """Return the panels of a step in their order; for a visitor of a shared page those that visitors have."""
    found = (entry for entry in _entries.values() if entry.step == step and entry.for_visitors >= for_visitor)
    return sorted(found, key=lambda entry: entry.order)
