"""Tier 1: what every model must pass before training is worth its time.

Each check leaves the model as it was. Thresholds are for a fresh model.
"""

from __future__ import annotations

from collections.abc import Callable

from tb_widgets.checks.causality import causality
from tb_widgets.checks.cost import memory, speed
from tb_widgets.checks.gradients import gradients
from tb_widgets.checks.initialisation import initialisation
from tb_widgets.checks.result import CheckResult
from tb_widgets.checks.shapes import shapes
from tb_widgets.checks.stability import stability
from tb_widgets.models.load import LoadedModel
from tb_widgets.spec import task_record


def loads(model: LoadedModel) -> CheckResult:
    """The model was built and has answered: say what it is."""
    size = f"{model.parameters / 1e6:.2f} million" if model.parameters >= 1e5 else f"{model.parameters:,}"
    task = task_record(model.task).title
    told = f"{task[0].upper()}{task[1:]}, {size} parameters."
    return CheckResult("loads", "Loads", 1, "pass", told, float(model.parameters), "parameters")


TIER_1: tuple[Callable[[LoadedModel], CheckResult], ...] = (
    loads,
    shapes,
    gradients,
    stability,
    initialisation,
    causality,
    memory,
    speed,
)
