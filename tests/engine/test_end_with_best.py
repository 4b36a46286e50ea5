"""A run that ends with its best checkpoint, on request."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tb_widgets.engine.state import TRAINING
from tb_widgets.errors import SpecError
from tb_widgets.runs.journal import read_records
from tb_widgets.service.service import TrainingService
from tb_widgets.spec import RunSpec
from tests.engine.conftest import weights_digest

BEST = {"checkpoints.restore_best": True, "evaluation.every": 5, "training.steps": 30}


class Worsens(nn.Module):
    """Learns for ten steps, and forgets from then on."""

    def __init__(self, good: int = 10):
        super().__init__()
        self.table = nn.Embedding(256, 256)
        self.register_buffer("age", torch.zeros(()))
        self.good = good

    def forward(self, tokens):
        if self.training:
            self.age += 1
        return self.table(tokens) * torch.clamp(1 + 0.1 * (self.age - self.good), min=1)


def kinds(run, kind):
    return [event for event in read_records(run.events_file) if event["kind"] == kind]


def best_and_last(run):
    found = run.checkpoints()
    return next(info for info in found if info.best), found[-1]


def test_the_last_checkpoint_has_the_weights_of_the_best_one(tiny, train):
    run = train(tiny(BEST), Worsens())
    best, last = best_and_last(run)
    assert (best.step, last.step) == (10, 30)
    assert weights_digest(last.path) == weights_digest(best.path)
    assert last.metrics == best.metrics
    assert run.status().best["step"] == 10
    assert run.status().message == "The last checkpoint has the weights of the best one, of step 10."
    (told,) = kinds(run, "restored-best")
    assert told["step"] == 30


def test_without_the_request_it_ends_with_what_was_trained_last(tiny, train):
    run = train(tiny(BEST | {"checkpoints.restore_best": False}), Worsens())
    best, last = best_and_last(run)
    assert weights_digest(last.path) != weights_digest(best.path)
    assert kinds(run, "restored-best") == []


def test_a_run_whose_last_weights_are_its_best_has_nothing_to_restore(tiny, train):
    run = train(tiny(BEST), Worsens(good=1000))
    assert run.checkpoints()[-1].best
    assert run.status().message == ""
    assert kinds(run, "restored-best") == []


@pytest.mark.parametrize("averaging", [None, 0.5])
def test_a_live_model_and_an_average_end_so_as_well(tiny, train, averaging):
    module = Worsens()
    run = train(tiny(BEST | {"training.averaging": averaging}), module)
    best, last = best_and_last(run)
    assert module.age == best.step == 10
    assert weights_digest(last.path) == weights_digest(best.path)
    assert (last.path / TRAINING).stat().st_size == (best.path / TRAINING).stat().st_size


def test_stopped_early_it_says_both(tiny, train):
    run = train(tiny(BEST | {"evaluation.patience": 2, "training.steps": 100}), Worsens())
    assert run.status().message == (
        "Stopped early at step 20 of 100: validation loss no better since step 10. "
        "The last checkpoint has the weights of the best one, of step 10."
    )
    best, last = best_and_last(run)
    assert weights_digest(last.path) == weights_digest(best.path)


def test_whoever_continues_goes_on_from_the_best(tiny, train):
    run = train(tiny(BEST), Worsens())
    module = Worsens(good=1000)
    service = TrainingService(run.path.parent)
    service.extend(run, 5, module=module)
    service.wait(run, timeout=60)
    assert (run.status().state, run.status().step) == ("done", 35)
    assert module.age == 15


class DamagesIts(Worsens):
    """Damages the run's best checkpoint near the end."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def forward(self, tokens):
        if self.training and self.age == 25:
            next(self.folder.glob("*/checkpoints/step-00000010/model.safetensors")).write_bytes(b"")
        return super().forward(tokens)


def test_a_damaged_best_checkpoint_is_told_and_left_alone(tiny, train, tmp_path):
    run = train(tiny(BEST), DamagesIts(tmp_path))
    assert run.status().state == "done"
    (told,) = [event["message"] for event in kinds(run, "warning")]
    assert told.startswith("The run ends with its newest weights, not with its best.")
    assert "model.safetensors is damaged" in told
    assert run.checkpoints()[-1].step == 30


def test_it_needs_a_best_checkpoint_that_is_kept():
    with pytest.raises(SpecError, match=r"must be at least 1 for checkpoints\.restore_best, not 0"):
        RunSpec().with_values({"checkpoints.restore_best": True, "checkpoints.keep_best": 0})
