"""What a run ran on: enough to say later why two runs differ."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

from tb_widgets.engine.hardware import describe_device, usable_cores
from tb_widgets.spec import RunSpec
from tb_widgets.version import __version__

PACKAGES = ("torch", "numpy", "tokenizers", "safetensors", "pydantic", "ipywidgets", "anywidget", "plotly", "voila")


def snapshot_environment(
    spec: RunSpec, *, device: torch.device, data_fingerprint: str, model_origin: dict[str, Any]
) -> dict[str, Any]:
    """Return what ``environment.json`` holds: software, hardware, code version, seeds, data and model hashes."""
    return {
        "tb_widgets": __version__,
        "python": sys.version,
        "platform": platform.platform(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "hardware": {
            "device": describe_device(device),
            "cores": usable_cores(),
            "threads": torch.get_num_threads(),
            "memory_bytes": psutil.virtual_memory().total,
            "processor": platform.processor() or platform.machine(),
        },
        "git": git_state(Path.cwd()),
        "seed": spec.training.seed,
        "deterministic": spec.training.deterministic,
        "data_fingerprint": data_fingerprint,
        "model": model_origin,
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return commit and dirtiness of the checkout that a folder is in; None outside one, or without git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _git(folder: Path, *words: str) -> str:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(folder), *words]
    result = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True, env=environment)
    return result.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
