"""The process that evaluates: it answers a request with the metrics of a checkpoint on validation data."""

from __future__ import annotations

import sys
from pathlib import Path

from tb_widgets.runs import RunDirectory
from tb_widgets.runs.json_process import Asker

ALL = 1_000_000_000  # more batches than any data have


def main() -> int:
    """Evaluate a checkpoint."""
    asker = Asker()
    return asker.serve(lambda request: asker.tell(metrics=_evaluate(**request)), failing="while it was evaluated")


def _evaluate(*, run: str, checkpoint: str, batches: int | None) -> dict[str, float]:
    from tb_widgets.data.prepared import prepare
    from tb_widgets.engine.evaluation import evaluate
    from tb_widgets.engine.inference.answers import Answers
    from tb_widgets.engine.inference.load_checkpoint import load_checkpoint
    from tb_widgets.runs.folders import default_cache_dir

    directory = RunDirectory(run)
    spec, trained = directory.spec, load_checkpoint(directory, Path(checkpoint))
    data = prepare(
        spec.data,
        spec.tokenizer,
        task=trained.model.task,
        image=trained.model.adapter.image,
        cache_dir=default_cache_dir(),
        frozen_tokenizer=directory.tokenizer_folder if directory.tokenizer_folder.is_dir() else None,
    )
    size = spec.training.batch_size
    validation = data.validation_batches(batch_size=size, batches=batches or ALL)
    answers = Answers.of(
        data,
        pairs=size * (batches or ALL) if spec.evaluation.answers else 0,
        batch_size=size,
        context_length=spec.data.context_length,
    )
    return evaluate(
        trained.model.module,
        trained.model.logits,
        validation,
        task=data.task,
        device=trained.device,
        facts=data.facts(validation),
        answers=answers,
    )


if __name__ == "__main__":
    sys.exit(main())
