"""The queue of a runs folder: runs that wait until no other, or not too many others, are at work on this machine.

A run that waits says so in its own status file, so every process that looks at the folder sees the same queue, and any
of them goes on with it when the one that has filled it is gone.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from tb_widgets.errors import ServiceError, TbError
from tb_widgets.runs import RunDirectory, RunEntry
from tb_widgets.runs.durable import read_json, replace_json
from tb_widgets.runs.process import ProcessIdentity
from tb_widgets.runs.run_list import RunList
from tb_widgets.runs.status import read_status, write_status

_LOOK_EVERY = 0.2  # seconds
LIMIT = ".queue.json"  # in the runs folder: how many runs may be at work at once, where that is more than one
HELD_FOR = 5.0  # seconds that another process may hold the queue, which it does for moments

logger = logging.getLogger(__name__)


class RunQueue:
    """Lets the runs of one folder wait for each other.

    Parameters
    ----------
    runs_dir
        The folder.
    launch
        Starts a run whose turn it is.
    resume_lost
        Goes on with a run whose process is gone without a word, and returns whether the run is at work.
    """

    def __init__(
        self, runs_dir: Path, launch: Callable[[RunDirectory], None], resume_lost: Callable[[RunDirectory], bool]
    ) -> None:
        self._folder, self._launch, self._resume_lost = runs_dir, launch, resume_lost
        self._at_work: set[Path] = set()
        self._runs = RunList(runs_dir)
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None

    def waiting(self) -> list[RunDirectory]:
        """Return the runs that wait, next first, whichever process has let them wait."""
        return [entry.run for entry in self._entries() if entry.status.is_waiting]

    @property
    def at_once(self) -> int:
        """How many runs of the folder may be at work on this machine at once before others wait."""
        try:
            return max(1, int(read_json(self._folder / LIMIT)["at_once"]))
        except FileNotFoundError:
            return 1
        except (OSError, ValueError, TypeError, KeyError):
            logger.warning("%s can't be read: one run at a time", self._folder / LIMIT)
            return 1

    @at_once.setter
    def at_once(self, number: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        replace_json(self._folder / LIMIT, {"at_once": number})

    def enter(self, run: RunDirectory) -> bool:
        """Let a new run wait if as many of this machine as may are at work, or others wait; return whether it does.

        Raises
        ------
        ServiceError
            If another process does not let go of the queue.
        """
        with self._held():
            others = [entry for entry in self._entries() if entry.status.is_active and entry.run.path != run.path]
            if len(others) < self.at_once:
                return False
            status = replace(read_status(run.status_file), phase="Waiting for its turn", queued_at=time.time())
            write_status(run.status_file, status)
        self.tend()
        return True

    def leave(self, run: RunDirectory) -> bool:
        """Take a run that waits out of the queue; return whether it has waited."""
        if not run.status().is_waiting:
            return False
        with self._held():
            status = read_status(run.status_file)
            if status.is_waiting:
                write_status(run.status_file, replace(status, state="stopped", phase="", queued_at=None))
            return status.is_waiting

    def put_first(self, run: RunDirectory) -> None:
        """Let a run that waits be the next."""
        with self._held():
            others = [entry.status.queued_at or 0.0 for entry in self._entries() if entry.status.is_waiting]
            status = read_status(run.status_file)
            if status.is_waiting and others:
                write_status(run.status_file, replace(status, queued_at=min(others) - 1.0))

    def tend(self) -> None:
        """See to it that runs which wait are started, also those that a process has left which is gone."""
        with self._lock:
            if (self._thread is None or not self._thread.is_alive()) and self.waiting():
                self._thread = threading.Thread(target=self._work_off, name="queue", daemon=True)
                self._thread.start()

    def _entries(self) -> list[RunEntry]:
        """Return the runs of this machine, those that wait in the order in which they came."""
        with self._lock:
            self._runs.refresh(now=True)
            here = ProcessIdentity.current().host
            found = [entry for entry in self._runs.entries if entry.status.host == here]
        return sorted(found, key=lambda entry: (entry.status.queued_at or 0.0, entry.run.id))

    @contextmanager
    def _held(self) -> Iterator[None]:
        lock = FileLock(self._folder / ".queue.lock")
        with self._lock:  # always before the file's: the two are taken in one order
            try:
                lock.acquire(timeout=HELD_FOR)
            except Timeout as error:
                raise ServiceError(
                    f"Another process has held the queue of {self._folder} for {HELD_FOR:.0f} seconds.",
                    hint="Close the other notebooks that use this folder, or choose another one.",
                ) from error
            try:
                yield
            finally:
                lock.release()

    def _work_off(self) -> None:
        while True:
            began = time.monotonic()
            try:
                with self._lock:
                    if not self._start_next():
                        self._thread = None
                        return
            except Exception:  # the folder may be out of reach for a while: it is looked at again
                logger.exception("the queue of %s can't be worked off at this moment", self._folder)
            time.sleep(max(_LOOK_EVERY, 10 * (time.monotonic() - began)))

    def _start_next(self) -> bool:
        """Start the next run if its turn has come; return whether any waits."""
        entries = self._entries()
        if not any(entry.status.is_waiting for entry in entries):
            return False
        self._at_work = {
            entry.run.path
            for entry in entries
            if not entry.status.is_waiting
            # One that was lost keeps its place.
            and (entry.status.is_active or (entry.run.path in self._at_work and self._resume_lost(entry.run)))
        }
        if len(self._at_work) >= self.at_once:
            return True
        with self._held():
            for run in self.waiting()[:1]:
                try:
                    self._launch(run)
                except TbError as error:
                    logger.info("a run of the queue could not be started", exc_info=True)
                    with contextlib.suppress(TbError):  # its folder may be gone, and the next one waits
                        failed = replace(read_status(run.status_file), state="failed", phase="", queued_at=None)
                        write_status(run.status_file, replace(failed, message=error.message, hint=error.hint))
        return True
