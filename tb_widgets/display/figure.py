"""A plot for every metric in one Plotly figure: how a run went."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tb_widgets.runs.curve import Curves
from tb_widgets.spec.metrics import METRICS

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_TRAIN, _VALIDATION = "#3b5bdb", "#c77700"


def curve_keys() -> tuple[str, ...]:
    """Return the keys of a run's journal that are drawn: the training loss, every validation metric, the rate."""
    return ("train/loss", *METRICS, "lr")


def plot_titles(task: str = "") -> list[str]:
    """Return the title of each plot, of which there is one for every metric, and one for the learning rate.

    Parameters
    ----------
    task
        What the run learns; empty for a model that continues texts.
    """
    task = task or "causal-lm"
    headings = [
        metric.heading(task) if metric.exists_for(task) else f"No {metric.title.lower()} for this task"
        for metric in METRICS.values()
    ]
    return [*headings, "Learning rate (per step)"]


def arrangement(*, narrow: bool = False) -> dict[str, Any]:
    """Return the part of the layout that says where the plots are: two a row, or below each other where it is narrow.

    It changes the layout of :func:`figure_parts`, whose plots stand two a row.
    """
    columns = ((0.0, 1.0),) if narrow else ((0.0, 0.46), (0.54, 1.0))
    plots = len(METRICS.values()) + 1
    rows = math.ceil(plots / len(columns))
    gap = 0.16 if rows == 2 else 0.2 / max(1, rows - 1)
    height = (1 - gap * (rows - 1)) / rows
    tops = [1 - row * (height + gap) for row in range(rows)]
    places = [(column, (max(0.0, top - height), top)) for top in tops for column in columns][:plots]
    arranged: dict[str, Any] = {"annotations": []}
    for index, (column, row) in enumerate(places):
        suffix = "" if index == 0 else str(index + 1)
        arranged[f"xaxis{suffix}"] = {"domain": list(column)}
        arranged[f"yaxis{suffix}"] = {"domain": list(row)}
        arranged["annotations"].append({"x": column[0], "y": row[1]})
    return arranged


def figure_parts() -> dict[str, Any]:
    """Return the traces, without points, and the whole layout, ready for ``Figure`` or ``FigureWidget``.

    It has no size of its own: a size that is given once keeps Plotly from following the page.
    The order of the traces is that of :func:`figure_points`.
    """

    def trace(plot: int, name: str, colour: str, *, faint: bool = False, markers: bool = False) -> dict[str, Any]:
        suffix = "" if plot == 1 else str(plot)
        return {
            "type": "scatter",
            "mode": "lines+markers" if markers else "lines",
            "name": name,
            "x": [],
            "y": [],
            "xaxis": f"x{suffix}",
            "yaxis": f"y{suffix}",
            "line": {"color": colour, "width": 1 if faint else 2},
            "marker": {"size": 5},
            "opacity": 0.3 if faint else 1.0,
            "hovertemplate": "step %{x:,}<br>%{y:.4g}<extra>" + name + "</extra>",
        }

    metrics, titles = METRICS.values(), plot_titles()
    traces = [
        trace(1, "train, every step", _TRAIN, faint=True),
        trace(1, "train", _TRAIN),
        *(trace(plot, "validation", _VALIDATION, markers=True) for plot in range(1, len(titles))),
        trace(len(titles), "learning rate", _TRAIN),
    ]
    layout: dict[str, Any] = {
        "autosize": True,
        "showlegend": False,
        "margin": {"l": 48, "r": 12, "t": 28, "b": 32},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": "#7a7f87"},
        "hoverlabel": {"align": "left"},
        "uirevision": "keep",
        **arrangement(),
    }
    for index, title in enumerate(titles):
        suffix = "" if index == 0 else str(index + 1)
        grid = {
            "gridcolor": "rgba(128,128,128,0.18)",
            "zeroline": False,
            "linecolor": "rgba(128,128,128,0.3)",
            "showticklabels": False,
            "automargin": False,
        }
        layout[f"xaxis{suffix}"] |= {
            **grid,
            "anchor": f"y{suffix}",
            "showgrid": False,
            "rangemode": "tozero",
            "tickformat": "~s",
            "nticks": 6,
        }
        layout[f"yaxis{suffix}"] |= {**grid, "anchor": f"x{suffix}", "nticks": 5}
        layout["annotations"][index] |= {
            "text": title,
            "xref": "paper",
            "yref": "paper",
            "xanchor": "left",
            "yanchor": "bottom",
            "showarrow": False,
            "yshift": 6,
        }
    for plot, metric in enumerate(metrics, 1):
        if metric.form.endswith("%"):  # 4.2 % and 4.4 % are not the same
            layout[f"yaxis{plot}" if plot > 1 else "yaxis"] |= {"tickformat": ".2~%", "rangemode": "nonnegative"}
    layout[f"yaxis{len(titles)}"] |= {"tickformat": "~g", "rangemode": "tozero"}
    return {"data": traces, "layout": layout}


def show_ticks(layout: Any, points: list[tuple[list[float], list[float]]]) -> None:
    """Put numbers on the axes that have something to measure; an empty plot shows none."""
    # The first plot has three traces, every other one.
    for plot, trace in enumerate((0, *range(3, len(points))), 1):
        suffix = "" if plot == 1 else str(plot)
        filled = bool(points[trace][0])
        for axis in (f"xaxis{suffix}", f"yaxis{suffix}"):
            if layout[axis].showticklabels != filled:
                layout[axis].showticklabels = filled


def figure_points(curves: Curves) -> list[tuple[list[float], list[float]]]:
    """Return x and y of every trace, in the order of :func:`figure_parts`."""
    return [
        curves["train/loss"].line.points(),
        curves["train/loss"].smooth_line.points(),
        *(curves[key].line.points() for key in curve_keys()[1:]),
    ]


def run_figure(records: Iterable[dict[str, Any]], *, title: str, smoothing: float = 0.6) -> Figure:
    """Return a Plotly figure of a run's journal records."""
    from plotly.graph_objects import Figure

    curves = Curves(curve_keys(), smoothing)
    curves.extend(records)
    parts = figure_parts()
    for trace, (x, y) in zip(parts["data"], figure_points(curves), strict=True):
        trace["x"], trace["y"] = x, y
    for key, axis in parts["layout"].items():
        if "axis" in key:
            axis["showticklabels"] = True
    parts["layout"]["height"] = 500
    parts["layout"]["title"] = {"text": title, "font": {"size": 14}}
    parts["layout"]["margin"]["t"] = 64
    return Figure(parts)
