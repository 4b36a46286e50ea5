"""Accidents on purpose: what they share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tb_widgets import TrainingService
from tb_widgets.runs import RunDirectory, list_entries
from tb_widgets.runs.checkpoints import verify
from tb_widgets.runs.journal import parse_lines, read_records
from tests.runs.conftest import mounted
from tests.service.conftest import end_all

SPEED = ("time", "tokens_per_second", "examples_per_second")  # what two runs of the same spec may differ in


def computed(run: RunDirectory) -> list[dict[str, Any]]:
    """The journal without the fields that a stopwatch decides; a damaged line fails."""
    data = run.metrics_file.read_bytes()
    assert len(parse_lines(data)) == data.count(b"\n"), "a line of the journal is damaged"
    return [{k: v for k, v in line.items() if k not in SPEED} for line in read_records(run.metrics_file)]


def final_weights(run: RunDirectory) -> str:
    """One hash over the weights of the newest checkpoint, all of whose files are as its manifest says."""
    newest = run.checkpoints()[-1]
    verify(newest.path)
    digest = hashlib.sha256(str(newest.step).encode())
    for name, tensor in sorted(load_file(newest.path / "model.safetensors").items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def assert_readable(runs_dir: Path) -> None:
    """Every run that is listed can be read, and its checkpoints are whole."""
    for entry in list_entries(runs_dir) if runs_dir.is_dir() else []:
        run = entry.run
        assert run.spec.training.steps > 0
        assert "damaged" not in entry.status.message
        read_records(run.metrics_file)
        for checkpoint in run.checkpoints():
            verify(checkpoint.path)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[TrainingService]:
    """A service of its own runs folder; what still runs at the end is ended."""
    training = TrainingService(tmp_path / "runs")
    yield training
    end_all(training)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB, which is some ten checkpoints of the tiny model."""
    folder = tmp_path / "disk"
    folder.mkdir()
    yield from mounted(folder, "size=2m")
