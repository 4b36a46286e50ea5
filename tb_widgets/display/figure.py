"""Four curves in one Plotly figure: how a run went."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tb_widgets.runs.curve import Curves

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

TRAIN, VALIDATION = "#3b5bdb", "#c77700"
KEYS = ("train/loss", "val/loss", "val/perplexity", "val/accuracy", "lr")
# Title of each plot, and the unit that its axis is in.
PLOTS = (
    "Loss (nats per token)",
    "Perplexity (validation)",
    "Accuracy (next tokens)",
    "Learning rate (per step)",
)
_CLASSES = ("Loss (nats per example)", "No perplexity: classes are told", "Accuracy (classes)", PLOTS[3])
TASK_PLOTS = {
    "masked-lm": (PLOTS[0], PLOTS[1], "Accuracy (hidden tokens)", PLOTS[3]),
    "seq2seq": (PLOTS[0], PLOTS[1], "Accuracy (tokens of the answer)", PLOTS[3]),
    "sequence-classification": _CLASSES,
    "vision-classification": _CLASSES,
}
"""The titles of the plots for tasks other than continuing texts."""


def arrangement(*, narrow: bool = False) -> dict[str, Any]:
    """Return the part of the layout that says where the plots are: two a row, or below each other where it is narrow.

    It changes the layout of :func:`figure_parts`, whose plots stand two a row.
    """
    columns = ((0.0, 1.0),) if narrow else ((0.0, 0.46), (0.54, 1.0))
    rows = ((0.8, 1.0), (0.533, 0.733), (0.267, 0.467), (0.0, 0.2)) if narrow else ((0.58, 1.0), (0.0, 0.42))
    places = [(column, row) for row in rows for column in columns]
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

    traces = [
        trace(1, "train, every step", TRAIN, faint=True),
        trace(1, "train", TRAIN),
        trace(1, "validation", VALIDATION, markers=True),
        trace(2, "validation", VALIDATION, markers=True),
        trace(3, "validation", VALIDATION, markers=True),
        trace(4, "learning rate", TRAIN),
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
    for index, title in enumerate(PLOTS):
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
    layout["yaxis3"] |= {"tickformat": ".2~%", "rangemode": "nonnegative"}  # 4.2 % and 4.4 % are not the same
    layout["yaxis4"]["tickformat"] = "~g"
    layout["yaxis4"]["rangemode"] = "tozero"
    return {"data": traces, "layout": layout}


def show_ticks(layout: Any, points: list[tuple[list[float], list[float]]]) -> None:
    """Put numbers on the axes that have something to measure; an empty plot shows none."""
    for suffix, trace in (("", 0), ("2", 3), ("3", 4), ("4", 5)):
        filled = bool(points[trace][0])
        for axis in (f"xaxis{suffix}", f"yaxis{suffix}"):
            if layout[axis].showticklabels != filled:
                layout[axis].showticklabels = filled


def figure_points(curves: Curves) -> list[tuple[list[float], list[float]]]:
    """Return x and y of every trace, in the order of :func:`figure_parts`."""
    return [
        curves["train/loss"].line.points(),
        curves["train/loss"].smooth_line.points(),
        *(curves[key].line.points() for key in KEYS[1:]),
    ]


def run_figure(records: Iterable[dict[str, Any]], *, title: str, smoothing: float = 0.6) -> Figure:
    """Return a Plotly figure of a run's journal records."""
    from plotly.graph_objects import Figure

    curves = Curves(KEYS, smoothing)
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
