"""Real worker processes, shared where a test leaves them as they were."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tb_widgets.errors import RunError
from tb_widgets.runs import RunDirectory
from tb_widgets.runs.journal import read_records
from tb_widgets.service.service import TrainingService
from tb_widgets.spec import RunSpec

CANARIES = {
    "HF_TOKEN": "canary0001",
    "WANDB_API_KEY": "canary0002",
    "AWS_SECRET_ACCESS_KEY": "canary0003",
    "PROXY_WITH_LOGIN": "http://me:canary0004@proxy.example:3128",
    "LUGGAGE": "canary0005",  # a name that nobody would take for a secret
}
SPEED = ("time", "tokens_per_second", "examples_per_second")  # what two runs of the same spec may differ in


def computed(run: RunDirectory) -> list[dict[str, Any]]:
    """The journal without the fields that a stopwatch decides."""
    return [{k: v for k, v in line.items() if k not in SPEED} for line in read_records(run.metrics_file)]


def events(run: RunDirectory, kind: str) -> list[dict[str, Any]]:
    """The events of one kind, in order."""
    return [event for event in read_records(run.events_file) if event["kind"] == kind]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[TrainingService]:
    """A service of its own runs folder; what still runs at the end is ended."""
    training = TrainingService(tmp_path / "runs")
    yield training
    end_all(training)


@pytest.fixture
def endless(waiting: Any, until: Callable[..., Any]) -> Any:
    """A service and a run of its that trains for as long as the test takes, and is then put to rest for the next."""
    training, run = waiting
    training.resume(run)
    until(lambda: run.status().state == "running")
    yield training, run
    training.pause(run)
    until(lambda: run.status().state == "paused")


@pytest.fixture(scope="session")
def waiting(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., RunSpec], until: Callable[..., Any]) -> Any:
    """A paused run with one checkpoint, started from a process that had secrets in its environment."""
    training = TrainingService(tmp_path_factory.mktemp("endless"))
    training.close()  # a worker that waits already would not have seen the secrets
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CANARIES.items():
            patch.setenv(name, value)
        run = training.start(tiny({"training.steps": 10_000_000, "evaluation.every": 500, "checkpoints.every": 500}))
    until(run.checkpoints)
    training.pause(run)
    until(lambda: run.status().state == "paused")
    yield training, run
    end_all(training)


def end_all(training: TrainingService) -> None:
    """End every worker of a folder."""
    training.close()
    for run in training.active():
        with contextlib.suppress(RunError):
            training.kill(run)
