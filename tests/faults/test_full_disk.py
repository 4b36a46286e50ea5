"""A disk that fills while a run trains lets it wait: nothing is lost, and with room again it goes on."""

from __future__ import annotations

import contextlib
import io
import shutil

import pytest
from rich.console import Console

from tb_widgets import TrainingService
from tb_widgets.display.terminal import progress_lines
from tb_widgets.runs.checkpoints import verify
from tb_widgets.runs.journal import read_records
from tb_widgets.wording import listed, size_in_words
from tests.service.conftest import end_all

from .conftest import assert_readable, computed, final_weights

pytestmark = pytest.mark.fault

STEPS = {"training.steps": 300, "evaluation.every": 20, "checkpoints.every": 10}
STEPS |= {"checkpoints.keep_last": 3, "checkpoints.keep_best": 1}


@pytest.fixture
def disk_service(small_disk):
    training = TrainingService(small_disk / "runs")
    yield training
    end_all(training)


def fill(disk, left=0):
    with contextlib.suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
        while shutil.disk_usage(disk).free > left and file.write(b"x" * 4096):
            pass


def waiting(run):
    """Return the status of a run that has paused by itself."""
    status = run.status()
    return status if status.state == "paused" and status.message else None


@pytest.mark.parametrize("left", [60_000, 0], ids=["no-room-for-a-checkpoint", "no-room-at-all"])
def test_a_disk_that_fills_lets_the_run_wait_in_memory(disk_service, service, tiny, until, left):
    small_disk = disk_service.runs_dir.parent
    undisturbed = service.start(tiny(STEPS))
    run = disk_service.start(tiny(STEPS))
    until(lambda: len(run.checkpoints()) > 2)
    disk_service.pause(run)
    until(lambda: run.status().state == "paused")
    # What the pause found half written is written to its end, while the disk still has room for it.
    until(lambda: run.checkpoints()[-1].step == run.status().step // 10 * 10)
    saved = run.checkpoints()
    assert not run.status().message
    fill(small_disk, left)
    disk_service.resume(run)

    waits = until(lambda: waiting(run))
    assert waits.message.startswith("The disk is full: ")
    assert not left or "free, a checkpoint needs " in waits.message
    assert "Free some space, then press Resume" in waits.hint
    old = [info for info in saved[:-1] if not info.best]
    assert f"{listed([info.path.name for info in old], most=4)} in {run.checkpoints_folder}" in waits.hint
    assert f"({size_in_words(sum(info.size for info in old))})" in waits.hint
    assert saved[-1].path.name not in waits.hint, "neither the newest nor the best"
    assert [info.step for info in run.checkpoints()] == [info.step for info in saved]
    for info in run.checkpoints():
        verify(info.path)
    shown = Console(width=1000, record=True, file=io.StringIO())
    shown.print(*progress_lines(run.id, waits, 1000), sep="\n")
    assert f"{waits.message} {waits.hint}" in shown.export_text()

    disk_service.resume(run)  # too early
    until(lambda: run.control.is_requested("pause"))
    assert (run.status().state, run.status().pid) == ("paused", waits.pid)

    (small_disk / "filler").unlink()
    disk_service.resume(run)
    assert disk_service.wait(run, 90) == "done", run.status()
    assert (run.status().pid, run.status().message) == (waits.pid, ""), "the same process, all the time"
    assert service.wait(undisturbed, 90) == "done"
    assert computed(run) == computed(undisturbed)
    assert final_weights(run) == final_weights(undisturbed)
    assert [line["step"] for line in read_records(run.samples_file)][-1] == 300
    assert [info.step for info in run.checkpoints()] == [info.step for info in undisturbed.checkpoints()]
    assert_readable(disk_service.runs_dir)


def test_the_last_checkpoint_waits_for_room_as_well_and_who_stops_then_is_told(disk_service, tiny, until):
    once = {"training.steps": 40, "evaluation.every": 40, "checkpoints.every": 40}
    run = disk_service.start(tiny(once))
    until(lambda: run.status().state == "running")
    fill(disk_service.runs_dir.parent, 60_000)
    waits = until(lambda: waiting(run))
    assert waits.step == 40
    assert "You could delete" not in waits.hint
    disk_service.stop(run)
    assert disk_service.wait(run, 60) == "failed"
    assert "is full" in run.status().message
    (disk_service.runs_dir.parent / "filler").unlink()
    disk_service.resume(run)
    assert disk_service.wait(run, 60) == "done", run.status()
    assert [info.step for info in run.checkpoints()] == [40]
