"""Train the model, or go on with a training that was cut off."""

from __future__ import annotations

from typing import Any

from tb_widgets.service.pipeline import PHASES, Phase, Pipeline
from tb_widgets.service.run import Run
from tb_widgets.service.service import TrainingService
from tb_widgets.spec import RunSpec


def train(pipeline: Pipeline) -> dict[str, Any]:
    """Return the run, where it ended, and its best checkpoint."""
    if "run" in pipeline.kept:
        run = Run(pipeline.kept["run"])
        if not run.status.is_active and run.state != "done":
            run.resume(trust=pipeline.trust)
    else:
        spec = RunSpec.load(pipeline.folder / "spec.yaml")
        run = Run(TrainingService(pipeline.runs_dir).start(spec).path)
        pipeline.keep(run=str(run.path.absolute()))
    run.wait()
    best = run.best
    return {"run": str(run.path.absolute()), "steps": run.status.step, "best_step": best.step, "metrics": best.metrics}


PHASES.add("train", Phase(train, 30, "Training"))
