"""Nothing non-finite gets into weights, checkpoints or the status."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tb_widgets.engine.finiteness import LossLevel
from tb_widgets.engine.session import train_run
from tb_widgets.errors import DivergedError
from tb_widgets.runs import RunDirectory
from tb_widgets.runs.checkpoints import verify
from tb_widgets.runs.journal import read_records
from tb_widgets.spec import RunSpec

EVERY = {"checkpoints.every": 1, "checkpoints.keep_last": 100}


class RootOfZero(nn.Module):
    """At some steps its gradient is non-finite, and its loss is like any other: the root has no slope at zero."""

    def __init__(self, *at: int) -> None:
        super().__init__()
        self.table, self.shift = nn.Embedding(256, 256), nn.Parameter(torch.zeros(()))
        self.at, self.steps = at, 0

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        logits = self.table(ids)
        return logits + (self.shift * 0).sqrt() if self.training and self.steps in self.at else logits


def tensors(run: RunDirectory, step: int, file: str) -> dict[str, torch.Tensor]:
    return load_file(run.checkpoints_folder / f"step-{step:08d}" / file)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def warnings(run: RunDirectory) -> list[str]:
    return [event["message"] for event in read_records(run.events_file) if event["kind"] == "warning"]


@pytest.mark.parametrize("clip", [1.0, None])
def test_a_step_whose_gradient_is_non_finite_changes_nothing_and_is_told(tiny, train, clip):
    run = train(tiny(EVERY | {"training.clip": clip}), RootOfZero(6))
    assert run.status().state == "done", run.status().message
    for file in ("model.safetensors", "training.safetensors"):
        assert same(tensors(run, 5, file), tensors(run, 6, file)), "weights, moments and their step count"
        assert not same(tensors(run, 6, file), tensors(run, 7, file))
    lines = {line["step"]: line for line in read_records(run.metrics_file) if line["step"]}
    assert [step for step, line in lines.items() if line["grad_norm"] is None] == [6]
    assert all(math.isfinite(line["train/loss"]) for line in lines.values())
    (sentence,) = warnings(run)
    assert "The gradient norm of step 6 is non-finite. The step was skipped" in sentence


def test_between_two_lines_of_the_journal_a_skipped_step_is_told_too(tiny, train):
    run = train(tiny({"training.log_every": 10}), RootOfZero(6))
    assert "step 6 is non-finite" in warnings(run)[0]
    assert all(line["grad_norm"] is not None for line in read_records(run.metrics_file) if line["step"])


def test_many_skipped_steps_are_told_now_and_then(tiny, train):
    run = train(tiny({"training.steps": 60}), RootOfZero(*range(1, 61, 2)))
    assert run.status().state == "done"
    assert [int(sentence.split("so far: ")[1].split(",")[0]) for sentence in warnings(run)] == [1, 10]


def test_too_many_in_a_row_end_the_run_and_a_resume_finds_good_weights(tiny, train):
    run = train(tiny({"training.steps": 60}), RootOfZero(*range(25, 100)))
    status = run.status()
    assert status.state == "failed"
    assert "been non-finite for 20 steps in a row, up to step 44" in status.message
    assert "root" in status.hint
    for info in run.checkpoints():
        verify(info.path)
        assert all(tensor.isfinite().all() for tensor in load_file(info.path / "model.safetensors").values())
    assert train_run(run, module=RootOfZero()) == "done"
    assert [line["step"] for line in read_records(run.metrics_file)] == list(range(61))


def test_a_resume_goes_on_counting_the_steps_in_a_row(tiny, train):
    run = train(tiny({"training.steps": 60}), RootOfZero(*range(25, 100)))
    assert run.checkpoints()[-1].step == 40, "saved in the midst of them"
    assert train_run(run, module=RootOfZero(*range(1, 100))) == "failed"
    assert run.status().message.endswith("up to step 44.")


class SpoilsAWeight(RootOfZero):
    """Writes infinity into a parameter of its own, which no gradient tells of."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if self.steps >= 25:
            with torch.no_grad():
                self.shift.fill_(math.inf)
        return super().forward(ids)


def test_non_finite_weights_are_not_saved(tiny, train):
    run = train(tiny({"training.steps": 40}), SpoilsAWeight())
    assert run.status().state == "failed"
    assert "The weights are non-finite at step 30 (shift), so they were not saved." in run.status().message
    assert [info.step for info in run.checkpoints()] == [10, 20]


class BadInEvaluation(RootOfZero):
    """At some steps it is tested badly: its logits, times ``factor``, are non-finite or as large as can be."""

    def __init__(self, factor: float, *at: int) -> None:
        super().__init__(*at)
        self.factor = factor

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        return self.table(ids) * (self.factor if not self.training and self.steps in self.at else 1.0)


SHORT: dict[str, object] = {"training.steps": 40, "evaluation.sample_length": 0, "training.learning_rate": 0.01}


@pytest.mark.parametrize("monitor", ["val/loss", "val/perplexity"])
@pytest.mark.parametrize(
    ("factor", "odd"), [(math.nan, {"val/loss", "val/perplexity", "val/bits-per-byte"}), (1e5, {"val/perplexity"})]
)
def test_non_finite_validation_metrics_are_null_and_never_the_best(tiny, train, factor, odd, monitor):
    spec: RunSpec = tiny(SHORT | {"checkpoints.monitor": monitor})
    run = train(spec, BadInEvaluation(factor, 10, 20))
    status = run.status()
    assert status.state == "done", status.message
    tested = {line["step"]: line for line in read_records(run.metrics_file) if "val/loss" in line}
    for step in (10, 20):
        assert {key for key, value in tested[step].items() if value is None} == odd
    assert tested[40][monitor] is not None
    assert status.best == {"step": 40, "monitor": monitor, "value": tested[40][monitor]}
    told = warnings(run)
    assert len(told) == 1, "the second time it is no news"
    assert "At step 10" in told[0]
    assert all(key in told[0] for key in odd)


def test_a_run_that_ends_with_such_a_figure_has_an_end(tiny, train):
    run = train(tiny(SHORT), BadInEvaluation(math.nan, 40))
    assert json.loads(run.status_file.read_text())["state"] == "done"
    assert "val/loss" not in run.status().metrics
    assert run.status().best["step"] == 30


class Worsens(nn.Module):
    """Its training loss rises from some step on, without ever becoming infinite."""

    def __init__(self, since: int) -> None:
        super().__init__()
        self.table, self.since, self.steps = nn.Embedding(256, 256), since, 0

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        return self.table(ids) * (100.0 if self.training and self.steps >= self.since else 1.0)


def test_a_loss_far_above_its_beginning_is_no_checkpoint_to_go_on_from(tiny, train):
    run = train(tiny({"training.steps": 40, "checkpoints.every": 1, "checkpoints.keep_last": 100}), Worsens(since=5))
    status = run.status()
    assert status.state == "failed"
    assert "The training loss has risen to" in status.message
    assert status.remedy
    assert max(info.step for info in run.checkpoints()) < 10
    assert train(tiny({"training.steps": 40}), Worsens(since=1000)).status().state == "done"


def test_the_level_outlives_a_resume():
    level, again = LossLevel(), LossLevel()
    for step in range(5):
        level.look(step, 3.0)
    again.restore(level.state())
    again.look(6, 1e6)  # one wild batch does not decide
    again.look(7, 100.0)
    with pytest.raises(DivergedError, match=r"risen to 100 at step 8, from 3 at the beginning"):
        again.look(8, 100.0)
    fresh = LossLevel()
    fresh.look(1, 100.0)
    fresh.look(2, 100.0)
