"""Which device, and how many threads."""

from __future__ import annotations

import os

import torch

from tb_widgets.errors import TrainingError
from tb_widgets.spec import HardwareSpec


def choose_device(name: str) -> torch.device:
    """Return the device of a spec: ``auto`` takes a GPU where there is one.

    Raises
    ------
    TrainingError
        If the device that was asked for is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there[device.type]:
        raise TrainingError(
            f"hardware.device is {name}, but PyTorch sees no such device on this machine.",
            hint="Set it to auto or cpu; in Colab choose Runtime, Change runtime type, GPU.",
        )
    return device


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_threads(hardware: HardwareSpec, *, parameters: int, tokens_per_pass: int) -> int:
    """Return the number of intra-op threads of a process on a CPU; several processes share the cores.

    ``auto`` depends on the spec and the machine only, never on a stopwatch, so that the same run repeats bit for bit:
    below about 2e9 multiplications a pass, handing work to a second thread costs more than it gains.
    """
    if hardware.threads != "auto":
        return int(hardware.threads)
    return 1 if parameters * tokens_per_pass < 2e9 else max(1, usable_cores() // hardware.processes)


def describe_device(device: torch.device, processes: int = 1) -> str:
    """Return a device's name for people, for example ``CPU`` or ``2 x Tesla T4``."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    return name if processes == 1 else f"{processes} x {name}"
