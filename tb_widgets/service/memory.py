"""How much memory a run will probably need, told from its sizes before anything of it runs."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from typing import Literal

import psutil

from tb_widgets.models.describe import ModelSummary
from tb_widgets.spec import RunSpec

# Weights, gradients and AdamW's two moments, each in 32-bit numbers.
BYTES_PER_PARAMETER = 16
PROCESS = 300_000_000  # bytes of a training process that has imported PyTorch and done nothing yet
# What a layer keeps of a token for the backward pass, in numbers as wide as the model: norms, the three inputs of
# attention and its result, and the hidden layer of the MLP, four times as wide, before and after its activation.
NUMBERS_PER_LAYER = 16
TIGHT = 0.6  # of the memory


@dataclass(frozen=True)
class MemoryNeed:
    """What a run will probably need, and what there is. All in bytes.

    Attributes
    ----------
    states
        Weights, gradients and optimiser.
    activations
        What the backward pass keeps of a micro-batch; ``None`` where the model's sizes are not known.
    there
        Memory of the device.
    device
        ``this machine`` or the name of its GPU.
    """

    states: int
    activations: int | None
    there: int
    device: str

    @property
    def total(self) -> int:
        """All of it, as it would be measured."""
        process = PROCESS if self.device == "this machine" else 0
        return self.states + (self.activations or 0) + process

    @property
    def verdict(self) -> Literal["fits", "tight", "too large", "impossible"]:
        """Whether it fits; ``impossible`` where weights and optimiser alone do not."""
        if self.states > self.there:
            return "impossible"
        return "too large" if self.total > self.there else "tight" if self.total > TIGHT * self.there else "fits"


def memory_need(spec: RunSpec, parameters: int, model: ModelSummary | None = None) -> MemoryNeed:
    """Return what a run would need.

    Parameters
    ----------
    parameters
        Of the model.
    model
        Its sizes, where they are known without running it.
    """
    there, device = _memory(spec.hardware.device)
    activations = None
    sizes = model.sizes if model is not None else {}
    if sizes:
        rows = spec.training.micro_batch_size or spec.training.batch_size
        tokens = rows * sizes.get("tokens", spec.data.context_length)
        kept = NUMBERS_PER_LAYER * sizes["n_embd"] * sizes["n_layer"] * sizes.get("stacks", 1)
        # Logits, their probabilities and their gradient.
        activations = 4 * tokens * (kept + 3 * (sizes.get("vocab_size") or 0))
    averages = 4 if spec.training.averaging is not None else 0
    return MemoryNeed((BYTES_PER_PARAMETER + averages) * parameters, activations, there, device)


def has_gpu() -> bool:
    """Whether there is an NVIDIA GPU that its driver knows."""
    return _gpu() is not None


def _memory(device: str) -> tuple[int, str]:
    gpu = None if device == "cpu" else _gpu()
    return gpu or (psutil.virtual_memory().total, "this machine")


@cache
def _gpu() -> tuple[int, str] | None:
    """Return memory and name of the first NVIDIA GPU; asked of its driver, since a form loads no PyTorch."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    query = [command, "--query-gpu=memory.total,name", "--format=csv,noheader,nounits", "--id=0"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True).stdout
        megabytes, _, name = told.strip().partition(", ")
        return int(megabytes) * 2**20, name
    except (OSError, ValueError, subprocess.SubprocessError):
        return None  # a driver that can't answer has no device to train on either
