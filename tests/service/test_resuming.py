"""A run that was cut in two equals one that was not."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tb_widgets.engine.session import train_run
from tb_widgets.errors import RunError
from tb_widgets.runs import CheckpointInfo, RunDirectory, Status
from tb_widgets.service.service import TrainingService

from .conftest import computed, events

STEPS = {"training.steps": 400, "evaluation.every": 50, "checkpoints.every": 50}


def digest(checkpoint: Path) -> str:
    found = hashlib.sha256()
    for name, tensor in sorted(load_file(checkpoint / "model.safetensors").items()):
        found.update(name.encode() + tensor.numpy().tobytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory, tiny):
    """The same spec, trained in one go, and in this process."""
    service = TrainingService(tmp_path_factory.mktemp("reference"))
    run = service.start(tiny(STEPS | {"hardware.backend": "kernel"}))
    assert service.wait(run, 120) == "done"
    return run


@pytest.mark.fault
@pytest.mark.parametrize("cut", ["stopped", "killed"])
def test_resume_repeats_the_uninterrupted_run_bit_for_bit(service, tiny, until, never_stopped, cut):
    run = service.start(tiny(STEPS | {"hardware.restarts": 0}))
    service.warm()  # the worker that will go on
    until(run.checkpoints)
    if cut == "stopped":
        service.stop(run)
        assert service.wait(run, 60) == "stopped"
        assert run.status().step == run.checkpoints()[-1].step
    else:
        os.kill(run.status().pid, signal.SIGKILL)
        until(lambda: run.status().state == "interrupted")
        assert "stopped unexpectedly at step" in run.status().message
        assert "Resume" in run.status().hint
    reached = run.checkpoints()[-1].step
    assert 0 < reached < 400

    service.resume(run)
    assert service.wait(run, 120) == "done"
    assert events(run, "resumed")[0]["step"] == reached
    assert computed(run) == computed(never_stopped)
    assert [line["step"] for line in computed(run)] == list(range(401))
    assert digest(run.checkpoints()[-1].path) == digest(never_stopped.checkpoints()[-1].path)


FRAGILE = """
from pathlib import Path
from torch import nn

class Fragile(nn.Embedding):
    def __init__(self):
        super().__init__(256, 256)
        self.steps = 0

    def forward(self, ids):
        self.steps += self.training
        if self.steps > {steps} and Path({trap!r}).exists():
            raise ValueError("the trap")
        return super().forward(ids)
"""


@pytest.fixture
def breaks_down(tiny, tmp_path, new_run):
    """Train in this process for so many of 40 steps, until the model breaks down; resumed, it goes on to the end."""

    def train(steps: int) -> RunDirectory:
        trap = tmp_path / "trap"
        trap.touch()
        (tmp_path / "model.py").write_text(FRAGILE.format(steps=steps, trap=str(trap)))
        (tmp_path / "config.json").write_text("{}")
        source = {"model.source": str(tmp_path / "model.py"), "model.config": {}, "hardware.backend": "kernel"}
        run = new_run(tmp_path / "runs", tiny(source | {"training.steps": 40, "checkpoints.keep_last": 3}))
        assert train_run(run) == "failed"
        assert "the trap" in run.status().message
        trap.unlink()
        return run

    return train


def damage(*checkpoints: CheckpointInfo) -> None:
    for info in checkpoints:
        with (info.path / "model.safetensors").open("ab") as file:
            file.write(b"x")


def resume_here(run: RunDirectory, **options: Any) -> Status:
    """Resume a run of a live process, and wait for its end."""
    service = TrainingService(run.path.parent)
    service.resume(run, **options)
    service.wait(run, 60)
    return run.status()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_without_a_whole_checkpoint_a_run_does_not_begin_again_unasked(breaks_down):
    run = breaks_down(steps=30)
    damage(*run.checkpoints())
    (run.checkpoints_folder / "step-00000020" / "meta.json").write_text("[" * 100_000)
    metrics, folders = run.metrics_file.read_bytes(), names(run.checkpoints_folder)

    status = resume_here(run)
    assert status.state == "failed"
    assert "would restart at step 0" in status.message
    assert "step-00000030/model.safetensors is damaged" in status.message.replace(os.sep, "/")
    assert f"tb-widgets resume {run.id} --from-start" in status.hint
    assert (run.metrics_file.read_bytes(), names(run.checkpoints_folder)) == (metrics, folders), "nothing was touched"

    assert resume_here(run, from_start=True).state == "done"
    assert names(run.checkpoints_folder)[:3] == [f"damaged-step-000000{step}" for step in (10, 20, 30)]
    assert [info.step for info in run.checkpoints()] == [20, 30, 40]
    assert (run.path / "metrics.old.jsonl").read_bytes() == metrics
    assert [line["step"] for line in computed(run)] == list(range(41))
    told = [event["message"] for event in events(run, "warning")]
    assert len(told) == 3
    assert "step-00000020 is missing or not whole (meta.json is nested too deeply)" in told[1]
    assert told[2].endswith("Skipped this checkpoint; its folder is now damaged-step-00000010.")


def test_a_damaged_checkpoint_is_passed_over_for_an_older_one_and_outlives_no_new_one(breaks_down):
    run = breaks_down(steps=30)
    damage(*run.checkpoints()[1:])
    assert resume_here(run).state == "done"
    assert events(run, "resumed")[0]["step"] == 10
    assert [info.step for info in run.checkpoints()] == [20, 30, 40]
    assert {"damaged-step-00000020", "damaged-step-00000030"} < set(names(run.checkpoints_folder))
    assert not (run.path / "metrics.old.jsonl").exists()


def test_a_run_whose_checkpoints_are_gone_does_not_begin_again_unasked(breaks_down):
    run = breaks_down(steps=30)
    shutil.rmtree(run.checkpoints_folder)
    status = resume_here(run)
    assert status.state == "failed"
    assert "They were moved or deleted." in status.message
    assert resume_here(run, from_start=True).state == "done"


def test_a_run_that_has_saved_nothing_yet_begins_again(breaks_down):
    assert resume_here(breaks_down(steps=5)).state == "done"


def test_a_run_that_is_done_is_not_resumed(never_stopped):
    with pytest.raises(RunError, match="is done after 400 steps"):
        TrainingService(never_stopped.path.parent).resume(never_stopped)
