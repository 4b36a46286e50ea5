"""Dashboards without a page, runs without a worker, and a way to read what widgets show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pytest

from tb_widgets.app.dashboard import Dashboard
from tb_widgets.runs import RunDirectory, create_run
from tb_widgets.runs.process import ProcessIdentity
from tb_widgets.runs.status import read_status, write_status
from tb_widgets.service import service as service_module
from tb_widgets.spec import RunSpec

ME = ProcessIdentity.current()


class PretendedWorker:
    """A worker that accepts its run and never begins; this very process counts as it, so the run counts as alive."""

    made: list[PretendedWorker] = []

    def __init__(self, *_: Path) -> None:
        self.trains: Path | None = None
        self.is_alive = True
        self.identity = ME
        self.made.append(self)

    def train(self, run: Path, on_exit: Callable[[int, str], None]) -> None:
        self.trains = run

    def hang_up(self) -> None:
        self.is_alive = False


@pytest.fixture(autouse=True)
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[PretendedWorker]]:
    """The workers that were started: none of them is a process."""
    monkeypatch.setattr(service_module, "WaitingWorker", PretendedWorker)
    PretendedWorker.made.clear()
    yield PretendedWorker.made
    service_module.TrainingService._waiting = None


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def make_run(runs_dir: Path, tiny: Callable[..., RunSpec]) -> Callable[..., RunDirectory]:
    """Make a run that says of itself what the test wants; this process counts as its worker."""

    def make(spec: dict[str, Any] | None = None, **status: Any) -> RunDirectory:
        run = create_run(runs_dir, tiny(spec))
        set_status(run, **status)
        return run

    return make


@pytest.fixture
def dashboard(runs_dir: Path, tiny: Callable[..., RunSpec]) -> Dashboard:
    """A dashboard whose form holds a tiny run, and which no page shows yet."""
    return Dashboard(tiny(), runs_dir=runs_dir)


def set_status(run: RunDirectory, **changes: Any) -> None:
    """Let a run say something else of itself."""
    owner = {"pid": ME.pid, "process_started": ME.started, "host": ME.host, "heartbeat": time.time()}
    write_status(run.status_file, replace(read_status(run.status_file), **(owner | changes)))


def every_widget(root: widgets.Widget) -> Iterator[widgets.Widget]:
    """Walk a widget tree."""
    yield root
    for child in getattr(root, "children", ()):
        yield from every_widget(child)


def html_of(root: widgets.Widget) -> str:
    """Everything that is shown as HTML, without the style sheet."""
    found = [widget.value for widget in every_widget(root) if isinstance(widget, widgets.HTML)]
    return "\n".join(text for text in found if not text.startswith("<style>"))


def shown(root: widgets.Widget) -> str:
    """The HTML that is not hidden."""
    if "tbw-hidden" in root._dom_classes:
        return ""
    own = root.value if isinstance(root, widgets.HTML) and not root.value.startswith("<style>") else ""
    return own + "".join(shown(child) for child in getattr(root, "children", ()))


def at(root: widgets.Widget, place: str) -> Any:
    """The one widget with the class ``tbw-at-<place>``."""
    found = [widget for widget in every_widget(root) if f"tbw-at-{place}" in getattr(widget, "_dom_classes", ())]
    assert len(found) == 1, f"{len(found)} widgets at {place}"
    return found[0]


def enter(entry: Any, text: str, event: str = "enter") -> None:
    """Say what the page says when a line is entered or pasted."""
    entry._handle_custom_msg({"event": event, "text": text}, [])
