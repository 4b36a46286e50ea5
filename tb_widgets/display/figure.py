"""A plot for every metric in one Plotly figure: how a run went."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tb_widgets.display.baselines import baseline_shapes, baselines_in_words
from tb_widgets.display.marks import Mark, mark_shapes, marks_in_words
from tb_widgets.runs.baselines import Baselines
from tb_widgets.runs.curve import Curves
from tb_widgets.spec.metrics import LOSS, METRICS

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

TRAIN, VALIDATION = "#3b5bdb", "#c77700"
"""Colours of the two lines. The page's stylesheet knows them, and turns them into those of its theme."""


_SHORT = 10**1.5  # a logarithmic axis whose values span less has room for three numbers


@dataclass(frozen=True)
class Plot:
    """One plot of a run: a line over the steps.

    Attributes
    ----------
    key
        Of the journal; empty where the plot has nothing to show.
    title
        Title and unit, as they stand above it.
    line
        What the line is called beside a value.
    colour
        Of the line.
    markers
        Whether every value is a dot, as where there are few.
    form
        How values are written: on the axis and, after it, beside the line.
    log
        Whether the axis is logarithmic.
    """

    key: str
    title: str
    line: str = "validation"
    colour: str = VALIDATION
    markers: bool = True
    form: tuple[str, str] = ("~g", ".4g")
    log: bool = False


def curve_keys() -> tuple[str, ...]:
    """Return the keys of a run's journal that are drawn for one task or another."""
    return ("train/loss", *METRICS, "grad_norm", "lr")


def plots(task: str = "") -> list[Plot]:
    """Return the plots of a run, in their order; there are equally many for every task.

    Where a metric makes no sense for the task, the gradient norm takes its place.

    Parameters
    ----------
    task
        What the run learns; empty for a model that continues texts.
    """
    task = task or "causal-lm"
    found = [
        # 4.2 % and 4.4 % are not the same, and nothing is beyond 100 %.
        Plot(
            metric.key,
            metric.heading(task),
            form=(".2~%" if metric.form.endswith("%") else "~g", metric.form),
            log=metric.log,
        )
        for metric in METRICS.values()
        if metric.plotted and metric.exists_for(task)
    ]
    count = sum(metric.plotted for metric in METRICS.values()) + 1
    if len(found) + 1 < count:
        found.append(Plot("grad_norm", "Gradient norm", "gradient norm", TRAIN, markers=False))
    found.append(Plot("lr", "Learning rate", "learning rate", TRAIN, markers=False))
    return found + [Plot("", "", markers=False)] * (count - len(found))


def arrangement(*, narrow: bool = False, count: int = 0) -> dict[str, Any]:
    """Return the part of the layout that says where the plots are: two a row, or below each other where it is narrow.

    It changes the layout of :func:`figure_parts`, whose plots stand two a row.
    """
    columns = ((0.0, 1.0),) if narrow else ((0.0, 0.46), (0.54, 1.0))
    count = count or len(plots())
    rows = math.ceil(count / len(columns))
    gap = 0.16 if rows == 2 else 0.2 / max(1, rows - 1)
    height = (1 - gap * (rows - 1)) / rows
    tops = [1 - row * (height + gap) for row in range(rows)]
    places = [(column, (max(0.0, top - height), top)) for top in tops for column in columns][:count]
    arranged: dict[str, Any] = {"annotations": []}
    for index, (column, row) in enumerate(places):
        suffix = _suffix(index)
        arranged[f"xaxis{suffix}"] = {"domain": list(column)}
        arranged[f"yaxis{suffix}"] = {"domain": list(row)}
        arranged["annotations"].append({"x": column[0], "y": row[1]})
    # What the axes below count is said once.
    arranged["annotations"].append({"x": 1.0, "y": 0.0})
    return arranged


