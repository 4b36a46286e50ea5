"""An average of the weights: computed as it is defined, kept, and resumed to the same bits."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file

from tb_widgets.engine.session import train_run
from tb_widgets.runs.journal import read_records

from .conftest import losses, weights_digest

EVERY = {"checkpoints.every": 1, "checkpoints.keep_last": 100, "training.steps": 12, "evaluation.every": 4}


def weights(run, step):
    return load_file(run.checkpoints_folder / f"step-{step:08d}" / "model.safetensors")


def test_the_average_is_what_its_formula_says_and_changes_nothing_of_the_training(tiny, train):
    plain, averaged = train(tiny(EVERY)), train(tiny(EVERY | {"training.averaging": 0.7}))
    assert losses(plain) == losses(averaged)
    expected = None
    for step in range(1, 13):
        decay = min(0.7, step / (step + 9))
        found = weights(plain, step)
        if expected is None:  # the weights of the beginning are in no checkpoint
            expected = weights(averaged, 1)
            continue
        expected = {name: decay * old + (1 - decay) * found[name] for name, old in expected.items()}
    end = weights(averaged, 12)
    assert max((end[name] - expected[name]).abs().max() for name in end) < 1e-6
    assert any(not torch.equal(end[name], weights(plain, 12)[name]) for name in end)


def validation(run):
    return [line["val/loss"] for line in read_records(run.metrics_file) if "val/loss" in line]


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_it_is_evaluated_and_resumed_to_the_same_bits(tiny, train, optimiser):
    fields = EVERY | {"training.averaging": 0.9, "training.optimizer": optimiser, "training.learning_rate": 0.01}
    whole, broken, plain = train(tiny(fields)), train(tiny(fields)), train(tiny(fields | {"training.averaging": None}))
    for info in broken.checkpoints():
        if info.step > 6:
            shutil.rmtree(info.path)
    assert train_run(broken) == "done"
    assert losses(broken) == losses(whole)
    assert validation(broken) == validation(whole)
    assert weights_digest(broken.checkpoints()[-1].path) == weights_digest(whole.checkpoints()[-1].path)
    assert validation(plain)[0] == validation(whole)[0], "before the first step"
    assert validation(plain)[1:] != validation(whole)[1:]
