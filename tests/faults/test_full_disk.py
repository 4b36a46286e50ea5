"""A disk that fills while a run trains: what was saved stays whole, and with room again the run goes on."""

from __future__ import annotations

import contextlib
import shutil

import pytest

from tb_widgets import TrainingService
from tb_widgets.runs.checkpoints import verify
from tests.service.conftest import end_all

from .conftest import assert_readable, computed, final_weights

pytestmark = pytest.mark.fault

STEPS = {"training.steps": 300, "evaluation.every": 20, "checkpoints.every": 10, "checkpoints.keep_best": 1}


@pytest.fixture
def disk_service(small_disk):
    training = TrainingService(small_disk / "runs")
    yield training
    end_all(training)


@pytest.mark.parametrize("left", [60_000, 0], ids=["no-room-for-a-checkpoint", "no-room-at-all"])
def test_a_disk_that_fills_ends_the_run_in_words_and_loses_nothing(disk_service, service, tiny, until, left):
    small_disk = disk_service.runs_dir.parent
    undisturbed = service.start(tiny(STEPS))
    run = disk_service.start(tiny(STEPS))
    until(run.checkpoints)
    disk_service.pause(run)
    until(lambda: run.status().state == "paused")
    # What the pause found half written is written to its end, while the disk still has room for it.
    until(lambda: run.checkpoints()[-1].step == run.status().step // 10 * 10)
    saved = run.checkpoints()
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while shutil.disk_usage(small_disk).free > left and file.write(b"x" * 4096):
            pass
    disk_service.resume(run)

    assert disk_service.wait(run, 60) == "failed", run.status()
    assert f"The disk that holds {run.path}" in run.status().message
    assert "is full" in run.status().message
    assert "Free some space, then press Resume" in run.status().hint
    assert [info.step for info in run.checkpoints()] == [info.step for info in saved]
    for info in run.checkpoints():
        verify(info.path)

    filler.unlink()
    disk_service.resume(run)
    assert disk_service.wait(run, 90) == "done", run.status().message
    assert service.wait(undisturbed, 90) == "done"
    assert computed(run) == computed(undisturbed)
    assert final_weights(run) == final_weights(undisturbed)
    assert_readable(disk_service.runs_dir)
