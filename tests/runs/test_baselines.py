"""Baselines as every reader finds them in the events, whatever else stands there."""

from __future__ import annotations

import pytest

from tb_widgets.runs.baselines import Baseline, Baselines

COUNTED = {
    "kind": "baselines",
    "baselines": [
        {"name": "bigram", "loss": 2.49},
        {"name": "even guess", "loss": 4.19},
        {"name": "unigram", "loss": 3.35},
    ],
    "units": "characters",
}


def passed(name, step):
    return {"kind": "passed", "name": name, "step": step}


def test_what_is_beaten_and_what_comes_next():
    known = Baselines([COUNTED])
    assert [line.name for line in known.lines] == ["even guess", "unigram", "bigram"]
    assert known.beaten(4.5) is None
    assert known.next(4.5).name == "even guess"
    assert known.take([passed("even guess", 10), passed("unigram", 20)])
    assert known.beaten(3.0) == (Baseline("unigram", 3.35), 20)
    assert known.next(3.0).name == "bigram"
    assert known.next(2.0) is None


def test_a_loss_that_rises_again_is_no_longer_better():
    known = Baselines([COUNTED, passed("even guess", 10), passed("unigram", 20), passed("unigram", 90)])
    assert known.beaten(3.4) == (Baseline("even guess", 4.19), 10)
    assert known.beaten(3.0) == (Baseline("unigram", 3.35), 20)  # since the first time


def test_a_run_that_begins_again_has_passed_nothing():
    known = Baselines([COUNTED, passed("even guess", 10), {"kind": "started", "step": 0}])
    assert known.lines
    assert known.beaten(3.0) is None


@pytest.mark.parametrize("lines", [None, 3, "abc", [None, 3, {"name": "bigram"}, {"name": 1, "loss": float("nan")}]])
def test_a_damaged_event_has_no_lines(lines):
    known = Baselines([{"kind": "baselines", "baselines": lines}, passed("bigram", None), {"kind": ["passed"]}])
    assert (known.lines, known.passed) == ((), {})
    assert not known.take([{"kind": "checkpoint"}])
