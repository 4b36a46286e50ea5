"""What a run says of itself, and what can be believed of it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from tb_widgets.runs.durable import read_json, replace_json
from tb_widgets.runs.numbers import finite
from tb_widgets.runs.process import ProcessIdentity

State = Literal["queued", "preparing", "running", "paused", "stopping", "done", "stopped", "failed", "interrupted"]
ACTIVE: frozenset[str] = frozenset({"queued", "preparing", "running", "paused", "stopping"})
AT_REST: dict[str, Any] = {"eta": None, "tokens_per_second": None, "examples_per_second": None}
"""What a status says of the speed of a run that does not compute."""
SILENT_AFTER = 60.0  # seconds without a heartbeat after which a process on another machine is given up


def _finite_only(metrics: Any) -> Any:
    """Leave out metrics that are null, which stands for a non-finite value, or are no numbers at all."""
    if not isinstance(metrics, dict):
        return None
    return {key: number for key, value in metrics.items() if (number := finite(value)) is not None}


def _whole_best(best: Any) -> Any:
    """Leave out a best checkpoint that does not say its step and its metric."""
    found = best if isinstance(best, dict) else {}
    step, monitor, value = finite(found.get("step")), found.get("monitor"), finite(found.get("value"))
    if step is None or value is None or not isinstance(monitor, str):
        return None
    return {"step": int(step), "monitor": _writable(monitor), "value": value}


def _writable(text: str) -> str:
    """Return a text as every encoding can write it: half a character, as JSON may hold, becomes a question mark."""
    return text.encode(errors="replace").decode()


# A status file may come from anywhere, and what it says is computed with and shown: numbers are finite and of a size
# that a clock, a count or a page can take.
_Text = Annotated[str, AfterValidator(_writable)]
_Count = Annotated[int, Field(ge=0, lt=2**63)]
_Seconds = Annotated[float, Field(ge=0, lt=1e12)]
_Number = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class Status:
    """The content of ``status.json``: one small snapshot, replaced whole.

    ``heartbeat``, ``created`` and ``queued_at`` (when it began to wait for its turn; None for a run that does not
    wait) are seconds since the epoch; ``elapsed`` (training time without pauses) and
    ``eta`` are seconds; ``tokens_per_second`` is the speed since the last report, ``examples_per_second`` that of a
    model which reads no tokens. ``remedy`` holds, by their paths, the settings with which a run that failed would
    probably not fail so again. ``lost`` says that one of its several processes was lost, which ended it; ``restarts``
    is how often it has resumed by itself since somebody started it. ``visitor`` is who started the run from a
    shared page; empty for the owner. ``ranks`` says how many processes train together on how many ``machines``, and by
    what they exchange gradients; empty for one alone.
    """

    state: State = "queued"
    phase: _Text = ""
    message: _Text = ""
    hint: _Text = ""
    remedy: Annotated[dict[_Text, float] | None, BeforeValidator(_finite_only)] = None
    lost: bool = False
    restarts: _Count = 0
    step: _Count = 0
    total: _Count = 0
    pid: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    process_started: _Seconds = 0.0
    process_since_boot: _Seconds = 0.0
    host: _Text = ""
    heartbeat: _Seconds = 0.0
    created: _Seconds = 0.0
    queued_at: _Seconds | None = None
    elapsed: _Seconds = 0.0
    eta: _Seconds | None = None
    progress: _Number | None = None
    tokens_per_second: _Number | None = None
    examples_per_second: _Number | None = None
    name: _Text = ""
    visitor: _Text = ""
    model: _Text = ""
    task: _Text = ""
    data: _Text = ""
    parameters: _Count | None = None
    device: _Text = ""
    ranks: _Text = ""
    machines: _Count = 1
    threads: _Count | None = None
    metrics: Annotated[dict[_Text, float] | None, BeforeValidator(_finite_only)] = None
    best: Annotated[dict[str, Any] | None, BeforeValidator(_whole_best)] = None

    @property
    def is_active(self) -> bool:
        """Whether a process is, or will be, at work on this run."""
        return self.state in ACTIVE

    @property
    def is_waiting(self) -> bool:
        """Whether the run waits for its turn; any process that tends the queue of its folder will start it."""
        return self.state == "queued" and self.queued_at is not None

    @property
    def process(self) -> ProcessIdentity | None:
        """The process that wrote this status, if any."""
        if self.pid is None:
            return None
        return ProcessIdentity(self.pid, self.process_started, self.host, self.process_since_boot)


_STATUS = TypeAdapter(Status)  # passes over the fields of a newer version


def write_status(path: Path, status: Status) -> None:
    """Replace ``status.json`` atomically."""
    replace_json(path, asdict(status))


def read_status(path: Path) -> Status:
    """Return what ``status.json`` says, without believing it; a missing or damaged file is an interrupted run."""
    try:
        found = read_json(path)
        if not isinstance(found, dict):
            raise TypeError("not a mapping")  # noqa: TRY301
        state = found.get("state", "queued")
        if state not in get_args(State):
            message = f"The status file holds an unknown state {str(state)[:40]!r}."
            found |= {"state": "interrupted", "message": message}
        return _STATUS.validate_python(found)
    except FileNotFoundError:
        return Status(state="interrupted", message="This run has no status file: it was cut off while it was created.")
    except ValidationError as error:
        wrong = ", ".join(sorted({str(detail["loc"][0]) for detail in error.errors()}))
        return Status(state="interrupted", message=f"The status file can't be read (damaged: {wrong}).")
    except (OSError, ValueError, TypeError) as error:
        return Status(state="interrupted", message=f"The status file can't be read ({error}).")


def observe(path: Path) -> Status:
    """Return the status as it can be believed: an active run whose process is gone is *interrupted*."""
    status = read_status(path)
    if not status.is_active or _is_plausible(status):
        return status
    # Between our look at the file and our look at the process, that process may have finished, and another one may
    # have resumed the run.
    again = read_status(path)
    if not again.is_active or _is_plausible(again):
        return again
    message = (
        "It had not started when the process that managed it ended."
        if again.state == "queued"
        else (
            f"The training process stopped unexpectedly at step {again.step:,} (killed, out of memory, or power loss)."
        )
    )
    return replace(
        again,
        state="interrupted",
        message=message + again_in_words(again.restarts),
        hint=f"Press Resume to {'continue from the newest checkpoint' if again.step else 'begin again'}.",
        **AT_REST,
    )


def again_in_words(restarts: int) -> str:
    """Return what is to be added where a run was lost that has resumed by itself before.

    >>> again_in_words(0), again_in_words(2)
    ('', ' It had resumed automatically 2 times before.')
    """
    return (
        f" It had resumed automatically {'once' if restarts == 1 else f'{restarts} times'} before." if restarts else ""
    )


def _is_plausible(status: Status) -> bool:
    if status.is_waiting:
        return True  # the queue is the folder's: whoever has let it wait may be gone
    process = status.process
    if process is None:
        return False
    if process.is_here:
        return process.is_alive()
    return time.time() - status.heartbeat < SILENT_AFTER
