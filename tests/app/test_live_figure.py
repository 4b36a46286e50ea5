"""The live figure: drawn only where it stands, and only what has changed."""

from __future__ import annotations

import numpy as np
import pytest

from tb_widgets.app.parts.live_figure import LiveFigure
from tb_widgets.display.figure import curve_keys
from tb_widgets.runs.curve import Curves

from .conftest import html_of, set_status

AT_MOST = 2 * 200 + 1  # points a trace


@pytest.fixture
def figure(until):
    made = LiveFigure()
    until(lambda: (made.make(), made._figure is not None)[1])
    return made


@pytest.fixture
def curves():
    return Curves(curve_keys(), 0.5)


@pytest.fixture
def sent(figure, monkeypatch):
    """Indices of the traces whose points were sent since the last look."""
    seen = set()

    def sends(restyle_data, relayout_data, trace_indexes, **_):
        seen.update(trace_indexes if restyle_data else [])

    monkeypatch.setattr(figure._figure, "_send_update_msg", sends)

    def look():
        found = set(seen)
        seen.clear()
        return found

    return look


def test_its_space_is_kept_until_it_is_there():
    made = LiveFigure()
    assert "Preparing the curves" in html_of(made.box)
    assert made.draw(Curves(curve_keys())) is False


def test_it_is_made_once(figure):
    first = figure._figure
    figure.make()
    assert figure._figure is first
    assert figure.box.children[0].children == (first,)
    assert [len(trace.x) for trace in first.data] == [0] * 6  # every trace and the whole layout from the start
    assert [note.text for note in first.layout.annotations][-1] == "step"
    assert len(first.layout.annotations) == 5


def test_nothing_is_sent_to_a_page_that_has_no_figure_yet(figure, curves, sent):
    curves.extend([{"step": 1, "train/loss": 2.0}])
    figure.page_says(False)
    assert figure.draw(curves) is False
    assert sent() == set()


def test_only_the_traces_that_changed_are_sent(figure, curves, sent):
    figure.page_says(True)
    curves.extend([{"step": 1, "train/loss": 2.0, "lr": 0.1}])
    assert figure.draw(curves) is True
    assert list(figure._figure.data[0].y) == [2.0]
    sent()

    curves.extend([{"step": 2, "val/loss": 1.5}])
    figure.draw(curves)
    assert sent() == {2}

    figure.draw(curves)
    assert sent() == set()


def test_a_new_page_gets_every_point_again(figure, curves, sent):
    curves.extend([{"step": 1, "train/loss": 2.0}])
    figure.page_says(True)
    figure.draw(curves)
    sent()

    figure.page_says(False)  # the page is loaded anew
    figure.page_says(True)
    figure.draw(curves)

    assert sent() == {0, 1}
    assert figure._figure.layout.yaxis.showticklabels
    assert list(figure._figure.data[0].y) == [2.0]


def test_a_long_run_costs_no_more_than_a_short_one_and_keeps_its_peaks(figure, curves):
    records = [{"step": step, "train/loss": 1.0 + step % 7, "lr": 0.1} for step in range(50_000)]
    records[12_345]["train/loss"] = 99.0
    curves.extend(records)
    figure.page_says(True)
    figure.draw(curves)

    for trace in figure._figure.data:
        assert len(trace.x) <= AT_MOST
        if len(trace.x):
            assert trace.x.dtype == trace.y.dtype == np.float32
    assert max(figure._figure.data[0].y) == 99.0
    assert figure._figure.data[0].x[-1] == 49_999


def test_another_run_empties_the_plots(figure, curves):
    figure.page_says(True)
    curves.extend([{"step": 1, "train/loss": 2.0}])
    figure.draw(curves)
    curves.clear()
    figure.draw(curves)
    assert [len(trace.x) for trace in figure._figure.data] == [0] * 6
    assert not figure._figure.layout.xaxis.showticklabels


def test_axes_show_numbers_only_where_something_is_measured(figure, curves):
    figure.page_says(True)
    curves.extend([{"step": 1, "train/loss": 2.0}])
    figure.draw(curves)
    layout = figure._figure.layout
    assert layout.yaxis.showticklabels
    assert not layout.yaxis2.showticklabels


