"""What guessing and counting reach on the validation data, and since when a model is better: read from its events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tb_widgets.runs.numbers import finite

COUNTED, PASSED = "baselines", "passed"
"""Kinds of events: the losses that were counted before step 1, and a validation loss that is lower than one of them."""


@dataclass(frozen=True)
class Baseline:
    """A loss without a model, in nats a label.

    >>> Baseline("bigram", 2.49).with_article, Baseline("even guess", 4.19).with_article
    ('a bigram', 'an even guess')
    """

    name: str
    loss: float

    @property
    def with_article(self) -> str:
        """The name as a sentence takes it."""
        return f"{'an' if self.name.startswith('even') else 'a'} {self.name}"


class Baselines:
    """The baselines of a run, fed with its events.

    Attributes
    ----------
    lines
        From the highest loss to the lowest; none for a run that has not counted.
    units
        What a label is one of, in the plural: ``characters``, ``bytes``, ``tokens`` or ``classes``.
    reason
        Why there are fewer of them, as a sentence; empty where there are all.
    data
        Fingerprint of the data that were counted.
    passed
        Step of the validation at which the loss was lower for the first time, by name.
    """

    def __init__(self, events: Iterable[dict[str, Any]] = ()) -> None:
        self.lines: tuple[Baseline, ...] = ()
        self.units = self.reason = self.data = ""
        self.passed: dict[str, int] = {}
        self.take(events)

    def take(self, events: Iterable[dict[str, Any]]) -> bool:
        """Take new events, in their order; return whether any of them changes something."""
        changed = False
        for event in events:
            kind, step = event.get("kind"), finite(event.get("step"))
            changed |= kind in (COUNTED, PASSED, "started")
            if kind == "started":  # also where a run begins again at step 0
                self.passed.clear()
            elif kind == COUNTED:
                self._take_counted(event)
            elif kind == PASSED and step is not None:
                self.passed.setdefault(str(event.get("name")), int(step))
        return changed

    def _take_counted(self, event: dict[str, Any]) -> None:
        self.units, self.reason, self.data = (str(event.get(key, "")) for key in ("units", "reason", "data"))
        # The events may be those of another machine, or damaged.
        listed = event.get("baselines")
        found = [line for line in listed if isinstance(line, dict)] if isinstance(listed, list) else []
        named = [(str(line.get("name"))[:60], finite(line.get("loss"))) for line in found]
        lines = [Baseline(name, loss) for name, loss in named if loss is not None]
        self.lines = tuple(sorted(lines, key=lambda line: -line.loss))

    def beaten(self, loss: float) -> tuple[Baseline, int] | None:
        """Return the lowest baseline that was passed and still lies above a loss, and since which step."""
        held = [line for line in self.lines if line.name in self.passed and loss < line.loss]
        return (held[-1], self.passed[held[-1].name]) if held else None

    def next(self, loss: float) -> Baseline | None:
        """Return the highest baseline that a loss does not lie below."""
        return next((line for line in self.lines if line.loss <= loss), None)