def figure_parts(task: str = "") -> dict[str, Any]:
    """Return the traces, without points, and the whole layout, ready for ``Figure`` or ``FigureWidget``.

    It has no size of its own: a size that is given once keeps Plotly from following the page. Nothing can be zoomed:
    a finger that scrolls the page over a plot would.
    The order of the traces is that of :func:`figure_points`.
    """
    shown = plots(task)

    def trace(plot: int, **options: Any) -> dict[str, Any]:
        axes = {"xaxis": f"x{_suffix(plot)}", "yaxis": f"y{_suffix(plot)}"}
        # The first and the last point stand on the edge: they are drawn whole.
        return {"type": "scatter", "x": [], "y": [], "marker": {"size": 5}, "cliponaxis": False, **axes, **options}

    traces = [
        # The smoothed line is the one to read; its values are hovered over, not those of every step.
        trace(0, mode="lines", line={"color": TRAIN, "width": 1}, opacity=0.45, hoverinfo="skip", name="every step"),
        trace(
            0, mode="lines", line={"color": TRAIN, "width": 2}, hovertemplate=_hover("train", LOSS.form), name="train"
        ),
        *(trace(index, **_look(plot)) for index, plot in enumerate(shown)),
    ]
    layout: dict[str, Any] = {
        "autosize": True,
        "showlegend": False,
        "margin": {"l": 48, "r": 24, "t": 28, "b": 40},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": "#63676f"},
        "hovermode": "x unified",
        "dragmode": False,
        "hoverlabel": {"align": "left", "bgcolor": "#fff", "bordercolor": "#e4e4e0"},
        "uirevision": "keep",
        **arrangement(),
    }
    for index, plot in enumerate(shown):
        suffix = _suffix(index)
        grid = {
            "gridcolor": "rgba(128,128,128,0.18)",
            "zeroline": False,
            "linecolor": "rgba(128,128,128,0.3)",
            "showticklabels": False,
            "automargin": False,
            "fixedrange": True,
        }
        layout[f"xaxis{suffix}"] |= {
            **grid,
            "anchor": f"y{suffix}",
            "showgrid": False,
            "rangemode": "tozero",
            "tickformat": ",d",
            "hoverformat": ",d",
            "nticks": 5,
            "spikecolor": "#8b8f98",
            "spikethickness": 1,
            "spikedash": "solid",
        }
        if index:
            layout[f"xaxis{suffix}"]["matches"] = "x"
        layout[f"yaxis{suffix}"] |= {**grid, "anchor": f"x{suffix}", "nticks": 5, **_scale(plot)}
        layout["annotations"][index] |= {
            "text": plot.title,
            "xref": "paper",
            "yref": "paper",
            "xanchor": "left",
            "yanchor": "bottom",
            "showarrow": False,
            "yshift": 6,
        }
    layout["annotations"][-1] |= {
        "text": "step",
        "xref": "paper",
        "yref": "paper",
        "xanchor": "right",
        "yanchor": "top",
        "showarrow": False,
        "yshift": -20,
    }
    return {"data": traces, "layout": layout}


def follow_task(figure: Any, task: str) -> None:
    """Give the plots of a figure made by :func:`figure_parts` the titles, scales and lines of a task.

    The widget is made once, and sends only what differs.
    """
    for index, plot in enumerate(plots(task)):
        suffix = _suffix(index)
        note, axis = figure.layout.annotations[index], figure.layout[f"yaxis{suffix}"]
        if note.text != plot.title:
            note.text = plot.title
            figure.data[2 + index].update(_look(plot))
            axis.update(_scale(plot))


def _look(plot: Plot) -> dict[str, Any]:
    return {
        "mode": "lines+markers" if plot.markers else "lines",
        "line": {"color": plot.colour, "width": 2},
        "name": plot.line,
        "hovertemplate": _hover(plot.line, plot.form[1]),
    }


def _hover(line: str, form: str) -> str:
    return f"{line} %{{y:{form}}}<extra></extra>"


def _scale(plot: Plot) -> dict[str, Any]:
    shares = plot.form[0].endswith("%")
    return {
        "type": "log" if plot.log else "linear",
        "tickformat": plot.form[0],
        "rangemode": "nonnegative" if shares else "tozero" if plot.key == "lr" else "normal",
    }


def _suffix(index: int) -> str:
    return "" if index == 0 else str(index + 1)


def name_steps(figure: Any) -> None:
    """Let the words beside the pointer begin with the step; an older Plotly writes its number only."""
    for axis in figure.select_xaxes():
        if "unifiedhovertitle" in axis:
            axis.unifiedhovertitle = {"text": "step %{x:,d}"}


