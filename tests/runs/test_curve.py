"""A curve is cheap at any length, keeps its peaks, and smooths over every value."""

from __future__ import annotations

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tb_widgets.runs.curve import Curve, Curves, DrawnLine
from tb_widgets.runs.journal import parse_lines

values = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=500)


@given(values, st.integers(2, 9))
def test_the_peaks_and_the_newest_point_are_always_drawn(ys, buckets):
    line = DrawnLine(buckets)
    for x, y in enumerate(ys):
        line.add(x, y)
    drawn_x, drawn_y = line.points()
    assert (min(drawn_y), max(drawn_y)) == (min(ys), max(ys))
    assert (drawn_x[-1], drawn_y[-1]) == (len(ys) - 1, ys[-1])
    assert len(drawn_x) <= 2 * buckets + 1
    assert drawn_x == sorted(set(drawn_x)), "from left to right, no point twice"
    assert all(ys[int(x)] == y for x, y in zip(drawn_x, drawn_y, strict=True)), "only points that are there"


def test_a_short_line_is_drawn_as_it_is():
    line = DrawnLine()
    for x, y in [(0, 3.0), (5, 1.0), (6, 2.0)]:
        line.add(x, y)
    assert line.points() == ([0, 5, 6], [3.0, 1.0, 2.0])
    line.clear()
    assert line.points() == ([], [])


def test_smoothing_by_hand():
    curve = Curve(smoothing=0.5)
    for step, value in enumerate([1.0, 2.0, 3.0]):
        curve.add(step, value)
    # averages 0.5, 1.25, 2.125 over weights 0.5, 0.75, 0.875
    assert curve.smooth_line.points()[1] == pytest.approx([1.0, 5 / 3, 17 / 7])
    curve.set_smoothing(0.0)
    assert curve.smooth_line.points() == curve.line.points() == ([0, 1, 2], [1.0, 2.0, 3.0])


@given(values, st.floats(0, 0.999))
def test_smoothing_is_computed_over_every_value_and_not_over_the_drawn_ones(ys, smoothing):
    curve = Curve()
    curve.smooth_line = DrawnLine(4)
    for step, y in enumerate(ys):
        curve.add(step, y)
    curve.set_smoothing(smoothing)
    average = weight = 0.0
    expected = []
    for y in ys:
        average = smoothing * average + (1 - smoothing) * y
        weight = smoothing * weight + (1 - smoothing)
        expected.append(average / weight)
    for x, y in zip(*curve.smooth_line.points(), strict=True):
        assert y == pytest.approx(expected[int(x)])


@pytest.mark.parametrize("smoothing", [1.0, -0.1, math.nan])
def test_a_smoothing_that_has_no_meaning_is_refused(smoothing):
    with pytest.raises(ValueError, match="below 1"):
        Curve().set_smoothing(smoothing)


def test_what_is_not_a_number_is_kept_out_of_the_line():
    curves = Curves(["train/loss", "lr"])
    records = [{"step": 1, "train/loss": None}, {"kind": "no step"}, {"step": 2, "train/loss": 2.0}]
    records.append({"step": 3, "train/loss": float("nan")})
    records += [{"step": 10**400, "train/loss": 1.0}, {"step": 4, "train/loss": 10**400}, {"step": "5", "lr": "x"}]
    assert curves.extend(records) == {"train/loss"}
    assert list(curves["train/loss"].values) == [2.0]
    assert curves["train/loss"].last == 2.0
    assert curves["lr"].last is None
    curves.set_smoothing(0.5)
    curves.clear()
    assert len(curves["train/loss"]) == 0


def test_a_hundred_thousand_records_take_well_under_a_second():
    lines = [
        json.dumps({"step": i, "time": 1.8e9 + i, "train/loss": 5 / (1 + i), "lr": 1e-3, "grad_norm": 0.5})
        for i in range(100_000)
    ]
    data = ("\n".join(lines) + "\n").encode()
    curves = Curves(["train/loss", "val/loss"], smoothing=0.9)
    # Processor time: what else runs on this machine does not count.
    started = time.process_time()
    records = parse_lines(data)
    parsed = time.process_time()
    curves.extend(records)
    added = time.process_time()
    x, _ = curves["train/loss"].line.points()
    drawn = time.process_time()
    print(
        f"100,000 records: parsed {parsed - started:.2f} s, added {added - parsed:.2f} s, drawn {drawn - added:.4f} s"
    )
    assert len(curves["train/loss"]) == 100_000
    assert len(x) <= 401
    assert added - started < 1.0
    assert drawn - added < 0.01
