"""What counting gets, beside what the model gets: lines in the plot, and words for everybody."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tb_widgets.app.parts.live_figure import LiveFigure
from tb_widgets.display.baselines import baseline_shapes, better_in_words, drawn_baselines
from tb_widgets.display.figure import curve_keys, curves_in_words
from tb_widgets.runs.baselines import Baselines
from tb_widgets.runs.curve import Curves
from tb_widgets.service.run import Run

from .conftest import html_of, set_status

LINES = {"even guess": 4.19, "unigram": 3.35, "bigram": 2.49, "5-gram": 1.69}
COUNTED = {
    "kind": "baselines",
    "baselines": [{"name": name, "loss": loss} for name, loss in LINES.items()],
    "units": "characters",
}


def curves_of(*losses):
    curves = Curves(curve_keys())
    curves.extend({"step": 10 * place, "val/loss": loss} for place, loss in enumerate(losses))
    return curves


def drawn(*losses, **changes):
    return {line.name for line in drawn_baselines(Baselines([COUNTED | changes]), curves_of(*losses))}


def test_only_lines_near_the_curves_are_drawn():
    assert drawn() == set()
    assert drawn(4.3, 2.0) == set(LINES)
    assert drawn(4.3, 3.5) == {"even guess", "unigram"}  # the others would squeeze the curves into a corner
    assert drawn(1.9, 1.8) == set()


def test_of_two_lines_that_would_overlap_the_lower_is_drawn():
    close = [{"name": "even guess", "loss": 4.19}, {"name": "unigram", "loss": 4.15}, {"name": "bigram", "loss": 2.49}]
    assert drawn(4.3, 2.0, baselines=close) == {"unigram", "bigram"}


def test_a_name_stands_where_the_falling_curves_are_not():
    shapes = baseline_shapes(Baselines([COUNTED]), curves_of(4.3, 2.0))
    assert {shape["label"]["text"]: shape["label"]["textposition"] for shape in shapes} == {
        "even guess 4.190": "end",
        "unigram 3.350": "end",
        "bigram 2.490": "end",
        "5-gram 1.690": "start",
    }
    assert [shape["y0"] for shape in shapes] == [shape["y1"] for shape in shapes] == [1.69, 2.49, 3.35, 4.19]


def test_lines_are_told_to_those_who_do_not_see_them():
    told = curves_in_words(curves_of(4.3, 2.0), baselines=Baselines([COUNTED]))
    assert told.endswith("Without a model: even guess 4.190, unigram 3.350, bigram 2.490, 5-gram 1.690.")


def test_words_say_what_is_passed_what_is_next_and_why_there_is_no_more():
    known = Baselines([COUNTED])
    assert better_in_words(known, None) == ""
    assert better_in_words(known, 4.3) == "Not yet better than an even guess (4.190)."
    known.take({"kind": "passed", "name": name, "step": 300} for name in ("even guess", "unigram", "bigram"))
    assert better_in_words(known, 2.0) == "Better than a bigram (2.490) since step 300; next: a 5-gram (1.690)."
    known.take([{"kind": "passed", "name": "5-gram", "step": 900}])
    assert better_in_words(known, 1.5) == "Better than a 5-gram (1.690) since step 900."
    few = Baselines([COUNTED | {"baselines": COUNTED["baselines"][:1], "reason": "There are few tokens."}])
    assert better_in_words(few, 4.3) == "Not yet better than an even guess (4.190). There are few tokens."
    assert better_in_words(Baselines(), 2.0) == ""


@pytest.fixture
def figure(until):
    made = LiveFigure()
    until(lambda: (made.make(), made._figure is not None)[1])
    return made


def test_the_live_figure_sends_its_lines_once_and_again_to_a_new_page(figure, monkeypatch):
    sent = []
    monkeypatch.setattr(
        figure._figure, "_send_update_msg", lambda restyle_data, relayout_data, **_: sent.append(relayout_data or {})
    )

    def look():
        found = [len(data["shapes"]) for data in sent if "shapes" in data]
        sent.clear()
        return found

    curves, known = curves_of(4.3, 2.0), Baselines([COUNTED])
    figure.page_says(True)
    figure.draw(curves, baselines=known)
    assert look() == [4]
    figure.draw(curves, baselines=known)
    assert look() == []
    figure.page_says(False)
    figure.page_says(True)
    figure.draw(curves, baselines=known)
    assert look()[-1] == 4
    figure.draw(Curves(curve_keys()))
    assert look() == [0]


def add(file, *records):
    with file.open("a", encoding="utf-8") as lines:
        lines.writelines(json.dumps(record) + "\n" for record in records)


def test_page_and_python_read_them_from_the_run(dashboard, make_run):
    run = make_run(state="running", step=20, total=20, task="causal-lm")
    dashboard.open_run(run.path)
    before = dashboard.watch.curves_version
    add(run.metrics_file, {"step": 0, "val/loss": 4.3}, {"step": 20, "val/loss": 2.0})
    add(run.events_file, COUNTED, {"kind": "passed", "name": "bigram", "step": 20, "baseline": 2.49})
    dashboard.refresh()
    assert dashboard.watch.curves_version > before
    live = next(panel for panel in dashboard.page.panels["train"] if hasattr(panel, "figure"))
    assert "Better than a bigram (2.490) since step 20; next: a 5-gram (1.690)." in html_of(live._compared)

    best = {"step": 20, "monitor": "val/loss", "value": 2.0}
    set_status(run, state="done", step=20, total=20, best=best)
    dashboard.refresh()
    assert "as if choosing among 7.4 characters" in html_of(dashboard.page.bar.widget)

    assert Run(run.path).baselines == LINES
    plot = Run(run.path).plot()
    assert [shape.y0 for shape in plot.layout.shapes] == [1.69, 2.49, 3.35, 4.19]
    assert np.asarray(plot.data[2].y).tolist() == [4.3, 2.0]
