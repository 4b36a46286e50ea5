"""What guessing and counting get, as lines in the plot of the loss and in words."""

from __future__ import annotations

import math
from typing import Any

from tb_widgets.runs.baselines import Baseline, Baselines
from tb_widgets.runs.curve import Curves
from tb_widgets.spec.metrics import LOSS

LINE = "#8b8f98"
"""Colour of the lines. The page's stylesheet gives them one of its theme."""
_BEYOND, _APART = 0.5, 0.08  # shares of what the losses span: so far outside a line is drawn, so close not two


def drawn_baselines(baselines: Baselines, curves: Curves) -> list[Baseline]:
    """Return the baselines to draw beside a run's losses: none far outside them, and of two close ones the lower."""
    losses = [value for key in ("train/loss", LOSS.key) for value in curves[key].line.points()[1]]
    if not losses:
        return []
    low, high = min(losses), max(losses)
    span = high - low
    drawn: list[Baseline] = []
    for line in reversed(baselines.lines):
        inside = low - _BEYOND * span <= line.loss <= high + _BEYOND * span
        if inside and (not drawn or line.loss - drawn[-1].loss > _APART * span):
            drawn.append(line)
    return drawn


def baseline_shapes(baselines: Baselines, curves: Curves) -> list[dict[str, Any]]:
    """Return Plotly's shapes for the first plot: a dashed line each, with its name where the curves are not."""
    last = min(
        (curve.last for curve in (curves["train/loss"], curves[LOSS.key]) if curve.last is not None), default=0.0
    )
    return [
        {
            "type": "line",
            "layer": "below",
            "xref": "x domain",
            "x0": 0,
            "x1": 1,
            "yref": "y",
            "y0": line.loss,
            "y1": line.loss,
            "line": {"color": LINE, "width": 1, "dash": "4px,4px"},
            "label": {
                "text": f"{line.name} {LOSS.written(line.loss)}",
                # The curves fall: they leave the upper right free, and the lower left.
                "textposition": "end" if line.loss > last else "start",
                "yanchor": "bottom",
                "padding": 3,
                "font": {"size": 10, "color": "#757980"},
            },
        }
        for line in drawn_baselines(baselines, curves)
    ]


def baselines_in_words(baselines: Baselines) -> str:
    """Return what the lines are, for those who do not see them; empty where there are none.

    >>> known = Baselines([{"kind": "baselines", "baselines": [{"name": "bigram", "loss": 2.4858}]}])
    >>> baselines_in_words(known)
    'Without a model: bigram 2.486.'
    """
    named = ", ".join(f"{line.name} {LOSS.written(line.loss)}" for line in baselines.lines)
    return f"Without a model: {named}." if named else ""


def better_in_words(baselines: Baselines, loss: float | None) -> str:
    """Return what a validation loss is better than, what comes next, and why no more was counted; empty without lines.

    >>> lines = [{"name": "bigram", "loss": 2.4858}, {"name": "5-gram", "loss": 1.6879}]
    >>> events = [{"kind": "baselines", "baselines": lines}, {"kind": "passed", "name": "bigram", "step": 300}]
    >>> better_in_words(Baselines(events), 2.2)
    'Better than a bigram (2.486) since step 300; next: a 5-gram (1.688).'
    """
    if loss is None or not baselines.lines:
        return ""
    beaten, ahead = baselines.beaten(loss), baselines.next(loss)
    if beaten is None:
        told = f"Not yet better than {_told(baselines.lines[0])}."
    else:
        line, step = beaten
        told = f"Better than {_told(line)} since step {step:,}"
        told += f"; next: {_told(ahead)}." if ahead is not None else "."
    return f"{told} {baselines.reason}".rstrip()


def passed_in_words(baseline: Baseline) -> str:
    """Return the news that a baseline was passed.

    >>> passed_in_words(Baseline("bigram", 2.4858))
    'better than a bigram (2.486)'
    """
    return f"better than {_told(baseline)}"


def choices_in_words(loss: float, baselines: Baselines) -> str:
    """Return among how many equally likely choices a guess would have a loss.

    Empty where nobody knows what is chosen among, or an even guess among all of it does better.

    >>> lines = [{"name": "even guess", "loss": 4.19}]
    >>> known = Baselines([{"kind": "baselines", "baselines": lines, "units": "characters"}])
    >>> choices_in_words(1.885, known), choices_in_words(4.3, known), choices_in_words(1.885, Baselines())
    ('as if choosing among 6.6 characters', '', '')
    """
    even = max((line.loss for line in baselines.lines), default=-math.inf)
    if not baselines.units or loss > even:
        return ""
    choices = math.exp(loss)
    return f"as if choosing among {f'{choices:.1f}' if choices < 100 else f'{choices:,.0f}'} {baselines.units}"


def _told(line: Baseline) -> str:
    return f"{line.with_article} ({LOSS.written(line.loss)})"