def space_ticks(layout: Any, points: list[tuple[list[float], list[float]]]) -> None:
    """Keep numbers apart: on a logarithmic axis of little more than a decade Plotly would write all nine of it."""
    for plot in range(len(points) - 2):
        axis = layout[f"yaxis{_suffix(plot)}"]
        lines = points[:3] if plot == 0 else [points[2 + plot]]
        drawn = [value for _, y in lines for value in y]
        low, high = min(drawn, default=1.0), max(drawn, default=1.0)
        is_short = axis.type == "log" and low > 0 and high / low < _SHORT
        if axis.nticks != (count := 3 if is_short else 5):
            axis.nticks = count


def show_ticks(layout: Any, points: list[tuple[list[float], list[float]]], total: int | None = None) -> None:
    """Put numbers on the axes that have something to measure, which reach to the run's end; an empty plot shows none.

    Parameters
    ----------
    total
        Steps of the run; ``None`` where the last point is the end.
    """
    end = total or max((step for steps, _ in points for step in steps), default=0)
    reach = [0, end] if end else None
    if list(layout["xaxis"].range or []) != (reach or []):
        layout["xaxis"].range = reach
    space_ticks(layout, points)
    for plot in range(len(points) - 2):
        suffix = _suffix(plot)
        filled = bool(points[2 + plot][0]) or (plot == 0 and bool(points[0][0]))
        for axis in (f"xaxis{suffix}", f"yaxis{suffix}"):
            if layout[axis].showticklabels != filled:
                layout[axis].showticklabels = filled


def figure_points(curves: Curves, task: str = "") -> list[tuple[list[float], list[float]]]:
    """Return x and y of every trace, in the order of :func:`figure_parts`."""
    return [
        curves["train/loss"].line.points(),
        curves["train/loss"].smooth_line.points(),
        *(curves[plot.key].line.points() if plot.key else ([], []) for plot in plots(task)),
    ]


def curves_in_words(
    curves: Curves,
    task: str = "",
    total: int | None = None,
    baselines: Baselines | None = None,
    marks: Sequence[Mark] = (),
) -> str:
    """Return what the plots show, for those who do not see them: the first, the last and the best value of each."""
    told = []
    train = curves["train/loss"]
    lines = [("Training loss", train, LOSS.form)] if len(train) else []
    lines += [(plot.title, curves[plot.key], plot.form[1]) for plot in plots(task) if plot.key and curves[plot.key]]
    for title, curve, form in lines:
        first, last = curve.values[0], curve.values[-1]
        told.append(
            f"{title}: {first:{form}} at step {curve.steps[0]:,.0f}, {last:{form}} at step {curve.steps[-1]:,.0f}."
        )
    told += filter(None, [baselines_in_words(baselines or Baselines()), marks_in_words(marks)])
    of = f" of a run of {total:,} steps" if total else ""
    return f"Curves{of}. {' '.join(told)}" if told else "No curves yet."


def run_figure(
    records: Iterable[dict[str, Any]],
    *,
    title: str,
    task: str = "",
    smoothing: float = 0.6,
    baselines: Baselines | None = None,
    marks: Sequence[Mark] = (),
) -> Figure:
    """Return a Plotly figure of a run's journal records, of what guessing and counting get, and of what was mended."""
    from plotly.graph_objects import Figure

    curves = Curves(curve_keys(), smoothing)
    curves.extend(records)
    parts = figure_parts(task)
    points = figure_points(curves, task)
    for trace, (x, y) in zip(parts["data"], points, strict=True):
        trace["x"], trace["y"] = x, y
    parts["layout"]["shapes"] = [*baseline_shapes(baselines or Baselines(), curves), *mark_shapes(marks)]
    for key, axis in parts["layout"].items():
        if "axis" in key:
            axis["showticklabels"] = True
            axis["fixedrange"] = False  # it stands alone, with Plotly's own buttons
    parts["layout"]["dragmode"] = "zoom"
    parts["layout"]["height"] = 500
    parts["layout"]["title"] = {"text": title, "font": {"size": 14}}
    parts["layout"]["margin"]["t"] = 64
    figure = Figure(parts)
    name_steps(figure)
    space_ticks(figure.layout, points)
    return figure
