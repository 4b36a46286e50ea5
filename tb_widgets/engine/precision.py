"""The dtype of the forward pass, and the loss scale that half precision needs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def choose_precision(name: str, device: torch.device) -> tuple[torch.dtype, str]:
    """Return the dtype of the forward pass, and why it is another one than was asked for.

    ``auto`` takes half precision on GPUs only. A device that lacks a precision computes in fp32, which is right
    everywhere: a run that was begun on a GPU can so go on anywhere.
    """
    has_bf16 = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    if name == "auto":
        if device.type != "cuda":
            return torch.float32, ""
        return torch.bfloat16 if has_bf16 else torch.float16, ""
    if name == "fp16" and device.type != "cuda":
        return torch.float32, f"training.precision fp16 needs an NVIDIA GPU: on this {device.type} it is fp32."
    if name == "bf16" and not has_bf16:
        return torch.float32, "training.precision bf16 needs an Ampere GPU or newer: on this one it is fp32."
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name], ""


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Return the context in which the forward pass runs."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def loss_scaler(device: torch.device, dtype: torch.dtype) -> torch.amp.GradScaler:
    """Return what scales the loss up and the gradients down: fp16 needs it, for any other dtype it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
