"""What every benchmark returns: figures with their bounds, and how they were measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One measured figure. ``promise`` says on which side of the bound it must lie."""

    name: str
    value: float
    unit: str
    promise: Literal["at most", "at least"]
    bound: float
    how: str

    @property
    def holds(self) -> bool:
        """Whether the promise is kept."""
        return self.value <= self.bound if self.promise == "at most" else self.value >= self.bound

    def __str__(self) -> str:
        verdict = "PASS" if self.holds else "MISS"
        value, bound = (f"{number:.4g} {self.unit}".strip() for number in (self.value, self.bound))
        return f"{verdict}  {self.name:<44} {value:>12}  ({self.promise} {bound})  {self.how}"


@dataclass(frozen=True)
class Absent:
    """What could not be measured, and why; no promise is missed by it."""

    name: str
    why: str
    holds = True

    def __str__(self) -> str:
        return f"SKIP  {self.name:<44} {self.why}"
