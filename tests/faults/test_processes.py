"""Several processes train one model: the same curve as one alone, and a lost one ends the run in words."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from tb_widgets.runs.journal import read_records
from tb_widgets.service.service import TrainingService

pytestmark = pytest.mark.fault
FIELDS = {
    "model.config": {"n_layer": 1, "n_head": 2, "n_embd": 16},
    "training.batch_size": 8,
    "training.steps": 200,
    "evaluation.every": 50,
    "checkpoints.every": 50,
}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    training = TrainingService(tmp_path_factory.mktemp("processes"))
    yield training
    for run in training.active():
        training.kill(run)


@pytest.fixture(scope="module")
def alone(service, tiny):
    run = service.start(tiny(FIELDS))
    assert service.wait(run, timeout=120) == "done"
    return losses(run)


def losses(run):
    return [line["train/loss"] for line in read_records(run.metrics_file) if "train/loss" in line]


@pytest.mark.parametrize(("processes", "sharding"), [(2, "none"), (4, "none"), (2, "full")])
def test_several_processes_follow_the_curve_of_one(service, tiny, alone, processes, sharding):
    run = service.start(tiny(FIELDS | {"hardware.processes": processes, "hardware.sharding": sharding}))
    assert service.wait(run, timeout=150) == "done", run.status().message
    assert losses(run) == pytest.approx(alone, abs=1e-5)
    assert run.status().device == f"{processes} x CPU"
    assert run.status().ranks == f"{processes} processes, gloo{', sharded' * (sharding == 'full')}"


def ranks_of(run):
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if (words := process.info["cmdline"] or [])
        and "tb_widgets.service.workers.rank" in words
        and "torch.distributed.run" not in words
        and str(run.path) in words
    ]


def test_a_lost_process_ends_the_run_in_words_and_a_resume_goes_on_to_the_same_weights(service, tiny, alone, until):
    fields = {"hardware.processes": 2, "hardware.restarts": 0, "training.steps": 100_000, "evaluation.every": 1000}
    run = service.start(tiny(FIELDS | fields))
    until(lambda: run.checkpoints() and run.status().state == "running", within=90)
    (other,) = (process for process in ranks_of(run) if process.pid != run.status().pid)
    os.kill(other.pid, signal.SIGKILL)
    until(lambda: not run.status().is_active, within=60)
    assert run.status().state == "interrupted"
    assert run.status().message == "One of the training processes was lost."
    until(lambda: not ranks_of(run), within=60)
    step = run.checkpoints()[-1].step
    service.resume(run)
    until(lambda: run.status().state == "running" and run.status().step > step, within=90)
    service.stop(run)
    assert service.wait(run, timeout=60) == "stopped"
    assert run.checkpoints()[-1].step == run.status().step
    until(lambda: not ranks_of(run), within=30)
