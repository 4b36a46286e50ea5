"""The worker: a process of its own that reads ``run.yaml``, trains, and writes the run directory.

Started as ``python -m tb_widgets.service.workers.train PARENT``, it imports what training needs and then waits for one
line on standard input that names a run. Such a waiting worker makes a click on Start act at once. A worker that has a
run no longer listens to whoever started it: it obeys the run's control folder, and outlives notebooks and pages.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import threading
from types import FrameType

from tb_widgets.errors import TbError
from tb_widgets.runs import RunDirectory
from tb_widgets.runs.json_process import leave_with
from tb_widgets.service.workers.ranks import command


def main(parent: int | None = None) -> int:
    """Wait for a run on standard input, train it, and return the process's exit code.

    Parameters
    ----------
    parent
        Who started this process: it leaves when that is gone, unless it has a run by then.
    """
    # Slow imports and first times, paid while nobody waits.
    from tb_widgets.engine.session import train_run
    from tb_widgets.engine.warm_up import warm_up

    warm_up()
    # Not before: what a parent that has died since wrote must be read first.
    stays = leave_with(parent) if parent is not None else threading.Event()
    line = sys.stdin.readline()
    if not line.strip():
        return 0  # whoever started this worker is gone and never needed it
    stays.set()
    run = RunDirectory(json.loads(line)["run"])
    _print_to(run)

    def finish_and_leave(_signal: int, _frame: FrameType | None) -> None:
        run.control.request_here("stop")

    if (processes := _processes(run)) > 1:
        arguments = command(str(run.path), processes)
        os.execv(arguments[0], arguments)  # noqa: S606 - our own; the same process goes on as torchrun
    signal.signal(signal.SIGTERM, finish_and_leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    try:
        return {"done": 0, "stopped": 0}.get(train_run(run), 1)
    except TbError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return error.exit_code


def _processes(run: RunDirectory) -> int:
    try:
        return run.spec.hardware.processes
    except TbError:
        return 1  # training it will say what is wrong with its spec


def _print_to(run: RunDirectory) -> None:
    """Send everything that is printed from now on, also by C code, to the run's log, and stop listening."""
    log = os.open(run.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(nothing)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
