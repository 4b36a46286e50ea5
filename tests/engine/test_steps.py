"""What one step does, and that it does the same again."""

from __future__ import annotations

import json

import pytest

from tb_widgets.engine.schedule import learning_rate
from tb_widgets.spec import TrainingSpec

from .conftest import losses, weights_digest


@pytest.mark.parametrize("micro", [4, 3], ids=["even parts", "uneven last part"])
def test_micro_batches_give_the_losses_of_the_whole_batch(tiny, train, micro):
    fields = {"training.batch_size": 8, "model.config": {"n_layer": 1, "n_head": 2, "n_embd": 16}}
    whole = losses(train(tiny(fields)))
    parts = losses(train(tiny(fields | {"training.micro_batch_size": micro})))
    assert len(parts) == 20
    assert parts == pytest.approx(whole, rel=1e-5)


def test_the_same_seed_gives_the_same_run(tiny, train):
    one, two, other = train(tiny()), train(tiny()), train(tiny({"training.seed": 7}))
    assert losses(one) == losses(two)
    assert weights_digest(one.checkpoints()[-1].path) == weights_digest(two.checkpoints()[-1].path)
    assert losses(other) != losses(one)
    assert weights_digest(other.checkpoints()[-1].path) != weights_digest(one.checkpoints()[-1].path)


def test_another_seed_begins_with_other_weights(tiny, train):
    # A learning rate this small is zero in the weights' own precision: they stay those of the beginning.
    still = {"training.steps": 1, "training.learning_rate": 1e-60, "training.weight_decay": 0.0}
    one, other = (train(tiny(still | {"training.seed": seed})).checkpoints()[-1].path for seed in (1, 2))
    assert weights_digest(one) != weights_digest(other)


def test_training_lowers_the_loss(tiny, train):
    found = losses(train(tiny({"training.steps": 150, "training.learning_rate": 1e-2})))
    assert found[0] == pytest.approx(5.55, abs=0.2)  # ln 256: it knows nothing
    assert sum(found[-10:]) / 10 < 3.0


COSINE = {
    1: 0.1,  # the first of ten steps of warm-up
    5: 0.5,
    10: 1.0,
    55: 0.55,  # half-way down from 1 to 0.1
    100: 0.1,
}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("cosine", COSINE),
        ("linear", {10: 1.0, 28: 0.82, 55: 0.55, 100: 0.1}),
        ("constant", {5: 0.5, 10: 1.0, 55: 1.0, 100: 1.0}),
        ("wsd", {5: 0.5, 10: 1.0, 55: 1.0, 82: 1.0, 91: 0.55, 100: 0.1}),
        ("cosine-restarts", {10: 1.0, 32.5: 0.55, 54.9: 0.1, 55: 1.0, 77.5: 0.55, 100: 0.1}),
        ("polynomial", {10: 1.0, 55: 0.325, 100: 0.1}),
    ],
)
def test_learning_rates_by_hand(schedule, expected):
    shape = {"schedule": schedule, "cycles": 2, "power": 2}
    training = TrainingSpec(steps=100, warmup=0.1, learning_rate=1.0, min_lr_fraction=0.1, **shape)
    assert {step: learning_rate(training, step) for step in expected} == pytest.approx(expected, abs=1e-4)


def test_without_warm_up_the_first_step_is_close_to_the_peak():
    training = TrainingSpec(steps=100, warmup=0.0, learning_rate=1.0, min_lr_fraction=0.0, schedule="linear")
    assert learning_rate(training, 1) == pytest.approx(0.99)


def test_the_journal_holds_the_rate_of_every_step(tiny, train):
    spec = tiny()
    run = train(spec)
    rates = {
        line["step"]: line["lr"] for line in map(json.loads, run.metrics_file.read_text().splitlines()) if "lr" in line
    }
    assert rates == {step: learning_rate(spec.training, step) for step in range(1, 21)}


@pytest.mark.parametrize(("precision", "told"), [("fp16", "fp16 needs an NVIDIA GPU"), ("bf16", ""), ("auto", "")])
def test_a_precision_that_this_device_lacks_is_told_and_computed_in_fp32(tiny, train, precision, told):
    fields = {"hardware.device": "cpu", "training.precision": precision}
    run, exact = train(tiny(fields)), train(tiny(fields | {"training.precision": "fp32"}))
    assert run.status().state == "done"
    warnings = [event["message"] for event in map(json.loads, run.events_file.open()) if event["kind"] == "warning"]
    assert [told in warning for warning in warnings] == ([True] if told else [])
    assert (losses(run) == losses(exact)) == (precision != "bf16")
