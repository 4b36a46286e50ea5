"""Which runs of a folder are at work, which wait, and what was asked of them. No widget is known here."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import NamedTuple

from tb_widgets.app.state.watch import Watch
from tb_widgets.runs import RunDirectory, RunEntry
from tb_widgets.runs.run_list import RunList
from tb_widgets.service.policy import Policy

# Seconds, where no answer may ever come: that step has a checkpoint already, or the disk is still full.
ANSWERED_WITHIN = {"save": 10.0, "resume": 10.0}


class _Asked(NamedTuple):
    """What was asked of a run, how it stood before, and when that was."""

    what: str
    before: object
    moment: float


class AtWork:
    """Follows the runs of a folder, whoever started them, and what one page has asked of them.

    Parameters
    ----------
    runs_dir
        The folder.
    policy
        Which of them may be seen.
    watch
        Follows the run in sight, of which it knows more.

    Attributes
    ----------
    runs
        All of them, newest first.
    busy, waiting
        Those that train, and those that wait for their turn, next first.
    first
        The run in sight if it is busy, else the newest that is, else the first that waits; ``None`` if there is none.
    """

    def __init__(self, runs_dir: Path, policy: Policy, watch: Watch) -> None:
        self.runs = RunList(runs_dir)
        self.busy: list[RunEntry] = []
        self.waiting: list[RunEntry] = []
        self.first: RunEntry | None = None
        self._policy, self._watch = policy, watch
        self._asked: dict[str, _Asked] = {}

    @property
    def version(self) -> object:
        """What differs once anything of this has changed, except for what was asked."""
        return self.runs.version, self._watch.run.id if self._watch.run is not None else ""

    def refresh(self, *, now: bool = False) -> list[RunEntry]:
        """See which runs are at work, and which wait; return those that were busy before and have ended.

        Parameters
        ----------
        now
            Also where a slow disk has been looked at a moment ago.
        """
        self.runs.refresh(now=now)
        watch = self._watch
        # What the watch has read is newer than a list that is read now and then on a slow disk.
        newest = {watch.run.id: watch.status} if watch.run is not None and watch.status is not None else {}
        entries = [RunEntry(entry.run, newest.get(entry.run.id, entry.status)) for entry in self.runs.entries]
        active = [entry for entry in entries if entry.status.is_active and self._policy.may_see(entry.status)]
        were_busy = {entry.run.id for entry in self.busy}
        waiting = [entry for entry in active if entry.status.is_waiting]
        self.waiting = sorted(waiting, key=lambda entry: entry.status.queued_at or 0.0)
        self.busy = [entry for entry in active if not entry.status.is_waiting]
        in_sight = [entry for entry in self.busy if entry.run.id in newest]
        self.first = next(iter([*in_sight, *self.busy, *self.waiting]), None)
        return [entry for entry in entries if entry.run.id in were_busy and not entry.status.is_active]

    def ask(self, what: str, run: RunDirectory) -> None:
        """Remember what was asked of a run until it answers: ``pause``, ``stop``, ``resume`` or ``save``."""
        self._asked[run.id] = _Asked(what, self._answer(what, run), time.monotonic())

    def asked(self, run: RunDirectory | None) -> str:
        """Return what was asked of a run and is not answered yet; empty if nothing was."""
        asked = self._asked.get(run.id) if run is not None else None
        if run is None or asked is None:
            return ""
        is_old = time.monotonic() - asked.moment > ANSWERED_WITHIN.get(asked.what, math.inf)
        if is_old or asked.before != self._answer(asked.what, run):
            del self._asked[run.id]
            return ""
        return asked.what

    def _answer(self, what: str, run: RunDirectory) -> object:
        """Return what differs once the run has done what was asked of it."""
        watch = self._watch
        if what == "save" and watch.run is not None and watch.run.id == run.id:
            return [info.step for info in watch.checkpoints]
        return run.status().state
