"""Where a run has mended itself, as marks on its curve and in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tb_widgets.display.baselines import LINE
from tb_widgets.runs.numbers import finite

NAMES = {"memory": "smaller micro-batch", "divergence": "rate halved", "lost": "process lost"}
Mark = tuple[int, str]
"""A step, and what was done there: a key of ``NAMES``."""


def marks_of(events: Iterable[dict[str, Any]]) -> list[Mark]:
    """Return the marks of some events.

    >>> marks_of([{"kind": "warning", "recovered": "memory", "step": 13}, {"kind": "warning"}])
    [(13, 'memory')]
    """
    found = ((finite(event.get("step")), str(event.get("recovered"))) for event in events)
    return [(int(step), what) for step, what in found if step is not None and what in NAMES]


def mark_shapes(marks: Sequence[Mark]) -> list[dict[str, Any]]:
    """Return Plotly's shapes for the first plot: an upright line each, with what was done there."""
    return [
        {
            "type": "line",
            "layer": "below",
            "xref": "x",
            "x0": step,
            "x1": step,
            "yref": "y domain",
            "y0": 0,
            "y1": 1,
            "line": {"color": LINE, "width": 1, "dash": "2px,2px"},
            "label": {
                "text": NAMES[what],
                "textangle": 0,
                "textposition": "start",
                "xanchor": "left",
                "padding": 3,
                "font": {"size": 10, "color": "#757980"},
            },
        }
        for step, what in dict.fromkeys(marks)
    ]


def marks_in_words(marks: Sequence[Mark]) -> str:
    """Return what the marks say, for those who do not see them.

    >>> marks_in_words([(13, "memory"), (20, "divergence")])
    'Marks: smaller micro-batch at step 13, rate halved at step 20.'
    """
    told = ", ".join(f"{NAMES[what]} at step {step:,}" for step, what in dict.fromkeys(marks))
    return f"Marks: {told}." if told else ""
