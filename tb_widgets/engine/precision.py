"""The dtype of the forward pass, and the loss scale that half precision needs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from tb_widgets.errors import TrainingError


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype of the forward pass; ``auto`` takes half precision on GPUs only.

    Raises
    ------
    TrainingError
        If the device can't compute in the dtype that was asked for.
    """
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
    if dtype == torch.float16 and device.type != "cuda":
        raise TrainingError(
            f"training.precision is fp16, which needs an NVIDIA GPU; this run uses {device.type}.",
            hint="Set it to auto, bf16 or fp32.",
        )
    return dtype


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Return the context in which the forward pass runs."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def loss_scaler(device: torch.device, dtype: torch.dtype) -> torch.amp.GradScaler:
    """Return what scales the loss up and the gradients down: fp16 needs it, for any other dtype it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
