"""A worker that is killed twenty times, wherever it stands, computes what an undisturbed one computes."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tb_widgets import TrainingService
from tb_widgets.runs import RunDirectory
from tb_widgets.runs.journal import read_records
from tb_widgets.runs.process import ProcessIdentity
from tb_widgets.runs.status import read_status
from tb_widgets.service.workers import train as worker
from tests.service.conftest import end_all

from .conftest import computed, final_weights

pytestmark = [pytest.mark.fault, pytest.mark.timeout(240)]

KILLS = 20
# Testing and saving take most of the time, so that a random moment often falls into them.
OFTEN = {
    "training.steps": 400,
    "evaluation.every": 10,
    "evaluation.batches": 5,
    "checkpoints.every": 5,
    "checkpoints.keep_best": 1,
}


class ForkedWorker:
    """A real worker process, forked from one that has imported torch already: twenty of them take no minute."""

    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["tb_widgets.engine.session"])

    def __init__(self) -> None:
        asks, self._tell = self.forks.Pipe(duplex=False)
        self._process = self.forks.Process(target=be_a_worker, args=(asks,))
        self._process.start()
        asks.close()

    @property
    def identity(self) -> ProcessIdentity | None:
        return ProcessIdentity.of(self._process.pid or 0)

    def train(self, run: Path, _on_exit: Callable[[int, str], None]) -> None:
        self._tell.send_bytes(json.dumps({"run": str(run)}).encode() + b"\n")


def be_a_worker(asks: Connection) -> None:
    """What ``python -m tb_widgets.service.workers.train`` does, told through a pipe of multiprocessing."""
    sys.stdin = io.StringIO(asks.recv_bytes().decode())
    worker.main()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrainingService]:
    monkeypatch.setattr("tb_widgets.service.service.WaitingWorker", ForkedWorker)
    training = TrainingService(tmp_path / "runs")
    yield training
    end_all(training)


def half_written(run: RunDirectory) -> list[str]:
    return [path.name for path in run.checkpoints_folder.glob(".step-*.tmp")]


def after(seconds: float) -> Callable[[RunDirectory], bool]:
    moment = time.perf_counter() + seconds
    return lambda _run: time.perf_counter() >= moment


def while_saving(run: RunDirectory) -> bool:
    return bool(half_written(run))


def kill_when(run: RunDirectory, happens: Callable[[RunDirectory], bool], pid: int) -> None:
    deadline = time.monotonic() + 60
    while not happens(run):
        assert time.monotonic() < deadline
        assert run.status().is_active, f"it ended before it could be killed: {run.status().message}"
    os.kill(pid, signal.SIGKILL)


def training_seconds(run: RunDirectory) -> float:
    moments = {event["kind"]: event["time"] for event in read_records(run.events_file)}
    return float(moments["finished"] - moments["phase"])


@pytest.mark.parametrize("seed", [1])
def test_killed_twenty_times_and_still_the_same_run(service, tiny, until, seed):
    chance = random.Random(seed)
    undisturbed = service.start(tiny(OFTEN))
    assert service.wait(undisturbed, 120) == "done", undisturbed.status().message
    # Even if every life lasted its longest, the kills would be over before the training is, on any machine.
    share = training_seconds(undisturbed) / (2 * KILLS)
    run = service.start(tiny(OFTEN))
    at_kill: list[str] = []
    for kill in range(KILLS):
        pid = run.status().pid
        if kill % 4 == 0:  # starting: reading the text, building the model, going back to a checkpoint
            kill_when(run, after(chance.uniform(0.0, 4 * share)), pid)
        else:
            until(lambda: run.status().state == "running")
            kill_when(run, while_saving if kill % 4 == 1 else after(chance.uniform(0.0, share)), pid)
        last = until(lambda: None if run.status().is_active else run.status())
        assert last.state == "interrupted"
        at_kill.append(f"{'saving' if half_written(run) else read_status(run.status_file).state} at {last.step}")
        service.resume(run)
    assert service.wait(run, 120) == "done", run.status().message
    where = {moment.split()[0] for moment in at_kill}
    assert {"saving", "running"} < where, at_kill  # and some before the first step
    assert [line["step"] for line in computed(run)] == list(range(401))
    assert computed(run) == computed(undisturbed)
    assert final_weights(run) == final_weights(undisturbed)
    assert half_written(run) == []
