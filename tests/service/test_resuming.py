"""A run that was cut in two equals one that was not."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tb_widgets.errors import RunError
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
    run = service.start(tiny(STEPS))
    service.warm()  # the worker that will go on
    until(run.checkpoints)
    if cut == "stopped":
        service.stop(run)
        assert service.wait(run, 60) == "stopped"
        assert run.status().step == run.checkpoints()[-1].step
    else:
        os.kill(run.status().pid, signal.SIGKILL)
        until(lambda: run.status().state == "interrupted")
        assert "ended at step" in run.status().message
        assert "Resume" in run.status().hint
    reached = run.checkpoints()[-1].step
    assert 0 < reached < 400

    service.resume(run)
    assert service.wait(run, 120) == "done"
    assert events(run, "resumed")[0]["step"] == reached
    assert computed(run) == computed(never_stopped)
    assert [line["step"] for line in computed(run)] == list(range(1, 401))
    assert digest(run.checkpoints()[-1].path) == digest(never_stopped.checkpoints()[-1].path)


def test_a_run_that_is_done_is_not_resumed(never_stopped):
    with pytest.raises(RunError, match="has done all its 400 steps"):
        TrainingService(never_stopped.path.parent).resume(never_stopped)
