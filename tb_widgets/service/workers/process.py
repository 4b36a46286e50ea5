"""Starting processes that wait for us without costing anything, and then need us no more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from tb_widgets.errors import ServiceError
from tb_widgets.runs.process import ProcessIdentity
from tb_widgets.service.workers.environment import worker_environment

WORKER = "tb_widgets.service.workers.train"  # the module that trains one run
PARENT_EVERY = 2.0  # seconds between two looks whether the parent lives


def end_with_children(pid: int) -> None:
    """Kill a process with everything that it started, also what left its process group.

    Our own process group is spared, whoever is in it. A process that has ended already is no error.
    """
    family: list[psutil.Process] = []
    with suppress(psutil.Error):
        leader = psutil.Process(pid)
        family = [leader, *leader.children(recursive=True)]
    if pid != os.getpgrp():
        with suppress(ProcessLookupError, PermissionError):  # it leads no group, or one of somebody else
            os.killpg(pid, signal.SIGKILL)
    for process in family:
        with suppress(psutil.Error):
            process.kill()


def is_worker(pid: int) -> bool:
    """Tell whether a process is one of our training workers, which has nothing but its one run."""
    try:
        return WORKER in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def leave_with(parent: int) -> threading.Event:
    """End this process when its parent is gone, until the returned event is set.

    Standard input closes with the parent as well; but not where something that the parent forked holds it open.
    """
    stays = threading.Event()

    def watch() -> None:
        while not stays.wait(PARENT_EVERY):
            # The second look lets a last word that the parent has written be read.
            if os.getppid() != parent and not stays.wait(PARENT_EVERY):
                os._exit(0)

    threading.Thread(target=watch, name="leave-with-parent", daemon=True).start()
    return stays


class Child:
    """A module run as a process of its own session, with pipes in and out and an environment without secrets.

    Parameters
    ----------
    module
        Run as ``python -m module PARENT``, with the pid of this process.
    answers
        Whether somebody reads its standard output; otherwise that goes where its errors go.

    Raises
    ------
    ServiceError
        If the system can't start another process.
    """

    def __init__(self, module: str, *, answers: bool = True) -> None:
        try:
            # Without a name: nobody can wait for it, or find it lying around later.
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process may write to it
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-m", module, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if answers else self._errors,
                stderr=self._errors,
                env=worker_environment(),
                start_new_session=True,
                text=True,
                encoding="utf-8",
                errors="replace",  # a model may write anything into any pipe
            )
        except OSError as error:
            raise ServiceError(
                f"A worker process can't be started: {error.strerror or error}.",
                hint="Free some memory or disk space, then try again.",
            ) from error

    def end(self) -> None:
        """Kill the process with everything that it started."""
        end_with_children(self.process.pid)

    def wait(self) -> int:
        """Wait until the process is gone, kill what it left behind, and return its exit code."""
        code = self.process.wait()
        end_with_children(self.process.pid)
        return code

    def last_words(self, lines: int = 3) -> str:
        """Return the end of what the process wrote on standard error."""
        descriptor = self._errors.fileno()
        # Read at a place, not by seeking: the process writes where our own position stands.
        end = os.pread(descriptor, 4096, max(0, os.fstat(descriptor).st_size - 4096))
        return " ".join(end.decode(errors="replace").splitlines()[-lines:])


class WaitingWorker:
    """A training worker that has done its imports and waits to be told which run to train."""

    def __init__(self) -> None:
        self._child = Child(WORKER, answers=False)
        self._process = self._child.process

    @property
    def is_alive(self) -> bool:
        """Whether the process still waits."""
        return self._process.poll() is None

    @property
    def identity(self) -> ProcessIdentity | None:
        """Which process it is; None when it has died."""
        return ProcessIdentity.of(self._process.pid)

    def train(self, run: Path, on_exit: Callable[[int, str], None]) -> None:
        """Tell the process its run. From here on it needs us no more.

        Parameters
        ----------
        run
            Path of the run directory.
        on_exit
            Called from a thread of ours with the exit code and the last lines of its standard error.

        Raises
        ------
        ServiceError
            If the process has died while it waited; its last words are in the message.
        """
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(json.dumps({"run": str(run)}) + "\n")
                self._process.stdin.close()
        except OSError as error:
            self._reap(lambda _code, _words: None)
            raise ServiceError(f"The training process ended before it began. {self._child.last_words()}") from error
        self._reap(on_exit)

    def discard(self) -> None:
        """Send a process away that was not needed: it leaves when its standard input closes."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        self._reap(lambda _code, _words: None)

    def _reap(self, on_exit: Callable[[int, str], None]) -> None:
        # Somebody must collect the exit code, or the finished process stays in the table as a zombie.
        def wait() -> None:
            code = self._process.wait()
            on_exit(code, self._child.last_words())

        threading.Thread(target=wait, name="reap-worker", daemon=True).start()
