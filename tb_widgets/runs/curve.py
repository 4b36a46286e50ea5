"""Curves that cost the same to draw at any length."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import Any

from tb_widgets.runs.numbers import finite

Point = tuple[float, float]


class DrawnLine:
    """A line of at most ``2 * buckets + 1`` points that keeps the smallest and the largest value of every bucket.

    Points are added at the end, in constant time. When all buckets are full, neighbours are merged, so that each
    then covers twice as many points: peaks survive at every length.
    """

    def __init__(self, buckets: int = 200) -> None:
        self._limit = max(2, buckets - buckets % 2)  # full buckets are merged in pairs
        self.clear()

    def clear(self) -> None:
        """Forget every point."""
        self._stride = 1
        self._in_last = 0
        self._buckets: list[tuple[Point, Point]] = []
        self._last: Point | None = None

    def add(self, x: float, y: float) -> None:
        """Add a point to the right of all others."""
        point = (x, y)
        self._last = point
        if self._buckets and self._in_last < self._stride:
            low, high = self._buckets[-1]
            if y < low[1]:
                self._buckets[-1] = (point, high)
            elif y > high[1]:
                self._buckets[-1] = (low, point)
            self._in_last += 1
            return
        if len(self._buckets) == self._limit:
            pairs = zip(self._buckets[::2], self._buckets[1::2], strict=True)
            self._buckets = [(min(a[0], b[0], key=_value), max(a[1], b[1], key=_value)) for a, b in pairs]
            self._stride *= 2
        self._buckets.append((point, point))
        self._in_last = 1

    def points(self) -> tuple[list[float], list[float]]:
        """Return the x and y values to draw, from left to right, the newest point always among them."""
        drawn: list[Point] = []
        for low, high in self._buckets:
            if low == high:
                drawn.append(low)
            else:
                drawn += sorted((low, high))
        if self._last is not None and (not drawn or drawn[-1] != self._last):
            drawn.append(self._last)
        return [x for x, _ in drawn], [y for _, y in drawn]


def _value(point: Point) -> float:
    return point[1]


class Curve:
    """All values of one metric, a line to draw them, and the same line smoothed.

    Smoothing is the exponential moving average with debiasing: 0 shows the values as they are, towards 1 the past
    weighs more. It is computed over every value, not over the drawn ones, so it looks the same at any length.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        self.steps = array("d")
        self.values = array("d")
        self.line = DrawnLine()
        self.smooth_line = DrawnLine()
        self._smoothing = smoothing
        self._average = 0.0
        self._weight = 0.0

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def last(self) -> float | None:
        """The newest value, or None."""
        return self.values[-1] if self.values else None

    def add(self, step: float, value: float) -> None:
        """Add a value; one that is not finite is kept out of the line."""
        if not math.isfinite(value):
            return
        self.steps.append(step)
        self.values.append(value)
        self.line.add(step, value)
        self._add_smooth(step, value)

    def set_smoothing(self, smoothing: float) -> None:
        """Draw the smoothed line anew with another smoothing, 0 to below 1."""
        if smoothing == self._smoothing:
            return
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must be at least 0 and below 1, not {smoothing}")
        self._smoothing, self._average, self._weight = smoothing, 0.0, 0.0
        self.smooth_line.clear()
        for step, value in zip(self.steps, self.values, strict=True):
            self._add_smooth(step, value)

    def _add_smooth(self, step: float, value: float) -> None:
        self._average = self._smoothing * self._average + (1 - self._smoothing) * value
        self._weight = self._smoothing * self._weight + (1 - self._smoothing)
        self.smooth_line.add(step, self._average / self._weight)


class Curves:
    """The curves of a run, by metric key, fed with journal records."""

    def __init__(self, keys: Iterable[str], smoothing: float = 0.0) -> None:
        self._keys = tuple(keys)
        self._smoothing = smoothing
        self.clear()

    def __getitem__(self, key: str) -> Curve:
        return self._curves[key]

    def clear(self) -> None:
        """Forget every value, as when a resumed run has rewritten its journal."""
        self._curves = {key: Curve(self._smoothing) for key in self._keys}

    def extend(self, records: Iterable[dict[str, Any]]) -> set[str]:
        """Add journal records and return the keys that got new values."""
        changed = set()
        curves = list(self._curves.items())
        for record in records:
            # A line of the journal may be damaged and still be JSON.
            if (step := finite(record.get("step"))) is None:
                continue
            for key, curve in curves:
                if (value := finite(record.get(key))) is not None:
                    curve.add(step, value)
                    changed.add(key)
        return changed

    def set_smoothing(self, smoothing: float) -> None:
        """Change the smoothing of every curve."""
        self._smoothing = smoothing
        for curve in self._curves.values():
            curve.set_smoothing(smoothing)
