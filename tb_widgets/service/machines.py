"""One run on several machines that share its runs folder: each starts its own torchrun, and they meet at an address."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from tb_widgets.errors import ServiceError, SpecError
from tb_widgets.runs import RunDirectory
from tb_widgets.runs.json_process import end_with_children
from tb_widgets.runs.process import ProcessIdentity
from tb_widgets.service.workers.environment import worker_environment
from tb_widgets.service.workers.ranks import Machines, command
from tb_widgets.spec import RunSpec


def require_even(spec: RunSpec, machines: Machines) -> None:
    """Raise a :class:`SpecError` where the processes of all machines can't share a batch evenly."""
    ranks = spec.hardware.processes * machines.count
    if spec.training.batch_size % ranks:
        raise SpecError(
            [
                (
                    "training.batch_size",
                    f"{spec.training.batch_size} examples can't be shared evenly by {ranks} processes "
                    f"({machines.count} machines with {spec.hardware.processes} each).",
                )
            ]
        )


def torchrun_line(path: Path, spec: RunSpec, machines: Machines) -> list[str]:
    """Return the command line by which this machine trains with the others."""
    return command(str(path), spec.hardware.processes, machines)


def begin(
    run: RunDirectory, machines: Machines, on_exit: Callable[[ProcessIdentity | None, int, str], None]
) -> ProcessIdentity | None:
    """Start torchrun on the first machine; what it prints goes to the run's log.

    Parameters
    ----------
    on_exit
        Called from a thread of ours with the process, its exit code and the end of the log.
    """
    try:
        with run.log_file.open("ab") as log:
            process = subprocess.Popen(
                torchrun_line(run.path, run.spec, machines),
                env=worker_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise ServiceError(f"torchrun can't be started: {error.strerror or error}.") from error
    identity = ProcessIdentity.of(process.pid)

    def report() -> None:
        on_exit(identity, process.wait(), " ".join(run.log_tail(3)))

    threading.Thread(target=report, name="reap-torchrun", daemon=True).start()
    return identity


def join(runs_dir: Path, spec: RunSpec, machines: Machines) -> int:
    """Train with the first machine, whichever run of the folder that trains; return torchrun's exit code.

    What the processes print goes to this terminal. Ctrl-C lets the run stop and save, on all machines; a second one
    does not wait for that.
    """
    line = torchrun_line(runs_dir, spec, machines)
    process = subprocess.Popen(line, env=worker_environment(), start_new_session=True)
    presses = 0
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            presses += 1
            if presses == 1:
                process.terminate()  # torchrun tells its processes
            else:
                end_with_children(process.pid)


def in_words(line: list[str]) -> str:
    """Return a command line as a shell takes it."""
    return shlex.join(line)
