"""The processes that train one model together. One process alone is a group of one, for which nothing is done."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn

from tb_widgets.runs.journal import JournalWriter
from tb_widgets.runs.status import Status
from tb_widgets.spec.batch import Batch


@dataclass(frozen=True)
class Group:
    """The ranks of a training. Every count and every write goes through it.

    All ranks must make the same calls in the same order: whether one is made may depend on the step and on what was
    agreed on, never on a clock or a file.

    Attributes
    ----------
    rank, size
        This process, counted from 0, and how many there are.
    is_sharded
        Whether each rank has only a part of the model: then every pass through it is one of the calls that all make.
    """

    rank: int = 0
    size: int = 1
    is_sharded: bool = False

    @classmethod
    def current(cls) -> Group:
        """Return the group that ``torch.distributed`` has been set up for; without that, a group of one."""
        if distributed.is_available() and distributed.is_initialized():
            return cls(distributed.get_rank(), distributed.get_world_size())
        return cls()

    @property
    def is_main(self) -> bool:
        """Whether this is the rank that writes and listens."""
        return self.rank == 0

    @property
    def machines(self) -> int:
        """On how many machines the ranks are; torchrun tells how many are on this one."""
        return max(1, self.size // int(os.environ.get("LOCAL_WORLD_SIZE", self.size)))

    def in_words(self) -> str:
        """Return how many ranks there are and how they talk, as ``4 processes on 2 machines, gloo``; empty for one."""
        if self.size == 1:
            return ""
        where = f" on {self.machines} machines" if self.machines > 1 else ""
        how = ", sharded" if self.is_sharded else ""
        return f"{self.size} processes{where}, {distributed.get_backend()}{how}"

    def share(self, batch: Batch) -> Batch:
        """Return this rank's rows of a batch that is the same on every rank."""
        if self.size == 1:
            return batch
        return {role: tensor.tensor_split(self.size)[self.rank] for role, tensor in batch.items()}

    def sum(self, count: int) -> int:
        """Return the sum of a number over the ranks."""
        if self.size == 1:
            return count
        total = torch.tensor(count, device=_device())
        distributed.all_reduce(total)
        return int(total)

    def mean_(self, tensor: Tensor) -> None:
        """Put the mean over the ranks in the place of a tensor."""
        if self.size > 1:
            distributed.all_reduce(tensor)
            tensor /= self.size

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Put the mean over the ranks in the place of each gradient; where a rank has none, it counts as zero.

        Parameters without a gradient on any rank keep none: an optimiser leaves them alone.
        """
        if self.size == 1 or self.is_sharded:  # FSDP has done so in the backward pass
            return
        has = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.uint8)
        has = has.to(_device())
        distributed.all_reduce(has, op=distributed.ReduceOp.MAX)
        for parameter, is_used in zip(parameters, has.tolist(), strict=True):
            if is_used:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                self.mean_(parameter.grad)

    def equalise(self, module: nn.Module) -> None:
        """Give every rank the main one's weights and buffers."""
        if self.size > 1:
            for tensor in module.state_dict().values():
                distributed.broadcast(tensor, src=0)

    def broadcast(self, number: int) -> int:
        """Return the main rank's number."""
        if self.size == 1:
            return number
        told = torch.tensor(number, device=_device())
        distributed.broadcast(told, src=0)
        return int(told)

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the main rank do something before the others do it, which then find what it has written."""
        if self.size > 1 and not self.is_main:
            distributed.barrier()
        yield
        if self.size > 1 and self.is_main:
            distributed.barrier()


class SilentJournal(JournalWriter):
    """The journal of a rank that is not the main one: it knows the status and writes nothing."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def metrics(self, record: dict[str, Any]) -> None:
        """Write nothing: the main rank does."""

    def sample(self, record: dict[str, Any]) -> None:
        """Write nothing."""

    def event(self, kind: str, **details: Any) -> None:
        """Write nothing."""

    def update(self, *, now: bool = False, **changes: Any) -> None:
        """Write nothing."""

    def flush(self) -> None:
        """Write nothing."""

    def try_again(self) -> None:
        """Write nothing."""

    def close(self) -> None:
        """Write nothing."""


def _device() -> torch.device:
    """Return where the ranks exchange numbers: NCCL knows GPUs only."""
    return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")
