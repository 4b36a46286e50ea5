"""One of the processes that train a run together, started by torchrun: ``torchrun ... -m <this module> RUN``."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import torch
from torch import distributed

from tb_widgets.engine.session import train_run
from tb_widgets.errors import TbError
from tb_widgets.runs import RunDirectory


def main(path: str) -> int:
    """Join the others, train the run, and return the process's exit code."""
    run = RunDirectory(path)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))

    def finish_and_leave(_signal: int, _frame: FrameType | None) -> None:
        run.control.request_here("stop")

    signal.signal(signal.SIGTERM, finish_and_leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        return {"done": 0, "stopped": 0}.get(train_run(run), 1)
    except TbError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    finally:
        distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
