"""A training mends itself where it can, says what it did, and gives up with the reason."""

from __future__ import annotations

import json
import shutil
import time

import pytest
import torch
from torch import nn

from tb_widgets.engine.session import train_run
from tb_widgets.runs import RunDirectory, journal
from tb_widgets.runs.journal import read_records
from tb_widgets.service.service import TrainingService

from .conftest import losses

BATCH = {"training.batch_size": 8, "training.steps": 30, "checkpoints.every": 10}
BATCH |= {"evaluation.every": 10, "evaluation.batches": 20}


def table() -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(256, 256)


class Greedy(nn.Module):
    """Has no memory to train on, or be tested on, more than so many examples, once it has trained for some passes."""

    def __init__(self, most: int = 100, *, since: int = 0, training: bool = True, error: str = "") -> None:
        super().__init__()
        self.table, self.most, self.since, self.counts = table(), most, since, training
        self.error = error
        self.passes, self.seen = 0, []

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if self.training == self.counts and self.passes >= self.since and len(ids) > self.most:
            raise RuntimeError(self.error) if self.error else torch.OutOfMemoryError("tried to allocate 8 GiB")
        self.passes += self.training
        self.seen.append((self.training, len(ids)))
        return self.table(ids)


def recovered(run: RunDirectory) -> list[tuple[str, int]]:
    return [(e["recovered"], e["step"]) for e in read_records(run.events_file) if "recovered" in e]


def warnings(run: RunDirectory) -> list[str]:
    return [event["message"] for event in read_records(run.events_file) if event["kind"] == "warning"]


@pytest.mark.parametrize(
    ("model", "at"),
    [
        (Greedy(4), 1),
        (Greedy(4, since=12, error="[enforce fail] DefaultCPUAllocator: can't allocate memory"), 13),
        (Greedy(4, since=1, training=False), 10),
    ],
    ids=["at the first step", "in the middle, on a CPU", "in a validation"],
)
def test_short_of_memory_it_goes_on_with_smaller_parts_along_the_same_curve(tiny, train, model, at):
    reference = losses(train(tiny(BATCH), Greedy()))
    run = train(tiny(BATCH), model)
    assert run.status().state == "done", run.status().message
    assert losses(run) == pytest.approx(reference, rel=1e-5)
    assert recovered(run) == [("memory", at)]
    assert f"Out of memory at step {at}: the micro-batch is now 4." in warnings(run)[0]
    assert [line["step"] for line in read_records(run.metrics_file) if line["step"]] == [*range(1, 31)]

    shutil.rmtree(run.checkpoints()[-1].path)
    again = Greedy()
    train_run(run, module=again)
    assert {rows for is_training, rows in again.seen if is_training} == {4}, "a resume begins with what fitted"
    assert losses(run) == pytest.approx(reference, rel=1e-5)


def test_where_one_example_is_too_much_it_says_so(tiny, train):
    run = train(tiny(BATCH), Greedy(0, since=3))
    assert run.status().state == "failed"
    assert "do not fit into memory" in run.status().message
    assert recovered(run) == [("memory", 4)] * 3, "8, 4, 2, 1"


class Diverges(nn.Module):
    """Its logits become NaN in some of its training steps, counted as they are made."""

    def __init__(self, *at: int) -> None:
        super().__init__()
        self.table, self.at, self.steps = table(), at, 0

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        return self.table(ids) * (float("nan") if self.training and self.steps in self.at else 1.0)


def rates(run: RunDirectory) -> dict[int, float]:
    return {line["step"]: line["lr"] for line in read_records(run.metrics_file) if "lr" in line}


def test_after_nan_it_goes_back_to_the_last_checkpoint_at_half_the_rate(tiny, train):
    fields = BATCH | {"training.schedule": "constant", "training.warmup": 0.0, "training.learning_rate": 0.01}
    reference = train(tiny(fields), Diverges())
    run = train(tiny(fields), Diverges(25))
    assert run.status().state == "done", run.status().message
    assert recovered(run) == [("divergence", 20)]
    (sentence,) = warnings(run)
    assert sentence.startswith("The loss became NaN at step 25. Training continues from the checkpoint of step 20 at")
    assert rates(run) == {step: 0.01 if step <= 20 else 0.005 for step in range(1, 31)}
    assert losses(run)[:20] == losses(reference)[:20]
    assert losses(run)[21:] != losses(reference)[21:]
    lines = [line["step"] for line in read_records(run.metrics_file)]
    assert lines == [*range(31)], "each step once"
    samples = [json.loads(line)["step"] for line in run.samples_file.read_text().splitlines()]
    assert samples == sorted(samples)

    shutil.rmtree(run.checkpoints()[-1].path)
    before = losses(run)
    assert train_run(run, module=Diverges()) == "done"
    assert rates(run)[30] == 0.01, "the checkpoint of step 20 is from before"
    assert losses(run) != before


