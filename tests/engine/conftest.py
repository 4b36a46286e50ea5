"""Training inside the test's own process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tb_widgets.engine.session import train_run
from tb_widgets.runs import RunDirectory, create_run
from tb_widgets.spec import RunSpec

torch.set_num_threads(1)  # models this small are slower on two threads


def losses(run: RunDirectory) -> list[float]:
    """The training loss of every step."""
    lines = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
    return [line["train/loss"] for line in lines if "train/loss" in line]


def weights_digest(checkpoint: Path) -> str:
    """One hash over the names, shapes and bytes of a checkpoint's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(checkpoint / "model.safetensors").items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


@pytest.fixture
def train(tmp_path: Path, new_run: Callable[..., RunDirectory]) -> Callable[..., RunDirectory]:
    """Train a spec here and now, and return the run."""

    def train_here(spec: RunSpec, module: nn.Module | None = None, **_: Any) -> RunDirectory:
        run = create_run(tmp_path, spec) if module is not None else new_run(tmp_path, spec)
        train_run(run, module=module)
        return run

    return train_here
