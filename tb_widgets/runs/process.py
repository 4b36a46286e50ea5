"""Which process, exactly: a pid means nothing without the moment at which that process started."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import Any

import psutil


@dataclass(frozen=True)
class ProcessIdentity:
    """A process on a machine.

    Attributes
    ----------
    started
        Its start time in seconds since the epoch, by the clock of the machine as it was then.
    since_boot
        The same since the machine's boot, which stays when somebody sets the clock; 0 where nobody has noted it.
    """

    pid: int
    started: float
    host: str
    since_boot: float = 0.0

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """Return the identity of a living process, or None when there is none of that pid."""
        try:
            started = psutil.Process(pid).create_time()
            return cls(pid, started, platform.node(), round(started - psutil.boot_time(), 2))
        except (psutil.Error, ValueError):
            return None

    @classmethod
    def current(cls) -> ProcessIdentity:
        """Return the identity of this process."""
        found = cls.of(os.getpid())
        if found is None:
            raise RuntimeError("this process can't be looked up")
        return found

    def as_status(self) -> dict[str, Any]:
        """Return the fields of a status that say whose it is."""
        started = {"process_started": self.started, "process_since_boot": self.since_boot}
        return {"pid": self.pid, "host": self.host, **started}

    @property
    def is_here(self) -> bool:
        """Whether the process belongs to this machine, so that its pid can be looked up."""
        return self.host == platform.node()

    def is_alive(self) -> bool:
        """Whether this very process still runs; a zombie or a reused pid does not count."""
        try:
            process = psutil.Process(self.pid)
            started = process.create_time()
            # The kernel counts start times in ticks from boot, so two readings differ by a tick at most, unless the
            # clock was set in between: boot and start are then both told by the new one.
            is_same = abs(started - self.started) < 1.0 or (
                self.since_boot > 0 and abs(started - psutil.boot_time() - self.since_boot) < 0.05
            )
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, ValueError):  # a negative pid, from a damaged file
            return False
