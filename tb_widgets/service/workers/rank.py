"""One of the processes that train a run together, started by torchrun: ``torchrun ... -m <this module> PATH``.

``PATH`` is the run's folder on the machine of the main rank, and the runs folder on any other one.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

import torch
from torch import distributed

from tb_widgets.engine.session import train_run
from tb_widgets.errors import RunError, TbError
from tb_widgets.runs import RunDirectory


def main(path: str) -> int:
    """Join the others, train the run, and return the process's exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    with_main = os.environ["GROUP_RANK"] == "0"
    try:
        run = _run(Path(path), with_main=with_main)

        def finish_and_leave(_signal: int, _frame: FrameType | None) -> None:
            # Only the main rank looks, and another machine's signals do not reach it.
            (run.control.request_here if with_main else run.control.request)("stop")

        signal.signal(signal.SIGTERM, finish_and_leave)
        return {"done": 0, "stopped": 0}.get(train_run(run), 1)
    except TbError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    finally:
        distributed.destroy_process_group()


def _run(path: Path, *, with_main: bool) -> RunDirectory:
    """Return the run that the main rank was told to train."""
    told: list[str] = [path.name]
    distributed.broadcast_object_list(told, src=0)
    run = RunDirectory(path if with_main else path / told[0])
    if not run.spec_file.is_file():
        raise RunError(
            f"{run.path} is not there, which the first machine trains.",
            hint="Give every machine the same runs folder on a disk that they share (--runs-dir, or TB_RUNS_DIR).",
        )
    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
