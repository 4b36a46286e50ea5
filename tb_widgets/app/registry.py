"""Which panels there are, and where on the page they stand."""

from __future__ import annotations

import os
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import ClassVar, Literal, TypeVar

import ipywidgets as widgets

from tb_widgets.app.session import Session, Watched
from tb_widgets.app.steps import STEPS
from tb_widgets.errors import ServiceError

PageColumn = Literal["main", "side"]
PANELS = "tb_widgets.app.panels"  # by name: they import this module
ENTRY_POINTS = "tb_widgets.panels"
MORE_PANELS = "TB_PANELS"


class Panel(ABC):
    """A card of the page: a thin view of a session.

    A subclass builds its widgets in :meth:`render`, brings them up to date in :meth:`draw`, and says in ``watches``
    when that is needed. What its buttons do goes through :meth:`act`.

    Attributes
    ----------
    watches
        The parts of the session that it shows: it is drawn when one of them has changed, and on every beat of the page
        where this is empty.
    session
        What it shows, and whose methods its buttons call.
    """

    watches: ClassVar[Sequence[Watched]] = ()

    def __init__(self, session: Session) -> None:
        self.session = session
        self._seen: list[object] = []

    @abstractmethod
    def render(self) -> widgets.Widget:
        """Build the widgets; called once, when the panel's step is first visited."""

    @abstractmethod
    def draw(self) -> None:
        """Show the session as it is."""

    def refresh(self) -> None:
        """Draw if something watched has changed; called on every beat while the panel's step is in sight."""
        versions = self.session.versions
        seen = [versions[name] for name in self.watches]
        if not self.watches or seen != self._seen:
            self.draw()
            self._seen = seen  # after it: one that failed is drawn again at the next beat

    def act(self, handler: Callable[[], object]) -> None:
        """Run a click's handler: one at a time, its error told in words, its traceback in the log."""
        self.session.act(handler)


@dataclass(frozen=True)
class PanelEntry:
    """A registered panel."""

    name: str
    step: str
    column: PageColumn
    order: int
    for_visitors: bool
    make: type[Panel]


Made = TypeVar("Made", bound=type[Panel])
_entries: dict[str, PanelEntry] = {}


def panel(name: str, *, step: str, column: PageColumn, order: int, for_visitors: bool = True) -> Callable[[Made], Made]:
    """Register a class as a panel of a step.

    Parameters
    ----------
    order
        Of the panels in a column, from the top; ours have 1 to 9.
    for_visitors
        Whether visitors of a shared page have it, too.

    Raises
    ------
    ValueError
        If another class has the name, or there is no such step.
    """

    def register(make: Made) -> Made:
        # A cell or a module that runs again registers its panel anew.
        taken = _entries.get(name)
        if taken is not None and _place(taken.make) != _place(make):
            raise ValueError(f"There is already a panel {name!r}: {'.'.join(_place(taken.make))}.")
        if step not in STEPS:
            raise ValueError(f"There is no step {step!r}; there are {', '.join(STEPS)}.")
        _entries[name] = PanelEntry(name, step, column, order, for_visitors, make)
        return make

    return register


def find_panels() -> None:
    """Import every module that registers panels.

    These are the modules of the panels folder, the entry points of installed packages in the group
    ``tb_widgets.panels``, and the modules that ``TB_PANELS`` names, with commas between them.

    Raises
    ------
    ServiceError
        If one of the last two kinds can't be imported.
    """
    panels = import_module(PANELS)
    for module in pkgutil.walk_packages(panels.__path__, f"{PANELS}."):
        import_module(module.name)
    for found in entry_points(group=ENTRY_POINTS):
        _import(found.module, f"The entry point {found.name!r} of {ENTRY_POINTS}")
    for name in filter(None, map(str.strip, os.environ.get(MORE_PANELS, "").split(","))):
        _import(name, MORE_PANELS)


def panels_of(step: str, *, for_visitor: bool = False) -> list[PanelEntry]:
    """Return the panels of a step in their order; for a visitor of a shared page those that visitors have."""
    found = (entry for entry in _entries.values() if entry.step == step and entry.for_visitors >= for_visitor)
    return sorted(found, key=lambda entry: entry.order)


def _import(name: str, who: str) -> None:
    try:
        import_module(name)
    except Exception as error:
        raise ServiceError(
            f"{who} names the module {name}, which can't be imported: {type(error).__name__}: {error}",
            hint="Install or fix it, or take it off that list.",
        ) from error


def _place(made: type) -> tuple[str, str]:
    return made.__module__, made.__qualname__
