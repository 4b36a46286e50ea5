"""A run that is done goes on for more steps, and one that failed says what would help."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tb_widgets.errors import RunError
from tb_widgets.runs.journal import read_records
from tb_widgets.service.run import train
from tb_widgets.service.service import TrainingService


def test_it_goes_on_from_its_last_checkpoint(tmp_path, text_file):
    run = train(data=text_file, runs_dir=tmp_path, settings={"tokenizer.kind": "byte", "model.preset": "tiny"}, steps=6)
    run.extend(4)
    run.wait(120)
    assert run.status.state == "done", run.status.message
    assert run.status.total == 10
    assert run.spec.training.steps == 10
    assert [line["step"] for line in read_records(run.directory.metrics_file)] == list(range(11))
    assert run.checkpoints[-1].info.step == 10


def test_only_a_run_that_is_done_can_be_extended(tmp_path, new_run, tiny):
    run = new_run(tmp_path, tiny())
    with pytest.raises(RunError, match="it has steps left"):
        TrainingService(tmp_path).extend(run, 5)


class Explodes(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(256, 256)

    def forward(self, tokens):
        logits = self.table(tokens)
        return logits * torch.tensor(float("nan")) if self.training else logits


def test_a_run_that_diverged_names_a_lower_rate(tmp_path, text_file, until):
    run = train(
        model=Explodes(),
        data=text_file,
        runs_dir=tmp_path,
        settings={"tokenizer.kind": "byte", "training.learning_rate": 9},
        steps=5,
        wait=False,
    )
    assert until(lambda: run.status.state == "failed")
    assert run.status.remedy == {"training.learning_rate": 0.003}
