"""Why a training ended, whatever ended it, as a sentence with a way out."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import distributed

from tb_widgets.errors import DivergedError, MemoryShortError, ProcessLostError, TbError, TrainingError, quoted
from tb_widgets.spec import RATES, RunSpec

# PyTorch has an exception of its own for a full GPU only.
_RANK_LOST = ("gloo/transport", "Connection closed by peer")
_OUT_OF_MEMORY = ("DefaultCPUAllocator: ", "MPS backend out of memory", "std::bad_alloc")


def explain(error: BaseException) -> TbError:
    """Return an error as a sentence; one of ours is a sentence already.

    Code of a model may raise anything, ``SystemExit`` and ``KeyboardInterrupt`` too: no kind is left out.
    """
    if isinstance(error, TbError):
        return _not_deterministic(error.message) or error
    if isinstance(error, SystemExit):
        return TrainingError(
            f"The model's code, or a library it uses, called sys.exit({error.code!r}).",
            hint="Remove that call from model.py. The traceback is in the run's log.",
        )
    if isinstance(error, KeyboardInterrupt):
        return TrainingError(
            "The training was interrupted from within its process (KeyboardInterrupt).",
            hint="Press Resume to continue from the newest checkpoint.",
        )
    reason = str(error)
    if isinstance(error, distributed.DistError) or any(words in reason for words in _RANK_LOST):
        return ProcessLostError(
            "One of the training processes was lost.",
            hint="Press Resume to continue from the newest checkpoint. The run's log says why it ended.",
        )
    if is_out_of_memory(error):
        line = next(iter(reason.splitlines()), "out of memory")
        return MemoryShortError(
            f"The model and its batch do not fit into memory ({line.rpartition(_OUT_OF_MEMORY[0])[2]}).",
            hint="Set a micro-batch (Advanced), a smaller batch, or a shorter context.",
        )
    name = type(error).__name__
    return _not_deterministic(reason) or TrainingError(
        f"{name}: {quoted(reason)}" if reason else name, hint="The traceback is in the run's log."
    )


def _not_deterministic(reason: str) -> TrainingError | None:
    """Name the operation that PyTorch refuses in deterministic mode, if that is the reason."""
    found = re.search(r"(\S+) does not have a deterministic implementation", reason)
    return found and TrainingError(
        f"training.deterministic is true, and the model uses {found[1]}, which PyTorch can't compute "
        "deterministically on this device.",
        hint="Set training.deterministic to false, or remove that operation from the model.",
    )


def remedy(error: TbError, spec: RunSpec) -> dict[str, Any]:
    """Return the settings with which a run would probably not fail so again, by their paths; empty where none would.

    >>> remedy(DivergedError("NaN"), RunSpec.from_mapping({"training": {"learning_rate": 9}}))
    {'training.learning_rate': 0.003}
    """
    training = spec.training
    if isinstance(error, DivergedError):
        typical = RATES[training.optimizer].high  # a tenth of a wild rate is a wild rate
        return {"training.learning_rate": min(typical, float(f"{training.learning_rate / 10:.1g}"))}
    rows = training.micro_batch_size or training.batch_size
    if isinstance(error, MemoryShortError) and rows > 1:
        return {"training.micro_batch_size": rows // 2}
    return {}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory is short, of the machine or of its GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)
