"""Check the model; one that fails is not trained."""

from __future__ import annotations

from typing import Any

from tb_widgets.errors import FAILED, ModelError
from tb_widgets.service.checking import begin_check
from tb_widgets.service.pipeline import PHASES, Phase, Pipeline
from tb_widgets.spec import RunSpec


def check(pipeline: Pipeline) -> dict[str, Any]:
    """Return each check's verdict and sentence."""
    spec = RunSpec.load(pipeline.folder / "spec.yaml")
    results = begin_check(spec, tier=2, trust=pipeline.trust).wait().results
    failed = [result for result in results if result.verdict == "fail"]
    if failed and not (spec.model.allow_leak and {result.id for result in failed} == {"causality"}):
        raise ModelError(f"{failed[0].title}: {failed[0].message}", hint=failed[0].advice, exit_code=FAILED)
    return {result.id: {"verdict": result.verdict, "message": result.message} for result in results}


PHASES.add("check", Phase(check, 20, "Checking the model"))
