"""What a check says. Importing this file imports no torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["pass", "warn", "fail", "unknown"]
Fault = tuple[Verdict, str, str]
"""A verdict with what happened, and what to do."""


SIGNS: dict[Verdict, str] = {"pass": "✓", "warn": "▲", "fail": "✕", "unknown": "?"}
WORDS: dict[Verdict, str] = {
    "pass": "passed",
    "warn": "warning",
    "fail": "failed",
    "unknown": "inconclusive",
}

WHY: dict[str, str] = {
    "loads": "A model that can't be built can't be trained.",
    "shapes": "Training needs one prediction per token, or one per example, at every length up to the context.",
    "gradients": "A weight that receives no gradient never changes, so that part of the model learns nothing.",
    "stability": "If the same input gives different outputs, or other examples in the batch change them, no loss can "
    "be trusted.",
    "initialisation": "An untrained model should do no better and no worse than guessing. Otherwise it spends many "
    "steps unlearning, or never starts to learn.",
    "causality": "A model that can see the token it has to predict gets an excellent loss, and can't generate text.",
    "memory": "A model that does not fit into memory fails at the first training step.",
    "speed": "A model much slower than its arithmetic wastes most of your training time.",
    "attention": "Heads that attend uniformly, or to one position only, are wasted parameters.",
    "attribution": "A prediction that depends on a single token uses no context.",
    "robustness": "If a little noise changes the predictions, the model reacts to meaningless details.",
}
"""Why each check matters, for somebody who meets it for the first time."""

ORDER = (
    "loads",
    "shapes",
    "gradients",
    "stability",
    "initialisation",
    "causality",
    "memory",
    "speed",
    "attention",
    "attribution",
    "robustness",
)
"""The ids of all checks, in the order in which they are made."""


@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Attributes
    ----------
    id
        One of :data:`ORDER`.
    title
        Its name for people.
    tier
        1 for what every model must pass, 2 for what is worth a closer look.
    verdict
        ``pass``, ``warn``, ``fail`` (fix this first), ``unknown`` (it could not be tested).
    message
        What was found, one sentence.
    value, unit
        The number; ``None`` where there is none, or it is not finite.
    threshold
        What the number is held against, in words.
    advice
        One line for a beginner; empty where nothing need be done.
    picture
        ``{"kind": "heatmap", "values": rows, "rows": title, "columns": title}`` or ``{"kind": "bars",
        "labels": [...], "values": [...], "title": title}``; ``None`` where a picture would say no more.
    seconds
        How long the check took.
    """

    id: str
    title: str
    tier: int
    verdict: Verdict
    message: str = ""
    value: float | None = None
    unit: str = ""
    threshold: str = ""
    advice: str = ""
    picture: dict[str, Any] | None = None
    seconds: float = 0.0

    def to_mapping(self) -> dict[str, Any]:
        """Return the result as plain values that JSON can hold."""
        plain = asdict(self)
        if self.value is not None and not math.isfinite(self.value):
            plain["value"] = None
        return plain


def read_result(plain: dict[str, Any]) -> CheckResult:
    """Return the result that :meth:`CheckResult.to_mapping` wrote."""
    return CheckResult(**plain)


def results_in_words(results: list[CheckResult]) -> str:
    """Count the verdicts, for example ``8 passed, 2 warnings, 1 failed``; empty where nothing was checked."""
    verdicts = [result.verdict for result in results]
    counts = {verdict: verdicts.count(verdict) for verdict in WORDS if verdict in verdicts}
    named = WORDS | {"warn": "warning" if counts.get("warn") == 1 else "warnings"}
    return ", ".join(f"{count} {named[verdict]}" for verdict, count in counts.items())


def any_failed(results: list[CheckResult]) -> bool:
    """Whether one of the verdicts is ``fail``."""
    return any(result.verdict == "fail" for result in results)
