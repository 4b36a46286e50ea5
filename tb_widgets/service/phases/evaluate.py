"""Measure the best checkpoint on all validation data."""

from __future__ import annotations

from typing import Any

from tb_widgets.service.pipeline import PHASES, Phase, Pipeline
from tb_widgets.service.run import Run


def evaluate(pipeline: Pipeline) -> dict[str, Any]:
    """Return every metric by its key."""
    return Run(pipeline.results["train"]["run"]).best.evaluate(trust=pipeline.trust)


PHASES.add("evaluate", Phase(evaluate, 40, "Evaluating"))
