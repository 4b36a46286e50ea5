"""How several processes train one run, on this machine or on several: torchrun starts them, and ends all with one."""

from __future__ import annotations

import sys
from dataclasses import dataclass

RANK = "tb_widgets.service.workers.rank"  # the module that each of them runs


@dataclass(frozen=True)
class Machines:
    """Several machines that train one run, and which of them this is.

    Attributes
    ----------
    count, rank
        How many there are, and this one's number from 0. The one with number 0 creates the run and writes it.
    address
        ``HOST:PORT`` of machine 0, where they meet; the port must be free there.
    """

    count: int
    rank: int
    address: str

    def __post_init__(self) -> None:
        host, _, port = self.address.rpartition(":")
        if not 0 <= self.rank < self.count:
            raise ValueError(f"of {self.count} machines, the numbers are 0 to {self.count - 1}, not {self.rank}")
        if not host or not port.isdecimal():
            raise ValueError(f"{self.address!r} is not HOST:PORT")


def command(path: str, processes: int, machines: Machines | None = None) -> list[str]:
    """Return the command line that trains a run in several processes of this machine.

    Parameters
    ----------
    path
        The run's folder; on a machine that is not the first, the runs folder: the first one tells which run it is.
    """
    together = ["--standalone"]
    if machines is not None:
        host, _, port = machines.address.rpartition(":")
        together = [f"--nnodes={machines.count}", f"--node-rank={machines.rank}", "--rdzv-backend=static"]
        together += [f"--master-addr={host}", f"--master-port={port}"]
    together += [f"--nproc-per-node={processes}"]
    return [sys.executable, "-u", "-m", "torch.distributed.run", *together, "-m", RANK, path]
