"""The learning rate before Start: every schedule is drawn as it will be, and told in words."""

from __future__ import annotations

import re

import pytest

from tb_widgets.display.schedule_drawing import draw_schedule, schedule_in_words, schedule_points
from tb_widgets.engine import schedule
from tb_widgets.engine.schedule import learning_rate
from tb_widgets.spec import TrainingSpec


def drawn(training):
    """The points of the line, as they stand in the drawing."""
    found = re.search(r'points="([^"]*)"', draw_schedule(training))
    return [tuple(map(float, point.split(","))) for point in found[1].split()]


def test_words_name_the_peak_the_way_down_and_the_end():
    told = schedule_in_words(TrainingSpec(steps=1000, warmup=0.05, learning_rate=1e-3, schedule="cosine"))
    assert told == "Rises to 0.001 by step 50, falls along a curve to 0.0001 at step 1,000."
    straight = TrainingSpec(steps=400, warmup=0.0, learning_rate=3e-5, min_lr_fraction=0.0, schedule="linear")
    assert schedule_in_words(straight).endswith("falls linearly to 0 at step 400.")
    assert schedule_in_words(TrainingSpec(steps=1)) == "Starts at 0.0001."


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (
            lambda training, share: 1.0 if share < 0.8 else 0.0,
            "stays at 0.001 until step 809, drops to 0.0001 by step 810, stays",
        ),
        (
            lambda training, share: 1 - 3 * share % 1,
            "jumps to 0.000999 by step 367, changes 4 more",
        ),
        (lambda training, share: (1 - share) ** 2, "falls along a curve to 0.0001 at step"),
    ],
)
def test_a_schedule_that_nobody_has_thought_of_has_words_too(monkeypatch, shape, told):
    monkeypatch.setitem(schedule.SCHEDULES, "cosine", shape)
    assert told in schedule_in_words(TrainingSpec(steps=1000))


@pytest.mark.parametrize("name", schedule.SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 37, 100_000_000])
def test_the_line_is_that_of_the_engine_and_small_at_any_length(name, steps):
    training = TrainingSpec(steps=steps, schedule=name)
    points = schedule_points(training)
    assert points == [(step, learning_rate(training, step)) for step, _ in points]
    assert points[-1][0] == steps
    assert max(rate for _, rate in points) == max(learning_rate(training, s) for s in {1, round(0.05 * steps) or 1})

    assert len(draw_schedule(training)) < 3000
    assert drawn(training)[-1][0] == (300 if steps > 1 else 0)
    assert all(0 <= x <= 300 and 0 <= y <= 60 for x, y in drawn(training))
