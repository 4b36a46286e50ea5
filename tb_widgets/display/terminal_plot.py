"""Loss curves drawn with characters."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from rich.text import Text

from tb_widgets.runs.curve import Curves
from tb_widgets.spec.metrics import LOSS

KEYS = ("train/loss", "val/loss")
SMOOTHING = 0.9
_TRAIN, _VALIDATION = "bright_blue", "yellow"
MARK = "●"
# Dots of a braille character by column and row, from the top left; U+2800 is the empty one.
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
BRAILLE = 0x2800


def loss_plot(records: Iterable[dict[str, Any]], task: str = "", *, width: int = 78, height: int = 12) -> Text:
    """Return the training loss as a line and the validation loss as marks, with axes.

    Parameters
    ----------
    records
        A run's journal.
    task
        Of the run; the unit of its loss follows from it.
    width, height
        Characters in a row, axis and labels included; rows of the drawing itself.
    """
    curves = Curves(KEYS, SMOOTHING)
    curves.extend(records)
    return draw_losses(curves, task, width=width, height=height)


def draw_losses(curves: Curves, task: str = "", *, width: int = 78, height: int = 12) -> Text:
    """Return the plot of :func:`loss_plot` for curves that are kept up to date by somebody else."""
    train = list(zip(*curves["train/loss"].smooth_line.points(), strict=True))
    marks = list(zip(*curves["val/loss"].line.points(), strict=True))
    if not train:
        return Text("No losses yet.")
    values = [y for _, y in train + marks]
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    last = max(x for x, _ in train + marks)
    labels = dict(_y_labels(low, high, height))
    margin = max(len(label) for label in (*labels.values(), "step")) + 1
    canvas = _Canvas(width - margin - 1, height, (0.0, max(last, 1.0)), (low, high))
    canvas.line(train)
    canvas.marks(marks)

    text = Text(LOSS.heading(task), style="bold")
    text.append("   ⣀⡠⠔ train, smoothed", style=f"not bold {_TRAIN}")
    text.append(f"   {MARK} validation\n", style=f"not bold {_VALIDATION}")
    for row, cells in enumerate(canvas.rows()):
        text.append(f"{labels.get(row, ''):>{margin - 1}} ", style="not bold dim")
        text.append("┤" if row in labels else "│", style="not bold dim")
        for style, run in groupby(cells, key=lambda cell: cell[1]):
            text.append("".join(cell for cell, _ in run), style=f"not bold {style}")
        text.append("\n")
    text.append(_x_axis(canvas.width, max(last, 1.0), margin), style="not bold dim")
    return text


class _Canvas:
    """Cells of two by four dots for a line, and a mark over a whole cell."""

    def __init__(self, width: int, height: int, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.width, self.height = max(8, width), max(3, height)
        self._x, self._y = x, y
        self._dots = [[0] * self.width for _ in range(self.height)]
        self._marks: set[tuple[int, int]] = set()

    def _dot(self, x: float, y: float) -> tuple[int, int]:
        across = (x - self._x[0]) / (self._x[1] - self._x[0])
        down = (self._y[1] - y) / (self._y[1] - self._y[0])
        return round(across * (2 * self.width - 1)), round(down * (4 * self.height - 1))

    def line(self, points: list[tuple[float, float]]) -> None:
        """Join points by straight lines."""
        dots = [self._dot(x, y) for x, y in points]
        for (x0, y0), (x1, y1) in zip(dots, dots[1:] or dots, strict=False):
            count = max(abs(x1 - x0), abs(y1 - y0), 1)
            for i in range(count + 1):
                x, y = x0 + round((x1 - x0) * i / count), y0 + round((y1 - y0) * i / count)
                self._dots[y // 4][x // 2] |= DOTS[x % 2][y % 4]

    def marks(self, points: list[tuple[float, float]]) -> None:
        """Set one mark for each point."""
        for point in points:
            x, y = self._dot(*point)
            self._marks.add((y // 4, x // 2))

    def rows(self) -> list[list[tuple[str, str]]]:
        """Return each row's characters and their styles, from the top."""
        return [
            [
                (MARK, _VALIDATION) if (row, column) in self._marks else (chr(BRAILLE + dots) if dots else " ", _TRAIN)
                for column, dots in enumerate(cells)
            ]
            for row, cells in enumerate(self._dots)
        ]


def _tick_step(span: float, count: int) -> float:
    """Return 1, 2 or 5 times a power of ten, so that about ``count`` steps fill the span."""
    size: float = 10 ** math.floor(math.log10(span / count))
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor * count >= span * 0.999)


def _y_labels(low: float, high: float, height: int) -> list[tuple[int, str]]:
    step = _tick_step(high - low, max(2, height // 2))
    digits = max(0, -math.floor(math.log10(step)))
    found = []
    for i in range(math.ceil(low / step), math.floor(high / step) + 1):
        row = round((high - i * step) / (high - low) * (4 * height - 1)) // 4
        found.append((row, f"{i * step:.{digits}f}"))
    return found or [(0, f"{high:.3g}")]


def _x_axis(width: int, last: float, margin: int) -> str:
    step = max(1, round(_tick_step(last, 6)))
    rule, line = ["─"] * width, [" "] * width
    for x in range(0, int(last) + 1, step):
        column = round(x / last * (2 * width - 1)) // 2
        label = f"{x:,}"
        start = min(max(0, column - len(label) // 2), width - len(label))
        rule[column] = "┴"
        line[start : start + len(label)] = label
    return f"{' ' * margin}└{''.join(rule)}\n{'step':>{margin}} {''.join(line)}"
