"""What a run says of itself, and what can be believed of it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from tb_widgets.runs.durable import replace_json
from tb_widgets.runs.process import ProcessIdentity

State = Literal["queued", "preparing", "running", "paused", "stopping", "done", "stopped", "failed", "interrupted"]
ACTIVE: frozenset[str] = frozenset({"queued", "preparing", "running", "paused", "stopping"})
SILENT_AFTER = 60.0  # seconds without a heartbeat after which a process on another machine is given up


@dataclass(frozen=True)
class Status:
    """The content of ``status.json``: one small snapshot, replaced whole.

    ``heartbeat``, ``created`` are seconds since the epoch; ``elapsed`` (training time without pauses) and
    ``eta`` are seconds; ``tokens_per_second`` is the speed since the last report.
    """

    state: State = "queued"
    phase: str = ""
    message: str = ""
    hint: str = ""
    step: int = 0
    total: int = 0
    pid: int | None = None
    process_started: float = 0.0
    host: str = ""
    heartbeat: float = 0.0
    created: float = 0.0
    elapsed: float = 0.0
    eta: float | None = None
    progress: float | None = None
    tokens_per_second: float | None = None
    name: str = ""
    model: str = ""
    data: str = ""
    parameters: int | None = None
    device: str = ""
    threads: int | None = None
    metrics: dict[str, float] | None = None
    best: dict[str, Any] | None = None

    @property
    def is_active(self) -> bool:
        """Whether a process is, or will be, at work on this run."""
        return self.state in ACTIVE

    @property
    def process(self) -> ProcessIdentity | None:
        """The process that wrote this status, if any."""
        return None if self.pid is None else ProcessIdentity(self.pid, self.process_started, self.host)


_NAMES = frozenset(field.name for field in fields(Status))


def write_status(path: Path, status: Status) -> None:
    """Replace ``status.json`` atomically."""
    replace_json(path, asdict(status))


def read_status(path: Path) -> Status:
    """Return what ``status.json`` says, without believing it; a missing or damaged file is an interrupted run."""
    try:
        found = json.loads(path.read_bytes())
        status = Status(**{name: value for name, value in found.items() if name in _NAMES})
    except FileNotFoundError:
        return Status(state="interrupted", message="This run has no status file: it was cut off while it was created.")
    except (OSError, ValueError, AttributeError, TypeError) as error:
        return Status(state="interrupted", message=f"The status file can't be read ({error}).")
    if status.state not in get_args(State):
        return replace(status, state="interrupted", message=f"The status file holds an unknown state {status.state!r}.")
    return status


def observe(path: Path) -> Status:
    """Return the status as it can be believed: an active run whose process is gone is *interrupted*."""
    status = read_status(path)
    if not status.is_active or _is_plausible(status):
        return status
    # The process may have finished between our look at the file and our look at the process.
    again = read_status(path)
    if not again.is_active:
        return again
    message = (
        "It was waiting in the queue of a notebook that is gone."
        if again.state == "queued"
        else f"The training process ended at step {again.step:,} without a word (killed, out of memory, or power lost)."
    )
    return replace(
        again,
        state="interrupted",
        message=message,
        hint="Press Resume to go on from the newest checkpoint.",
        eta=None,
        tokens_per_second=None,
    )


def _is_plausible(status: Status) -> bool:
    process = status.process
    if process is None:
        return False
    if process.is_here:
        return process.is_alive()
    return time.time() - status.heartbeat < SILENT_AFTER
