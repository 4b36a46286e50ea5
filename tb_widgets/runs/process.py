"""Which process, exactly: a pid means nothing without the moment at which that process started."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class ProcessIdentity:
    """A process on a machine. ``started`` is its start time in seconds since the epoch."""

    pid: int
    started: float
    host: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """Return the identity of a living process, or None when there is none of that pid."""
        try:
            return cls(pid, psutil.Process(pid).create_time(), platform.node())
        except (psutil.Error, ValueError):
            return None

    @classmethod
    def current(cls) -> ProcessIdentity:
        """Return the identity of this process."""
        return cls(os.getpid(), psutil.Process().create_time(), platform.node())

    @property
    def is_here(self) -> bool:
        """Whether the process belongs to this machine, so that its pid can be looked up."""
        return self.host == platform.node()

    def is_alive(self) -> bool:
        """Whether this very process still runs; a zombie or a reused pid does not count."""
        try:
            process = psutil.Process(self.pid)
            # The kernel counts start times in ticks from boot, so two readings differ by a tick at most.
            return abs(process.create_time() - self.started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, ValueError):  # a negative pid, from a damaged file
            return False
