"""Pausing, saving, refusing, attaching: one run that all these tests steer."""

from __future__ import annotations

import psutil
import pytest

from tb_widgets import Run, TrainingService
from tb_widgets.errors import RunError
from tb_widgets.runs.checkpoints import verify

from .conftest import events


def test_a_paused_run_waits_in_memory_and_computes_nothing(endless, until):
    service, run = endless
    service.pause(run)
    until(lambda: run.status().state == "paused")
    worker = psutil.Process(run.status().pid)

    def cpu_seconds():
        times = worker.cpu_times()
        return times.user + times.system

    step, before, beat = run.status().step, cpu_seconds(), run.status().heartbeat
    until(lambda: run.status().heartbeat > beat + 1.5)
    assert worker.is_running()
    assert run.status().step == step
    assert cpu_seconds() - before < 0.4  # it looks at its control folder; training would take 1.5 s

    service.resume(run)
    until(lambda: run.status().step > step)
    assert run.status().pid == worker.pid
    assert run.status().state == "running"


def test_save_now_writes_a_checkpoint_between_the_regular_ones(endless, until):
    service, run = endless
    seen = len(events(run, "checkpoint"))
    service.save_now(run)
    until(lambda: not run.control.is_requested("save-now"))
    new = until(lambda: [e for e in events(run, "checkpoint")[seen:] if e["step"] % 500])
    path = run.checkpoints_folder / f"step-{new[0]['step']:08d}"
    until(lambda: path.exists() and verify(path))


def test_another_service_finds_the_run_and_may_steer_it_but_not_start_it_twice(endless):
    _, run = endless
    other = TrainingService(run.path.parent)
    found = other.attach(run.id[-4:])
    assert found.path == run.path
    assert [entry.run.id for entry in other.runs()] == [run.id]
    assert [active.id for active in other.active()] == [run.id]
    with pytest.raises(RunError, match=f"{run.id} is already running"):
        other.resume(found)
    with pytest.raises(TimeoutError, match=r"still running after 0\.1 seconds"):
        other.wait(found, timeout=0.1)
    with pytest.raises(TimeoutError, match=f"{run.id} is still running"):
        Run(run.path).wait(timeout=0.1, show_progress=True)


def test_a_second_trainer_is_refused_by_the_lock(endless):
    from tb_widgets.engine.session import train_run

    _, run = endless
    with pytest.raises(RunError, match="already being trained by another process"):
        train_run(run)
    assert run.status().state == "running"  # and the first one was not disturbed
