"""From a spec to a report, each phase once."""

from __future__ import annotations

import json
import os
import signal
import threading

import pytest

import tb_widgets
from tb_widgets.errors import ModelError, RunError, SpecError
from tb_widgets.service.pipeline import PHASES, Pipeline

NAMES = ["load", "check", "train", "evaluate", "report"]


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    """A spec file whose pipeline has been run, and what it has told and found."""
    folder = tmp_path_factory.mktemp("pipeline")
    file = folder / "my.yaml"
    file.write_text(tiny({"evaluation.batches": 1}).to_yaml())
    told = []
    made = Pipeline(file, runs_dir=folder / "runs")
    return file, made.run(on_phase=lambda name, _, seconds: told.append((name, seconds is None))), told


def test_every_phase_is_done_in_its_order_and_says_what_it_found(finished):
    file, found, told = finished
    assert told == [(name, begins) for name in NAMES for begins in (True, False)]
    assert [*found] == NAMES
    assert found["check"]["causality"]["verdict"] == "pass"
    run = tb_widgets.Run(found["train"]["run"])
    assert (run.state, found["train"]["steps"]) == ("done", 20)
    assert set(found["evaluate"]) >= {"val/loss", "val/perplexity", "val/accuracy", "val/bits-per-byte"}
    assert found["evaluate"]["val/loss"] != run.best.metrics["val/loss"], "all validation data, not one batch"
    report = (file.parent / "my.pipeline" / "report.md").read_text()
    for words in ("| Steps | 20 in", f"{found['evaluate']['val/loss']:.3f}", "✓ Later tokens", "`evaluation.batches`"):
        assert words in report


def test_what_is_done_is_not_done_again(finished):
    file, found, _ = finished
    before = (file.parent / "my.pipeline" / "report.md").stat().st_mtime_ns
    told = []
    again = Pipeline(file, runs_dir=file.parent / "runs").run(on_phase=lambda *said: told.append((said[0], said[2])))
    assert again == json.loads(json.dumps(found))
    assert told == [(name, 0.0) for name in NAMES]
    assert (file.parent / "my.pipeline" / "report.md").stat().st_mtime_ns == before
    assert len([*(file.parent / "runs").glob("[!.]*")]) == 1


def test_another_spec_wants_another_folder(finished, tiny, tmp_path):
    file, _, _ = finished
    other = tmp_path / "other.yaml"
    other.write_text(tiny({"training.steps": 21}).to_yaml())
    with pytest.raises(SpecError, match="was started with another spec"):
        Pipeline(other, folder=file.parent / "my.pipeline")
    with pytest.raises(SpecError, match="a spec without a file needs a folder for"):
        Pipeline(tiny())
    with pytest.raises(SpecError, match=r"no phase 'publish'. Choose from: load, check, train, evaluate, report"):
        Pipeline(other).run(until="publish")


def test_a_training_that_was_killed_is_gone_on_with(tiny, tmp_path, until):
    fields = {"training.steps": 3000, "checkpoints.every": 20, "evaluation.every": 1000, "hardware.restarts": 0}
    made = Pipeline(tiny(fields), folder=tmp_path / "p", runs_dir=tmp_path / "runs")
    raised = []

    def run():
        try:
            made.run(until="train")
        except RunError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    run_of = lambda: Pipeline(tiny(fields), folder=tmp_path / "p")._state["phases"].get("train", {}).get("kept")  # noqa: E731
    until(lambda: (tmp_path / "p" / "pipeline.json").exists() and run_of())
    first = tb_widgets.Run(run_of()["run"])
    until(lambda: first.checkpoints and first.status.state == "running")
    os.kill(first.status.pid, signal.SIGKILL)
    thread.join(60)
    assert "interrupted" in str(raised[0])
    found = Pipeline(tiny(fields), folder=tmp_path / "p", runs_dir=tmp_path / "runs").run(until="train")
    assert found["train"]["run"] == str(first.path)
    assert found["train"]["steps"] == 3000
    assert "evaluate" not in found
    assert [event["kind"] for event in first.events].count("resumed") == 1


BLIND = """
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(256, 16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.output = nn.Linear(16, 256)

    def forward(self, input_ids):
        x = self.embedding(input_ids)
        return self.output(x + self.attention(x, x, x)[0])
"""


def test_a_model_that_fails_is_not_trained(tiny, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.py").write_text(BLIND)
    (tmp_path / "model" / "config.json").write_text('{"vocab_size": 256}')
    spec = tiny({"model.source": str(tmp_path / "model"), "model.config": {}, "model.task": "causal-lm"})
    made = Pipeline(spec, folder=tmp_path / "p", runs_dir=tmp_path / "runs")
    with pytest.raises(ModelError, match="see"):
        made.run()
    assert "train" not in made.results
    assert not (tmp_path / "runs").exists()


def test_others_may_add_phases(finished, monkeypatch):
    from tb_widgets.service.pipeline import Phase

    file, _, _ = finished
    monkeypatch.setitem(
        PHASES._entries, "applaud", Phase(lambda p: {"loss": p.results["evaluate"]["val/loss"]}, 95, "")
    )
    found = Pipeline(file, runs_dir=file.parent / "runs").run()
    assert [*found] == [*NAMES, "applaud"]
    assert found["applaud"] == {"loss": found["evaluate"]["val/loss"]}
