"""What a run would be like on this machine: what was measured. Importing this file imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from tb_widgets.wording import duration

_CLEAR = 1.03  # times as fast: less is within what a machine's speed wanders
_LITTLE, _NOTHING = 0.05, 0.005  # share of the first loss that must go in overfitting one batch


@dataclass(frozen=True)
class Speed:
    """How many tokens (or images) a second there are with so many threads, or so many rows in a micro-batch."""

    count: int
    per_second: float


@dataclass(frozen=True)
class Preflight:
    """What was measured of the run that a spec describes. ``None`` where time did not suffice; see ``left_out``.

    Attributes
    ----------
    task, parameters, device
        What is trained, and where.
    batch
        The micro-batch that was measured, in words; it has the greatest length that a batch can have.
    whole_batch
        Whether all rows of the micro-batch were measured at once; otherwise time sufficed for fewer, and the run needs
        more memory than ``peak_bytes``.
    peak_bytes
        Highest use of memory in a training step: of the device, or of the whole process on a CPU.
    memory_bytes
        How much there is.
    step_seconds
        One step with the whole batch.
    per_second, unit
        Speed of training, in ``tokens`` or ``images``.
    eta
        Seconds for all steps of the spec with their evaluations; checkpoints and the preparation of the data come on
        top.
    first_loss, even_guess
        Loss of the fresh model and of somebody who knows nothing, in nats.
    overfit_steps, overfit_loss
        Steps on one and the same small batch, and the loss after them.
    overfit
        ``pass`` if the loss fell by 5 % or more, ``warn`` if by less, ``fail`` if not: such a model learns nothing.
    threads
        Speeds for numbers of threads, on a CPU.
    threads_used
        The number of threads that the run would use.
    micro_batches
        Speeds for micro-batches of so many rows, where asked for.
    needs_checkpointing
        Whether memory sufficed only with activations computed again, as all was measured from then on.
    deterministic_cost
        How many times as long a pass takes with deterministic algorithms, on a GPU.
    deterministic_problem
        Why they can't be used; empty where they can, or on a CPU.
    compile_seconds, compile_gain
        How long compiling the model took, and how many times as fast a pass is then; where asked for.
    compile_saves
        Seconds that it takes off the whole run, with the compiling itself; below 0 the run takes longer.
    compile_problem
        Why it can't be compiled; empty where it can be, or nobody asked.
    left_out
        What time did not suffice for, in words.
    seconds
        How long all this took.
    """

    task: str = ""
    parameters: int = 0
    device: str = ""
    batch: str = ""
    whole_batch: bool = True
    peak_bytes: int | None = None
    memory_bytes: int | None = None
    step_seconds: float | None = None
    per_second: float | None = None
    unit: str = "tokens"
    eta: float | None = None
    first_loss: float | None = None
    even_guess: float | None = None
    overfit_steps: int = 0
    overfit_loss: float | None = None
    threads: tuple[Speed, ...] = ()
    threads_used: int | None = None
    micro_batches: tuple[Speed, ...] = ()
    needs_checkpointing: bool = False
    deterministic_cost: float | None = None
    deterministic_problem: str = ""
    compile_seconds: float | None = None
    compile_gain: float | None = None
    compile_saves: float | None = None
    compile_problem: str = ""
    left_out: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def best_threads(self) -> int | None:
        """The number of threads that was fastest."""
        return max(self.threads, key=lambda speed: speed.per_second).count if self.threads else None

    @property
    def best_micro_batch(self) -> int | None:
        """The micro-batch that was fastest, in rows."""
        return max(self.micro_batches, key=lambda speed: speed.per_second).count if self.micro_batches else None

    @property
    def overfit(self) -> Literal["pass", "warn", "fail", "unknown"]:
        """Whether the model can learn one batch by heart, or is on the way to."""
        if self.overfit_loss is None or not self.first_loss:
            return "unknown"
        fell = 1 - self.overfit_loss / self.first_loss
        return "pass" if fell >= _LITTLE else "warn" if fell >= _NOTHING else "fail"

    def to_mapping(self) -> dict[str, Any]:
        """Return the measurements as plain values that JSON can hold, with what follows from them."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("threads", "micro_batches"):
            plain[name] = [{"count": speed.count, "per_second": speed.per_second} for speed in plain[name]]
        plain["left_out"] = list(self.left_out)
        return plain | {
            "best_threads": self.best_threads,
            "best_micro_batch": self.best_micro_batch,
            "overfit": self.overfit,
        }


def read_preflight(plain: dict[str, Any]) -> Preflight:
    """Return the measurements that :meth:`Preflight.to_mapping` wrote; what is missing was not measured."""
    known = {field.name: plain[field.name] for field in fields(Preflight) if field.name in plain}
    for name in ("threads", "micro_batches"):
        known[name] = tuple(Speed(**speed) for speed in known.get(name, ()))
    return Preflight(**known | {"left_out": tuple(known.get("left_out", ()))})


def compiling_in_words(measured: Preflight) -> str:
    """Return what compiling brings a run, and whether to set it; empty where that was not measured.

    >>> compiling_in_words(Preflight(compile_seconds=40, compile_gain=1.25, compile_saves=100.0))
    '40 s to compile, then 1.25 times as fast: the whole run takes 1:40 less. Set hardware.compile to true'
    """
    if measured.compile_problem:
        return measured.compile_problem
    if measured.compile_seconds is None or measured.compile_gain is None or measured.compile_saves is None:
        return ""
    cost, saved = f"{measured.compile_seconds:.0f} s to compile, then", measured.compile_saves
    if measured.compile_gain < _CLEAR:
        return f"{cost} no faster. Leave hardware.compile at false"
    cost = f"{cost} {measured.compile_gain:.2f} times as fast:"
    if saved <= 0:
        return f"{cost} too little for a run this short. Leave hardware.compile at false"
    return f"{cost} the whole run takes {duration(saved)} less. Set hardware.compile to true"


def determinism_in_words(measured: Preflight) -> str:
    """Return what deterministic algorithms cost a run; empty where that was not measured.

    >>> determinism_in_words(Preflight(deterministic_cost=1.25))
    'training.deterministic makes a pass 1.25 times as long'
    """
    if measured.deterministic_problem or measured.deterministic_cost is None:
        return measured.deterministic_problem
    if measured.deterministic_cost < _CLEAR:
        return "training.deterministic costs nothing that could be measured"
    return f"training.deterministic makes a pass {measured.deterministic_cost:.2f} times as long"


def checkpointing_in_words(measured: Preflight) -> str:
    """Return that activations have to be computed again; empty where they need not."""
    if not measured.needs_checkpointing:
        return ""
    return (
        f"{measured.batch} do not fit into memory as they are. Set training.activation_checkpointing to true, as was "
        "measured here, or training.micro_batch_size to less"
    )
