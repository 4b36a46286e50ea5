"""Measuring a checkpoint on validation data, in a process of its own: a model's code may be anybody's."""

from __future__ import annotations

from pathlib import Path

from tb_widgets.errors import TrainingError
from tb_widgets.models.trust.consent import require_frozen
from tb_widgets.runs import RunDirectory
from tb_widgets.service.workers.process import ask_once


def evaluate_checkpoint(
    run: RunDirectory, checkpoint: Path, *, batches: int | None = None, trust: bool = False
) -> dict[str, float]:
    """Return every validation metric of a checkpoint by its key, in fp32.

    Parameters, errors and an example stand at :meth:`tb_widgets.service.run.Checkpoint.evaluate`, its public face.
    """
    require_frozen(run.model_folder, "Evaluating", trust=trust)
    request = {"run": str(run.path), "checkpoint": str(checkpoint), "batches": batches}
    answer = ask_once("evaluate", request, raises=TrainingError)
    return {key: float(value) for key, value in answer["metrics"].items()}
