"""Fetch model and data, try the model, and fit what nobody chose to it."""

from __future__ import annotations

from typing import Any

from tb_widgets.service.pipeline import PHASES, Phase, Pipeline
from tb_widgets.service.preparing import prepared


def load(pipeline: Pipeline) -> dict[str, Any]:
    """Write the spec as it will be trained."""
    spec = prepared(pipeline.asked, chosen=pipeline.chosen, trust=pipeline.trust)
    file = pipeline.folder / "spec.yaml"
    file.write_text(spec.to_yaml(), encoding="utf-8")
    return {"spec": file.name, "model": spec.model.source, "data": spec.data.source}


PHASES.add("load", Phase(load, 10, "Loading model and data"))
