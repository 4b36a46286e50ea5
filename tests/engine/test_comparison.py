"""What counting gets is told once, before step 1, and so is each of these losses that the model passes."""

from __future__ import annotations

import math
import shutil

import pytest

from tb_widgets.engine.session import train_run
from tb_widgets.runs.baselines import Baselines
from tb_widgets.runs.journal import read_records

QUICK = {
    "training.steps": 60,
    "training.learning_rate": 0.02,
    "model.config": {"n_layer": 1, "n_head": 2, "n_embd": 32},
    "checkpoints.keep_last": 10,
}


def events(run, kind):
    return [event for event in read_records(run.events_file) if event["kind"] == kind]


@pytest.fixture
def run(tiny, train):
    return train(tiny(QUICK))


def test_baselines_are_told_before_step_1_and_passed_ones_at_the_first_validation_below_them(run):
    (told,) = events(run, "baselines")
    assert told["n"] < events(run, "phase")[0]["n"]
    lines = {line["name"]: line["loss"] for line in told["baselines"]}
    assert list(lines)[:3] == ["even guess", "unigram", "bigram"]
    assert lines["even guess"] == pytest.approx(math.log(256), abs=1e-5)
    assert told["units"] == "bytes"

    losses = {line["step"]: line["val/loss"] for line in read_records(run.metrics_file) if "val/loss" in line}
    assert min(losses.values()) < lines["unigram"], "it learned something"
    first = {}
    for name, loss in lines.items():
        below = [step for step, value in losses.items() if value < loss]
        first |= {name: below[0]} if below else {}
    assert {event["name"]: event["step"] for event in events(run, "passed")} == first
    assert all(event["loss"] == pytest.approx(losses[event["step"]], abs=1e-5) for event in events(run, "passed"))


def test_a_resumed_run_neither_counts_nor_tells_again(run, monkeypatch):
    before = [(event["name"], event["step"]) for event in events(run, "passed")]
    for checkpoint in run.checkpoints():
        if checkpoint.step > 10:
            shutil.rmtree(checkpoint.path)
    assert before[-1][1] > 10, "one of them is passed a second time"
    monkeypatch.setattr("tb_widgets.data.batches.streams.n_gram_losses", None)
    assert train_run(run) == "done", run.status().message
    assert events(run, "resumed")[0]["step"] == 10
    assert len(events(run, "baselines")) == 1
    assert [(event["name"], event["step"]) for event in events(run, "passed")] == before


def test_a_run_that_begins_again_passes_them_again_without_counting_again(run, monkeypatch):
    before = [(event["name"], event["step"]) for event in events(run, "passed")]
    for checkpoint in run.checkpoints():
        shutil.rmtree(checkpoint.path)
    run.control.request("from-start")
    monkeypatch.setattr("tb_widgets.data.batches.streams.n_gram_losses", None)
    assert train_run(run) == "done", run.status().message
    assert len(events(run, "baselines")) == 1
    assert [(event["name"], event["step"]) for event in events(run, "passed")] == before * 2
    assert Baselines(read_records(run.events_file)).passed == dict(before)


def test_other_tasks_say_why_nothing_is_counted(tiny, train):
    run = train(tiny({"model.source": "zoo:bert", "training.steps": 1}))
    (told,) = events(run, "baselines")
    assert told["baselines"] == []
    assert told["reason"].startswith("No n-gram baselines for masked-lm")