def test_the_lower_rate_outlives_a_resume(tiny, train):
    fields = BATCH | {"training.schedule": "constant", "training.warmup": 0.0, "training.learning_rate": 0.01}
    run = train(tiny(fields | {"training.steps": 50}), Diverges(25))
    for info in run.checkpoints():
        if info.step > 30:
            shutil.rmtree(info.path)
    before = losses(run)
    assert train_run(run, module=Diverges()) == "done"
    assert rates(run)[50] == 0.005
    assert losses(run) == before, "resumed to the same curve"


def test_after_three_attempts_it_ends_with_the_reason(tiny, train):
    run = train(tiny(BATCH), Diverges(*range(25, 100)))
    status = run.status()
    assert (status.state, status.message) == ("failed", "The loss became NaN at step 21.")
    assert "It happened again in all 3 attempts" in status.hint
    assert recovered(run) == [("divergence", 20)] * 3
    assert [info.step for info in run.checkpoints()] == [10, 20]
    assert "8 times" not in warnings(run)[-1]
    assert "at 0.125 times the learning rate (attempt 3 of 3)" in warnings(run)[-1]


def test_without_a_checkpoint_there_is_no_way_back(tiny, train):
    run = train(tiny(BATCH), Diverges(*range(3, 100)))
    assert run.status().state == "failed"
    assert run.status().message == "The loss became NaN at step 3."
    assert run.status().step == 3, "losses are read some steps later, and these are lost"
    assert recovered(run) == []


STILL = {"training.learning_rate": 1e-60, "training.weight_decay": 0.0, "evaluation.every": 5, "training.steps": 60}


def test_a_run_that_stops_improving_stops_early_and_can_be_continued(tiny, train):
    run = train(tiny(STILL | {"evaluation.patience": 3}), Greedy())
    status = run.status()
    assert (status.state, status.step, status.total) == ("done", 20, 60), "the first evaluation is the best"
    assert status.message == "Stopped early at step 20 of 60: validation loss no better since step 5."
    assert run.checkpoints()[-1].step == 20
    assert "stopped-early" in [event["kind"] for event in read_records(run.events_file)]
    module = Greedy()
    service = TrainingService(run.path.parent)
    service.extend(run, 10, module=module)
    service.wait(run, timeout=60)
    assert (run.status().state, run.status().step) == ("done", 30), "with its patience anew"


def test_how_long_it_has_waited_outlives_a_resume(tiny, train):
    run = train(tiny(STILL | {"evaluation.patience": 3, "checkpoints.every": 5}), Greedy())
    for info in run.checkpoints():
        if info.step > 15:
            shutil.rmtree(info.path)
    assert train_run(run, module=Greedy()) == "done"
    assert run.status().step == 20


@pytest.mark.parametrize(("delta", "end"), [(0.0, 60), (10.0, 20)])
def test_too_small_an_improvement_is_none(tiny, train, delta, end):
    fields = STILL | {"training.learning_rate": 0.01, "evaluation.patience": 3, "evaluation.min_delta": delta}
    run = train(tiny(fields), Greedy())
    assert run.status().step == end
    told = "Stopped early at step 20 of 60: validation loss not better by 10 or more in 3 evaluations."
    assert run.status().message == (told if delta else "")


class SetBack(nn.Module):
    """In its tenth training step somebody sets the clock back by an hour."""

    def __init__(self, clock: list[float]) -> None:
        super().__init__()
        self.table, self.passes, self.clock = table(), 0, clock

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.passes += self.training
        if self.passes == 10:
            self.clock[0] = -3600.0
        return self.table(ids)


def test_a_clock_that_is_set_back_changes_neither_times_nor_steps(tiny, train, monkeypatch):
    clock, real, seen = [0.0], time.time, []
    monkeypatch.setattr(time, "time", lambda: real() + clock[0])
    written = journal.write_status
    monkeypatch.setattr(journal, "write_status", lambda path, status: (seen.append(status), written(path, status)))
    began = real()
    run = train(tiny(BATCH | {"training.steps": 60}), SetBack(clock))
    took = real() - began
    assert run.status().state == "done"
    assert 0 < run.status().elapsed < took
    assert all(0 <= status.eta < 60 * took for status in seen if status.eta is not None)
    assert seen[-1].heartbeat < began - 3000, "the clock was set back, and the heart beats by it"
    assert [line["step"] for line in read_records(run.metrics_file)] == [*range(61)]
    speeds = [line["tokens_per_second"] for line in read_records(run.metrics_file) if line.get("tokens_per_second")]
    assert speeds
    assert min(speeds) > 0
