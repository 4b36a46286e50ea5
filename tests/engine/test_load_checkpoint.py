"""A checkpoint comes back as the model that was validated, with what its answers are read with."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tb_widgets.data.prepared import prepare
from tb_widgets.engine.evaluation import evaluate
from tb_widgets.engine.inference.load_checkpoint import load_checkpoint
from tb_widgets.errors import ModelError, RunError
from tb_widgets.runs.folders import default_cache_dir


def test_a_loaded_checkpoint_has_the_very_metrics_that_it_was_saved_with(tiny, train):
    run = train(tiny())
    info = run.checkpoints()[-1]
    loaded = load_checkpoint(run, info.path)
    assert not any(part.training for part in loaded.model.module.modules())
    assert loaded.tokenizer.decode(loaded.tokenizer.encode("3 times 3")) == "3 times 3"
    assert (loaded.context_length, loaded.classes, loaded.sentinels, loaded.document_end) == (16, (), 0, None)
    spec, kept = run.spec, {"cache_dir": default_cache_dir(), "frozen_tokenizer": run.tokenizer_folder}
    data = prepare(spec.data, spec.tokenizer, task="causal-lm", **kept)
    batches = data.validation_batches(batch_size=4, batches=2)
    facts = data.facts(batches)
    metrics = evaluate(loaded.model.module, loaded.model.logits, batches, device=loaded.device, facts=facts)
    assert metrics == info.metrics


def test_a_live_module_must_be_passed_again_and_a_lost_file_is_named(tiny, train):
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(256, 256)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.table(ids)

    run = train(tiny(), trained := Words())
    checkpoint = run.checkpoints()[-1].path
    with pytest.raises(ModelError, match=r"trained a live nn\.Module"):
        load_checkpoint(run, checkpoint)
    loaded = load_checkpoint(run, checkpoint, module=Words())
    assert torch.equal(loaded.model.module.table.weight, trained.table.weight)
    run.data_file.unlink()
    with pytest.raises(RunError, match="can't be read"):
        load_checkpoint(run, checkpoint, module=Words())
