"""What a run ran on: enough to say later why two runs differ."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path
from typing import Any

import psutil
import torch

from tb_widgets.engine.code_state import own_code, project_code
from tb_widgets.engine.hardware import describe_device, usable_cores
from tb_widgets.spec import RunSpec


def snapshot_environment(
    spec: RunSpec,
    *,
    device: torch.device,
    dtype: torch.dtype,
    threads: int,
    data_fingerprint: str,
    model_origin: dict[str, Any],
) -> dict[str, Any]:
    """Return what ``environment.json`` holds: the machine, what was chosen on it, seed, data and model checksums."""
    return {
        **machine_environment(device, project_folder(spec)),
        "threads": threads,
        "precision": str(dtype).removeprefix("torch."),
        "seed": spec.training.seed,
        "deterministic": spec.training.deterministic,
        "data_fingerprint": data_fingerprint,
        "model": model_origin,
    }


def project_folder(spec: RunSpec) -> Path:
    """Return the folder that the model's code lies in, where it is a path; otherwise the one that we work in."""
    path = Path(spec.model.source).expanduser()
    if not path.exists():  # zoo:gpt, a Gist, a repository, or a file that is gone
        return Path.cwd()
    return path if path.is_dir() else path.absolute().parent


def machine_environment(device: torch.device, project: Path) -> dict[str, Any]:
    """Return what is true of every run that this process would start here: software, code versions, hardware.

    ``project`` is the folder of the user's own code.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": installed_packages(),
        "code": {"tb_widgets": own_code(), "project": project_code(project)},
        "hardware": {
            "device": describe_device(device),
            "processor": platform.processor() or platform.machine(),
            "vector_instructions": torch.backends.cpu.get_cpu_capability(),
            "cores": usable_cores(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9),
            "cuda": torch.version.cuda if device.type == "cuda" else None,
            "cudnn": _cudnn() if device.type == "cuda" else None,
        },
    }


def _cudnn() -> int | None:
    version: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return version


def installed_packages() -> dict[str, str]:
    """Return the version of every installed package that Python finds, by its normalised name.

    Read from the names of their ``.dist-info`` folders: to open each one's metadata takes a second where there are
    hundreds, as in Colab.
    """
    found: dict[str, str] = {}
    for entry in sys.path:
        folder = Path(entry or ".")
        for info in folder.glob("*.dist-info") if folder.is_dir() else ():
            name, _, version = info.stem.partition("-")
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return dict(sorted(found.items()))
