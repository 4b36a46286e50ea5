"""Plots that are read with ease: nothing zooms by accident, one axis, no empty chart, words for those who see none."""

from __future__ import annotations

import pytest

from tb_widgets.display.figure import curve_keys, curves_in_words, figure_parts, plots
from tb_widgets.runs.curve import Curves
from tb_widgets.spec import TASKS


def axes(layout, letter):
    return [axis for name, axis in layout.items() if name.startswith(f"{letter}axis")]


def test_no_drag_and_no_finger_zooms_anything():
    layout = figure_parts()["layout"]
    assert layout["dragmode"] is False
    assert all(axis["fixedrange"] for letter in "xy" for axis in axes(layout, letter))


def test_all_plots_share_one_axis_which_is_named_once():
    layout = figure_parts()["layout"]
    assert [axis.get("matches") for axis in axes(layout, "x")] == [None, "x", "x", "x"]
    assert [note["text"] for note in layout["annotations"]].count("step") == 1


@pytest.mark.parametrize("task", TASKS)
def test_no_plot_stays_empty_for_a_task(task):
    shown = plots(task)
    assert len(shown) == 4
    assert all(plot.key for plot in shown)
    has_perplexity = any(plot.key == "val/perplexity" for plot in shown)
    assert has_perplexity == TASKS[task].predicts_tokens
    assert ("grad_norm" in [plot.key for plot in shown]) == (not has_perplexity)


def test_curves_are_told_in_words_too():
    curves = Curves(curve_keys())
    curves.extend(
        [{"step": 0, "val/loss": 7.1}, {"step": 1, "train/loss": 7.0}, {"step": 9, "train/loss": 2.0, "val/loss": 3.36}]
    )
    told = curves_in_words(curves, total=20)
    assert "run of 20 steps" in told
    assert "Training loss: 7.000 at step 1, 2.000 at step 9." in told
    assert "7.100 at step 0, 3.360 at step 9." in told
    assert curves_in_words(Curves(curve_keys())) == "No curves yet."
