"""The run that the dashboard shows: read from its directory, whoever trains it. No widget is known here."""

from __future__ import annotations

from typing import Any

from tb_widgets.errors import TbError
from tb_widgets.runs import CheckpointInfo, RunDirectory, Status
from tb_widgets.runs.curve import Curves
from tb_widgets.runs.journal import Follower
from tb_widgets.service.figure import KEYS


class Watch:
    """Follows one run from offsets, so that a refresh costs what is new and not what is there.

    ``curves_version`` grows when there is something new to draw, ``version`` whenever anything else changed.

    Parameters
    ----------
    smoothing
        Of the training curve, 0 to below 1.
    """

    def __init__(self, smoothing: float = 0.6) -> None:
        self.smoothing = smoothing
        self.curves = Curves(KEYS, smoothing)
        self.curves_version = 0
        self.version = 0
        self.attach(None)

    def attach(self, run: RunDirectory | None) -> None:
        """Show another run, or none, from its beginning."""
        self.run = run
        self.status: Status | None = None
        self.curves.clear()
        self.samples: list[dict[str, Any]] = []
        self.warnings: list[str] = []
        self.checkpoints: list[CheckpointInfo] = []
        self.log: list[str] = []
        self._log_size = -1
        if run is not None:
            self._metrics, self._samples = Follower(run.metrics_file), Follower(run.samples_file)
            self._events = Follower(run.events_file)
            self.refresh_checkpoints()
        self.curves_version += 1
        self.version += 1
        self.refresh()

    def refresh(self) -> None:
        """Read what is new."""
        if self.run is None:
            return
        status = self.run.status()
        news = self._metrics.read()
        if news.restarted:
            self.curves.clear()
            self.curves_version += 1
        if news.records and self.curves.extend(news.records):
            self.curves_version += 1
        samples = self._samples.read()
        self.samples = ([] if samples.restarted else self.samples)[-4:] + samples.records[-4:]
        events = self._events.read().records
        self.warnings += [event["message"] for event in events if event.get("kind") == "warning"]
        if any(event.get("kind") == "checkpoint" for event in events):
            self.refresh_checkpoints()
        changed = bool(events or samples.records or news.restarted) or status != self.status
        if self._read_log() or changed:
            self.version += 1
        self.status = status

    def refresh_checkpoints(self) -> None:
        """Look which checkpoints are there."""
        try:
            self.checkpoints = self.run.checkpoints() if self.run else []
        except TbError as error:
            self.checkpoints = []
            self.warnings.append(str(error))
        self.version += 1

    def _read_log(self) -> bool:
        if self.run is None or not self.run.log_file.exists():
            return False
        size = self.run.log_file.stat().st_size
        if size == self._log_size:
            return False
        self._log_size = size
        self.log = self.run.log_tail(40, limit=16 * 1024)
        return True

    def set_smoothing(self, smoothing: float) -> None:
        """Smooth the training curve differently, 0 to below 1."""
        self.smoothing = smoothing
        self.curves.set_smoothing(smoothing)
        self.curves_version += 1
