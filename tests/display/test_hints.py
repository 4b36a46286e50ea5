"""Hints on recorded curves: a run that goes well is left alone at every step, one that does not is told what it is.

How the curves were made: ``record.py`` beside this file.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tb_widgets.display.hints import KEYS, MOST, hints
from tb_widgets.engine.schedule import learning_rate
from tb_widgets.runs import Status
from tb_widgets.runs.curve import Curves
from tb_widgets.spec import RunSpec

from .record import CURVES, HEALTHY, UNHEALTHY

# What is said of each, and what may be said on the way there.
TOLD = {
    "small": ("exhausted",),
    "overfit-char": ("Overfitting since step 400", "exhausted"),
    "overfit-rows": ("Overfitting since step 20", "exhausted"),
    "overfit-bert": ("Overfitting since step 450", "exhausted"),
    "higher-char": ("rate is too high",),
    "enormous-char": ("rate is too high",),
    "high-quick": ("rate is too high",),
    "high-vit": ("rate is too high",),
    "high-bert": ("rate is too high",),
    "diverging": ("risen since step 40: the learning rate is too high", "Exploding gradients", "rate is too high"),
    "low-quick": ("rate is too low",),
    "low-char": ("rate is too low",),
    "low-bert": ("rate is too low",),
    "low-t5": ("rate is too low",),
    "low-vit": ("learned nothing",),
    "leak-mask": ("suspiciously low",),
    "leak-repeats": ("suspiciously low",),
    "exploding": ("Exploding gradients",),
    "badly-initialised": ("Exploding gradients",),
    "flat-tiny-model": ("flat since",),
}
ON_THE_WAY = dict.fromkeys(("overfit-char", "overfit-rows", "overfit-bert"), ("memorises more than it generalises",))
RECOVER = ("diverging", "badly-initialised")  # by themselves, as the learning rate falls


class Recorded:
    """A recorded run, whose journal is read line by line."""

    def __init__(self, name: str) -> None:
        head, *self.lines = map(json.loads, (CURVES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines())
        self.head = head
        self.spec = RunSpec().with_values(head["spec"])
        for line in self.lines[1:]:
            line["lr"] = learning_rate(self.spec.training, line["step"])
        self.events = [{"kind": "phase", "statistics": head["statistics"]}]

    def status(self, line=None, **changes):
        state = "running" if line is not None else self.head["state"]
        return Status(**{"state": state, "task": self.head["task"], "total": self.spec.training.steps} | changes)

    def at_every_line(self):
        """Yield every line with what is told once it is written."""
        curves = Curves(KEYS)
        for line in self.lines:
            curves.extend([line])
            yield line, hints(curves, self.spec, self.status(line), self.events)

    def at_end(self, events=None, spec=None, **status):
        curves = Curves(KEYS)
        curves.extend(self.lines)
        return hints(curves, spec or self.spec, self.status(**status), self.events if events is None else events)


@pytest.mark.parametrize("name", HEALTHY)
def test_a_run_that_goes_well_is_left_alone_at_every_step(name):
    run = Recorded(name)
    for line, found in run.at_every_line():
        assert found == [], f"step {line['step']}: {found}"
    assert [hint for hint in run.at_end() if hint.tone != "on"] == []


@pytest.mark.parametrize("name", UNHEALTHY)
def test_a_run_that_goes_badly_is_told_what_it_is_and_nothing_else_on_the_way(name):
    run, expected = Recorded(name), TOLD[name]
    found = run.at_end()
    if name not in RECOVER:
        assert [any(words in hint.sentence for words in expected) for hint in found] == [True] * len(expected), found
    all_told = set()
    for line, told in run.at_every_line():
        for hint in told:
            words = [words for words in (*expected, *ON_THE_WAY.get(name, ())) if words in hint.sentence]
            assert words, f"step {line['step']}: {hint}"
            assert any(character.isdigit() for character in hint.why)
            all_told |= {*words}
    # What can only be told at the end comes with the state.
    assert {*expected} <= all_told | {words for words in expected for hint in found if words in hint.sentence}


@pytest.mark.parametrize("name", ["quick", "vit", "t5-words"])
def test_a_run_that_was_still_learning_at_its_end_may_continue(name):
    run = Recorded(name)
    (hint,) = run.at_end()
    assert "still falling" in hint.sentence
    assert hint.action == f"Continue for {run.spec.training.steps} more steps."
    assert run.at_end(state="stopped") == []  # nobody wanted its end


def test_the_best_checkpoint_is_named_where_there_is_one():
    best = {"step": 400, "monitor": "val/loss", "value": 1.73}
    found = Recorded("overfit-char").at_end(best=best, state="running")[0]
    assert "best checkpoint, of step 400, is kept" in found.why
    assert found.action.startswith("Stop now")
    over = Recorded("overfit-char").at_end()[0]
    assert "checkpoint" not in over.why
    assert over.action.startswith("Train for 400 steps next time")


def test_a_loss_far_below_every_baseline_at_step_20_is_a_leak():
    run = Recorded("few-steps")
    early = [line["train/loss"] for line in run.lines if 10 < line["step"] <= 20]
    loss = sum(early) / len(early)

    def told(baseline):
        guesses = [{"name": "even guess", "loss": 9.9}, {"name": "<b>bigrams</b>", "loss": baseline}]
        return run.at_end([*run.events, {"kind": "baselines", "baselines": guesses}])

    assert told(1.5 * loss) == []
    (hint,) = told(2.5 * loss)
    assert "suspiciously low" in hint.sentence
    assert "<b>bigrams</b>" in hint.why  # as it is: who shows it escapes it
    assert f"{2.5 * loss:.2f}" in hint.why


@pytest.mark.parametrize("name", ["low-char", "low-t5"])
def test_a_model_that_was_trained_before_may_move_little(name):
    run = Recorded(name)
    run.lines = [{key: value / 2 if "loss" in key else value for key, value in line.items()} for line in run.lines]
    assert run.at_end(state="running") == []
    guesses = {"kind": "baselines", "baselines": [{"name": "bigrams", "loss": 9.0}]}
    assert run.at_end([*run.events, guesses], state="running") == []


@pytest.mark.parametrize(
    "baselines", [None, 7, [], [7], [{}], [{"name": 3, "loss": "low"}], [{"loss": math.nan}], [{"loss": None}]]
)
def test_what_a_damaged_journal_says_is_no_evidence(baselines):
    run = Recorded("few-steps")
    damaged = [{"kind": "baselines", "baselines": baselines}, {"kind": "phase", "statistics": baselines}, {"kind": [4]}]
    assert run.at_end([*run.events, *damaged]) == []
    assert run.at_end([{"kind": "phase", "statistics": {"train_tokens": "many", "vocab_size": -3}}]) == []


@pytest.mark.parametrize("loss", [0.0, -1.0, 1e308, 1e-300])
def test_no_value_of_a_loss_is_too_odd_to_look_at(loss):
    curves = Curves(KEYS)
    curves.extend(
        {"step": step, "train/loss": loss, "val/loss": loss, "grad_norm": loss, "lr": 0.1} for step in range(0, 500, 10)
    )
    for rate in (1e-6, 1e-3, 1.0):
        spec = RunSpec().with_values({"training.learning_rate": rate, "training.steps": 500})
        found = hints(curves, spec, Status(state="done", task="vision-classification"))
        assert len(found) <= MOST
        assert all(hint.sentence and hint.why and hint.action for hint in found)


def gpu_hints(busy, values=None):
    curves = Curves(KEYS)
    curves.extend({"step": n, "train/loss": 2.0, "lr": 1e-3, "gpu_busy": share} for n, share in enumerate(busy, 1))
    curves.extend([{"step": 1 + len(busy), "train/loss": 2.0, "val/loss": 2.0, "lr": 1e-3}])
    return hints(curves, RunSpec().with_values(values or {}), Status(state="running", task="causal-lm"))


def test_a_gpu_that_is_idle_is_told_and_how_to_fill_it():
    (hint,) = gpu_hints([0.9] * 5 + [0.31] * 20)
    assert (hint.sentence, hint.tone) == ("The GPU is idle for most of the time.", "on")
    assert "busy for 31 % of the time" in hint.why
    assert hint.action == "Set training.batch_size to 64."
    (hint,) = gpu_hints([0.31] * 20, {"training.micro_batch_size": 4})
    assert hint.action == "Set training.micro_batch_size to 8."
    assert gpu_hints([0.9] * 20) == []
    assert gpu_hints([0.1] * 19) == [], "too few lines to tell"
    assert gpu_hints([]) == [], "a CPU, or a driver that does not answer"


def test_two_reasons_for_one_action_are_one_hint():
    for name in UNHEALTHY:
        for _, found in Recorded(name).at_every_line():
            assert len({hint.action for hint in found}) == len(found) <= MOST


def test_nothing_is_said_before_the_first_validation_of_a_trained_model():
    spec = RunSpec()
    curves = Curves(KEYS)
    assert hints(curves, spec, Status()) == []
    curves.extend([{"step": 0, "val/loss": 7.0}, {"step": 1, "train/loss": 7.0}])
    assert hints(curves, spec, Status(state="failed")) == []


def test_a_rate_that_no_adam_takes_is_judged_for_adam_only(monkeypatch):
    run = Recorded("higher-char")
    assert run.at_end()
    other = run.spec.model_copy(update={"training": run.spec.training.model_copy(update={"optimizer": "other"})})
    assert all("rate" not in hint.sentence for hint in run.at_end(spec=other))


def test_every_recorded_curve_is_of_this_list_and_small():
    assert {file.stem for file in CURVES.glob("*.jsonl")} == {*HEALTHY, *UNHEALTHY}
    assert {*TOLD} == {*UNHEALTHY}
    assert all(Path(file).stat().st_size < 12_000 for file in CURVES.glob("*.jsonl"))
