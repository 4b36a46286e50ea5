"""Processes with a model's code that wait for us without costing anything: one that trains, one that tries it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tb_widgets.errors import ServiceError, TbError
from tb_widgets.runs.json_process import JsonProcess, family
from tb_widgets.runs.process import ProcessIdentity
from tb_widgets.service.workers.environment import worker_environment
from tb_widgets.service.workers.ranks import RANK

WORKER = "tb_widgets.service.workers.train"  # the module that trains one run
LOOK_EVERY = 0.1  # seconds between two looks at what a tried model does
SAYS_WITHIN = 1.0  # seconds that it may take to say where it is


def is_worker(pid: int) -> bool:
    """Tell whether a process is one of our training workers, which has nothing but its one run."""
    try:
        return not {WORKER, RANK}.isdisjoint(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


class WaitingWorker(JsonProcess):
    """A training worker that has done its imports and waits to be told which run to train."""

    def __init__(self) -> None:
        super().__init__(WORKER, worker_environment(), outlives=True)

    @property
    def identity(self) -> ProcessIdentity | None:
        """Which process it is; None when it has died."""
        return ProcessIdentity.of(self.pid)

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
        if not self.send({"run": str(run)}, last=True):
            self.kill()
            raise ServiceError(f"The training process ended before training began. {self.last_words()}")

        def report() -> None:
            on_exit(self.wait(), self.last_words())

        threading.Thread(target=report, name="reap-worker", daemon=True).start()


def ask_once(worker: str, request: dict[str, Any], *, raises: type[TbError]) -> dict[str, Any]:
    """Return the one answer of a worker that does one thing.

    Parameters
    ----------
    worker
        A module of this folder that answers by an :class:`tb_widgets.runs.json_process.Asker`.
    raises
        The error if it answers that it failed.

    Raises
    ------
    ServiceError
        If the process ended without an answer.
    """
    process = JsonProcess(f"tb_widgets.service.workers.{worker}", worker_environment())
    try:
        process.send(request, last=True)
        answer = next(process.answers(), None)
    finally:
        process.kill()
    if answer is None:
        raise ServiceError(f"The process to {worker} ended (exit code {process.code}). {process.last_words()}")
    if "error" in answer:
        raise raises(answer["error"], hint=answer["hint"], exit_code=answer["exit_code"])
    return answer


class TrialProcess(JsonProcess):
    """The process that tries a model's code out, which can be asked where that is and how much memory it takes."""

    def __init__(self) -> None:
        name = "model test process"
        super().__init__("tb_widgets.service.workers.probe", worker_environment(), name=name)

    def stack(self) -> str:
        """Return the stack of Python calls at which the process is, innermost first; nothing if it does not say."""
        foreign, self.foreign = self.foreign, b""
        # Only POSIX has it. C code answers it, also while the model's code lets no other thread of Python go on, and at
        # the moment at which we ask: a timer of faulthandler's would have to be told our moment before.
        with suppress(ProcessLookupError):
            self._popen.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + SAYS_WITHIN
        said, before = b"", None
        while said != before or (not said and time.monotonic() < deadline):
            time.sleep(LOOK_EVERY)
            said, before = self.foreign, said
        self.foreign = foreign
        return said.decode(errors="replace")

    def memory(self) -> int:
        """Return the bytes of main memory that the process and its children use."""
        used = 0
        for process in family(self.pid):
            with suppress(psutil.Error):
                used += process.memory_info().rss
        return used
