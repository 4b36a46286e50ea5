"""Which learning rates are typical: one rule for the form, the terminal, the hints and what a failed run is told."""

from __future__ import annotations

from dataclasses import dataclass

from tb_widgets.spec.labels import OPTIMISERS
from tb_widgets.wording import plain_number


@dataclass(frozen=True)
class Rates:
    """Learning rates of an optimiser.

    Attributes
    ----------
    title
        What people call it.
    low, high
        Between these it is typically trained with, at its peak.
    least, most
        Below the one hardly anything is learned, and above the other the loss mostly diverges.
    """

    title: str
    low: float
    high: float
    least: float
    most: float

    @property
    def range(self) -> str:
        """What is typical, for example ``0.0001 to 0.003``."""
        return f"{plain_number(self.low)} to {plain_number(self.high)}"

    def advice(self, rate: float) -> str:
        """Return what is typical instead of a rate that is far from it; empty for any other.

        >>> RATES["adamw"].advice(0.5)
        '0.5 is far above what is typical for AdamW (0.0001 to 0.003): the loss will probably diverge. Try 0.003.'
        >>> RATES["muon"].advice(0.02), RATES["adamw"].advice(2e-5)
        ('', '')
        """
        if self.least <= rate <= self.most:
            return ""
        is_high = rate > self.most
        side, better = ("above", self.high) if is_high else ("below", self.low)
        then = "the loss will probably diverge" if is_high else "the model will hardly learn"
        what = f"is far {side} what is typical for {self.title} ({self.range})"
        return f"{plain_number(rate)} {what}: {then}. Try {plain_number(better)}."


RATES = {
    "adamw": Rates(OPTIMISERS["adamw"], 1e-4, 3e-3, least=1e-6, most=0.03),
    "muon": Rates(OPTIMISERS["muon"], 5e-3, 0.02, least=1e-5, most=0.2),
}
"""By the optimiser, for transformers. Fine-tuning takes much less than is typical, so little is told to be too low."""