def test_loss_can_be_drawn_on_a_logarithmic_scale(figure):
    layout = figure._figure.layout
    figure.set_log_scale(True)  # before the page has the figure: kept until then
    assert layout.yaxis.type == "linear"
    figure.page_says(True)
    figure.draw(Curves(curve_keys()))
    assert (layout.yaxis.type, layout.yaxis2.type, layout.yaxis3.type) == ("log", "log", "linear")
    figure.set_log_scale(False)
    assert layout.yaxis.type == "linear"


def test_plots_stand_below_each_other_on_a_narrow_page(figure):
    layout = figure._figure.layout
    assert (layout.xaxis.domain, layout.xaxis2.domain) == ((0.0, 0.46), (0.54, 1.0))
    figure.page_says(True, narrow=True)
    assert (layout.xaxis.domain, layout.xaxis2.domain) == ((0.0, 1.0), (0.0, 1.0))
    assert layout.yaxis2.domain[1] < layout.yaxis.domain[0]
    assert layout.annotations[1].text == "Perplexity"
    assert layout.height is None  # a size of its own would keep it from following the page
    figure.page_says(True)
    assert layout.xaxis2.domain == (0.54, 1.0)


def test_on_a_page_that_is_known_to_be_narrow_they_stand_so_from_the_start(until):
    made = LiveFigure()
    made.page_says(False, narrow=True)
    until(lambda: (made.make(), made._figure is not None)[1])
    assert made._figure.layout.xaxis2.domain == (0.0, 1.0)


def test_where_a_run_has_mended_itself_stands_a_mark(figure, curves):
    figure.page_says(True)
    curves.extend([{"step": 1, "train/loss": 2.0}])
    marks = [(13, "memory"), (20, "divergence"), (13, "memory")]
    figure.draw(curves, marks=marks)
    shapes = figure._figure.layout.shapes
    assert [(shape.x0, shape.x1, shape.label.text) for shape in shapes] == [
        (13, 13, "smaller micro-batch"),
        (20, 20, "rate halved"),
    ]
    assert "Marks: smaller micro-batch at step 13" in figure._told.value
    figure.draw(curves)
    assert not figure._figure.layout.shapes, "another run has none"


def test_a_run_that_has_ended_fills_its_plots(figure, curves):
    figure.page_says(True)
    curves.extend([{"step": step, "train/loss": 2.0} for step in (1, 33)])
    figure.draw(curves, total=600)
    assert figure._figure.layout.xaxis.range == (0, 600)
    figure.draw(curves)
    assert figure._figure.layout.xaxis.range == (0, 33)
    assert not any(trace.cliponaxis for trace in figure._figure.data)


def test_numbers_of_a_logarithmic_axis_keep_apart(figure, curves):
    figure.page_says(True)
    curves.extend([{"step": 0, "val/perplexity": 1230.0}, {"step": 50, "val/perplexity": 128.0}])
    figure.draw(curves)
    layout = figure._figure.layout
    assert (layout.yaxis2.type, layout.yaxis2.nticks, layout.yaxis.nticks) == ("log", 3, 5)
    curves.extend([{"step": 60, "val/perplexity": 12.0}])
    figure.draw(curves)
    assert layout.yaxis2.nticks == 5


def test_words_beside_the_pointer_begin_with_the_step(figure):
    axes = [axis for axis in figure._figure.select_xaxes() if "unifiedhovertitle" in axis]
    assert {axis.unifiedhovertitle.text for axis in axes} <= {"step %{x:,d}"}


def test_the_log_of_a_run_that_has_ended_waits_for_nothing(dashboard, make_run):
    run = make_run(state="running")
    dashboard.open_run(run.id)
    dashboard.show("train")
    dashboard.refresh()
    assert "No log output yet." in html_of(dashboard.page.boxes["train"])
    set_status(run, state="done")
    dashboard.refresh()
    assert "No log output.\n" in html_of(dashboard.page.boxes["train"])
