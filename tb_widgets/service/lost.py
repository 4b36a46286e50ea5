"""Runs whose process is gone without a word, and one at a time who may change how a run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from tb_widgets.errors import RunError, TbError
from tb_widgets.runs import RunDirectory, Status
from tb_widgets.runs.status import read_status

HELD_FOR = 30.0  # seconds that another process may take to start a worker, or to end one


def is_lost(run: RunDirectory) -> bool:
    """Whether a run was training when its process was lost, and may go on before anybody is asked.

    A run that was to pause or stop is none of these, nor one that has resumed by itself as often as its spec says.
    """
    status = read_status(run.status_file)
    cut_off = status.state == "interrupted" and status.lost
    if not cut_off and not (status.state == "running" and _is_gone(status)):
        return False
    if run.control.is_requested("stop") or run.control.is_requested("pause"):
        return False
    try:
        hardware = run.spec.hardware
    except TbError:
        return False  # whoever presses Resume is told what is wrong with its spec
    # Of several machines, one alone can't start the others' processes again.
    return hardware.backend == "process" and status.machines < 2 and status.restarts < hardware.restarts


def _is_gone(status: Status) -> bool:
    process = status.process
    return process is not None and process.is_here and not process.is_alive()


@contextmanager
def only_here(run: RunDirectory) -> Iterator[None]:
    """Let nobody else resume or end a run meanwhile, in this process or another one.

    Raises
    ------
    RunError
        If somebody else does so and takes too long.
    """
    if not run.path.is_dir():  # the lock would bring it back
        yield
        return
    lock = FileLock(run.path / ".resuming.lock")
    try:
        lock.acquire(timeout=HELD_FOR)
    except Timeout as error:
        raise RunError(
            f"Another process has been resuming or ending {run.id} for {HELD_FOR:.0f} seconds.",
            hint="Close the other page or terminal that uses this run, then try again.",
        ) from error
    except OSError:
        # A folder that can't be written: nobody else can resume the run either, and ending a process needs no file.
        yield
        return
    try:
        yield
    finally:
        lock.release()
