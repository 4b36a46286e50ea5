"""The run that the dashboard shows: read from its directory, whoever trains it. No widget is known here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tb_widgets.app.state.versioned import Versioned
from tb_widgets.display.figure import curve_keys
from tb_widgets.display.hints import EVENTS, KEYS
from tb_widgets.display.marks import Mark, marks_of
from tb_widgets.errors import TbError
from tb_widgets.runs import CheckpointInfo, RunDirectory, Status
from tb_widgets.runs.baselines import Baselines
from tb_widgets.runs.curve import Curves
from tb_widgets.runs.journal import Follower
from tb_widgets.runs.status import AT_REST
from tb_widgets.wording import run_name

KEPT = 50  # warnings; a page shows the last few, and a run may warn for days
GONE = Status(
    state="interrupted",
    message="The folder of this run is gone: it was moved or deleted.",
    hint="What was read before is still shown. Open another run, or put the folder back.",
)


class Watch(Versioned):
    """Follows one run from offsets, so that a refresh costs what is new and not what is there.

    ``curves_version`` grows when there is something new to draw, ``version`` whenever anything changed.

    Parameters
    ----------
    smoothing
        Of the training curve, 0 to below 1.
    """

    def __init__(self, smoothing: float = 0.6) -> None:
        self.smoothing = smoothing
        self.curves = Curves((*curve_keys(), *KEYS), smoothing)
        self.curves_version = 0
        self.attach(None)

    def attach(self, run: RunDirectory | None) -> None:
        """Show another run, or none, from its beginning."""
        self.run = run
        self.status: Status | None = None
        self.curves.clear()
        self.samples: list[dict[str, Any]] = []
        self.warnings: list[str] = []
        self.hint_events: list[dict[str, Any]] = []
        self.checkpoints: list[CheckpointInfo] = []
        self.baselines = Baselines()
        self.marks: list[Mark] = []
        self.log: list[str] = []
        self._log_size = -1
        if run is not None:
            self._metrics, self._samples = Follower(run.metrics_file), Follower(run.samples_file)
            self._events = Follower(run.events_file)
            self.refresh_checkpoints()
        self.curves_version += 1
        self.refresh()

    def refresh(self) -> None:
        """Read what is new."""
        if self.run is None:
            return
        if not self.run.path.is_dir():
            self._say_gone()
            return
        status = self.run.status()
        news = self._metrics.read()
        if news.restarted:
            self.curves.clear()
            self.curves_version += 1
        if news.records and self.curves.extend(news.records):
            self.curves_version += 1
        samples = self._samples.read()
        self.samples = ([*([] if samples.restarted else self.samples), *filter(_is_sample, samples.records)])[-4:]
        events = self._events.read().records
        self.hint_events += [event for event in events if event.get("kind") in EVENTS]
        self._warn(*(str(event.get("message", "")) for event in events if event.get("kind") == "warning"))
        if marks := marks_of(events):
            self.marks = [*self.marks, *marks][-KEPT:]
            self.curves_version += 1
        if self.baselines.take(events):
            self.curves_version += 1
        if any(event.get("kind") == "checkpoint" for event in events):
            self.refresh_checkpoints()
        self._read_log()
        self.status = status

    @property
    def name(self) -> str:
        """What the run is called; empty where none is open."""
        return run_name(self.run.id, self.status.name if self.status else "") if self.run else ""

    @property
    def task(self) -> str:
        """What the run learns; empty before its training process has found out."""
        return self.status.task if self.status is not None else ""

    def refresh_checkpoints(self) -> None:
        """Look which checkpoints are there."""
        try:
            self.checkpoints = self.run.checkpoints() if self.run else []
        except TbError as error:
            self.checkpoints = []
            self._warn(str(error))

    def _warn(self, *messages: str) -> None:
        new = [message for message in messages if message not in self.warnings[-1:]]
        self.warnings = [*self.warnings, *new][-KEPT:]

    def _say_gone(self) -> None:
        before = self.status or Status()
        self.status = replace(before, state=GONE.state, message=GONE.message, hint=GONE.hint, **AT_REST)

    def _read_log(self) -> None:
        try:
            size = self.run.log_file.stat().st_size if self.run is not None else self._log_size
            if size != self._log_size:
                self.log = self.run.log_tail(40, limit=16 * 1024) if self.run is not None else []
                self._log_size = size
        except OSError:
            return  # not there yet, or not for us to read; the log is no reason to stop watching

    def set_smoothing(self, smoothing: float) -> None:
        """Smooth the training curve differently, 0 to below 1."""
        self.smoothing = smoothing
        self.curves.set_smoothing(smoothing)
        self.curves_version += 1


def _is_sample(record: dict[str, Any]) -> bool:
    texts = isinstance(record.get("prompt"), str) and isinstance(record.get("text"), str)
    return texts and isinstance(record.get("step"), int)
