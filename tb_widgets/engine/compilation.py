"""Training passes through a compiled model, as long as it can be compiled."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch

from tb_widgets.engine.failures import is_out_of_memory
from tb_widgets.engine.objective import prediction_loss
from tb_widgets.engine.precision import autocast
from tb_widgets.errors import print_traceback, quoted
from tb_widgets.models.load import LoadedModel
from tb_widgets.models.undisturbed import undisturbed
from tb_widgets.runs.journal import JournalWriter
from tb_widgets.spec.batch import Batch

_LONGEST = 200  # characters of a reason
Result = TypeVar("Result")


def missing_compiler(device: torch.device) -> str:
    """Return why nothing can be compiled for a device here; empty where nothing is known to be missing."""
    name = os.environ.get("CXX") or {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    if device.type != "cpu" or shutil.which(name):
        return ""
    return (
        f"hardware.compile needs a C++ compiler on a CPU, but {name} is missing: training continues uncompiled. "
        "Install it, or name yours in the environment variable CXX."
    )


def compiled(model: LoadedModel, batch: Batch) -> LoadedModel:
    """Return a model whose passes are compiled, at their first; its weights are those of the model.

    Batches with padding have many lengths, which one program then serves; others have one shape, or a few.
    """
    module = torch.compile(model.module, dynamic="mask" in batch)
    return replace(model, module=module)  # type: ignore[arg-type]


def one_pass(model: LoadedModel, batch: Batch, dtype: torch.dtype) -> None:
    """Compute the gradients of a batch on its device."""
    with autocast(batch["labels"].device, dtype):
        logits = model.logits(batch)
    prediction_loss(logits, batch["labels"]).backward()  # type: ignore[no-untyped-call]


def reason(error: BaseException) -> str:
    """Return what a compiler has to say, in a line: what a C++ compiler calls an error, or else the first one."""
    while isinstance(inner := getattr(error, "inner_exception", None), BaseException):
        error = inner
    lines = [line for line in str(error).splitlines() if line.strip()]
    told = next((line for line in lines if "error: " in line), lines[0] if lines else "")
    return f"{type(error).__name__}: {quoted(told, _LONGEST)}"


class Compilation:
    """Compiles a model for training. Validation and samples take the model as it is, and so do checkpoints.

    Parameters
    ----------
    model
        On its device.
    journal
        Where it is told.

    Attributes
    ----------
    model
        What training passes go through.
    """

    def __init__(self, model: LoadedModel, journal: JournalWriter) -> None:
        self._plain = self.model = model
        self._journal = journal

    @property
    def is_active(self) -> bool:
        """Whether training passes are compiled."""
        return self.model is not self._plain

    def begin(self, batch: Batch, dtype: torch.dtype, step: int) -> None:
        """Compile, with a pass on a batch of the usual shape that leaves no trace, or say why not."""
        began = time.perf_counter()
        self._journal.update(phase="Compiling the model", now=True)
        try:
            self.model = compiled(self._plain, batch)
            with undisturbed(self._plain.module, training=True):
                one_pass(self.model, batch, dtype)
        except Exception as error:  # noqa: BLE001 - compilers and models may raise anything, and it is told
            if not is_out_of_memory(error):  # the first step meets that again, and takes fewer rows
                self._give_up(error, step)
        if self.is_active:
            self._journal.event("compiled", step=step, seconds=round(time.perf_counter() - began, 1))
        self._journal.update(phase="Training", now=True)

    def attempt(self, work: Callable[[], Result], step: int, *, undo: Callable[[], None]) -> Result:
        """Return what some work returns; where a compiler fails in it, as for a new shape, it is done uncompiled."""
        try:
            return work()
        except Exception as error:
            if not (self.is_active and type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))):
                raise
            self._give_up(error, step)
        undo()
        return work()

    def _give_up(self, error: Exception, step: int) -> None:
        print_traceback()
        self.model = self._plain
        self._journal.event(
            "warning",
            step=step,
            message=f"The model can't be compiled; training continues uncompiled ({reason(error)}).",
        )
