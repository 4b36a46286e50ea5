"""How several processes of this machine train one run: torchrun starts them, and ends all when one is lost."""

from __future__ import annotations

import sys

RANK = "tb_widgets.service.workers.rank"  # the module that each of them runs


def command(path: str, processes: int) -> list[str]:
    """Return the command line that trains a run in several processes of this machine."""
    together = ["--standalone", f"--nproc-per-node={processes}"]
    return [sys.executable, "-u", "-m", "torch.distributed.run", *together, "-m", RANK, path]
