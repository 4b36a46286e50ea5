"""Several specs in one call: side by side up to a limit, on after a failure, and a table at the end."""

from __future__ import annotations

import pytest

import tb_widgets
from tb_widgets.errors import DataError, TbError
from tb_widgets.service.service import TrainingService

BREAKS = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(256, 256)
        self.calls = 0

    def forward(self, input_ids):
        self.calls += self.training
        if self.calls > 60:
            raise RuntimeError("worn out")
        return self.table(input_ids)
"""


def times(run):
    found = {event["kind"]: event["time"] for event in run.events}
    return found["started"], found.get("finished") or found["failed"]


def test_side_by_side_on_after_a_failure_and_a_table(tiny, tmp_path):
    (tmp_path / "model.py").write_text(BREAKS)
    (tmp_path / "config.json").write_text('{"vocab_size": 256}')
    bad = tmp_path / "bad.yaml"
    own = {"model.source": str(tmp_path / "model.py"), "model.config": {}, "training.steps": 100}
    bad.write_text(tiny(own).to_yaml())
    slow = {"training.steps": 1500, "evaluation.every": 1000, "checkpoints.every": 1000}
    specs = [bad, tiny(slow), tiny(slow | {"training.learning_rate": 0.02}), tiny()]
    ended = []
    table = tb_widgets.train_all(specs, at_once=2, runs_dir=tmp_path / "runs", on_end=ended.append)
    assert [run.state for run in ended] == ["failed", "done", "done", "done"]
    assert [*table["state"]] == ["failed", "done", "done", "done"]
    assert "training.learning_rate" in table
    windows = sorted(map(times, ended))
    most = max(sum(begin <= at < end for begin, end in windows) for at, _ in windows)
    assert most == 2, windows
    assert TrainingService(tmp_path / "runs").at_once == 2, "it is the folder's"
    assert TrainingService(tmp_path / "other").at_once == 1


def test_what_can_not_be_trained_is_refused_before_anything_begins(tiny, tmp_path):
    with pytest.raises((DataError, TbError), match="nowhere"):
        tb_widgets.train_all([tiny(), tiny({"data.source": "/nowhere.txt"})], runs_dir=tmp_path / "runs")
    assert not [*(tmp_path / "runs").glob("[!.]*")]
