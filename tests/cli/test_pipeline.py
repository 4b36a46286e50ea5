"""Everything in a row, and measuring a checkpoint, from a terminal."""

from __future__ import annotations

import pytest

from tb_widgets import Run

from .conftest import command


def test_a_pipeline_says_each_phase_and_where_its_report_is(tiny_file, tmp_path):
    words = ["pipeline", tiny_file, "--folder", tmp_path / "p"]
    first = command(*words, "--until", "train", runs=tmp_path / "runs")
    assert first.code == 0, first.err
    assert [line.partition(":")[0] for line in first.out.splitlines() if line.startswith("✓")] == [
        "✓ load",
        "✓ check",
        "✓ train",
    ]
    again = command(*words, runs=tmp_path / "runs")
    assert again.out.count("already done") == 3
    assert str(tmp_path / "p" / "report.md") in again.out.replace("\n", "")
    as_json = command(*words, "--json", runs=tmp_path / "runs")
    assert set(as_json.json["results"]) == {"load", "check", "train", "evaluate", "report"}


def test_a_checkpoint_is_measured_on_all_validation_data(trained):
    runs, _ = trained
    said = command("evaluate", "latest", "--json", runs=runs)
    assert said.code == 0, said.err
    run = Run("latest", runs)
    assert said.json["checkpoint"] == run.best.step
    assert said.json["metrics"]["val/loss"] == pytest.approx(run.best.metrics["val/loss"], abs=0.3)
    told = command("evaluate", "latest", "--checkpoint", "last", "--batches", "1", runs=runs)
    assert f"Step {run.last.step} of {run.id}, on part of the validation set:" in told.out.replace("\n", " ")
    assert "Loss (nats per token): " in told.out
    refused = command("evaluate", "latest", "--checkpoint", "7", runs=runs)
    assert refused.code == 2
    assert "7" in refused.err


def test_several_specs_end_in_a_table(tiny_file, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(tiny_file.read_text().replace("steps: 20", "steps: 10"))
    said = command("train", tiny_file, other, runs=tmp_path / "runs")
    assert said.code == 0, said.err
    assert said.out.count(": done after") == 2
    assert "val/loss" in said.out
    assert "training.steps" in said.out
    refused = command("train", tiny_file, other, "--set", "training.steps=5", runs=tmp_path / "runs")
    assert refused.code == 2
    assert "several specs are trained as they are" in refused.err
