"""Runs from Python: ``train``, ``Run``, ``list_runs``."""

from __future__ import annotations

import json

import pytest
import torch

from tb_widgets import Run, list_runs, train
from tb_widgets.engine.inference.writer import Writer
from tb_widgets.errors import ModelError, RunError, SpecError
from tb_widgets.runs import RunDirectory

from .test_starting import Pairs


@pytest.fixture(scope="module")
def run(tmp_path_factory, text_file):
    return train(
        data=text_file,
        runs_dir=tmp_path_factory.mktemp("runs"),
        settings={"model.config": {"n_layer": 1, "n_head": 2, "n_embd": 16}, "tokenizer.kind": "byte"},
        steps=20,
        context_length=16,
        batch_size=4,
        show_progress=False,
    )


def test_train_returns_a_finished_run(run):
    assert run.state == "done"
    assert run.spec.training.steps == 20
    assert [line["step"] for line in run.metrics] == list(range(21))
    assert run.events[-1]["kind"] == "finished"
    assert run.best.step == run.last.step == 20
    assert run.best.metrics["val/loss"] > 0
    assert repr(run) == f"<Run {run.id}: done, step 20 of 20>"


def test_a_run_says_what_its_curves_mean(run):
    assert run.hints == []  # 20 steps tell nothing
    line = {"step": 21, "val/loss": 0.1, "train/loss": 0.1, "lr": 1e-3}
    with run.directory.metrics_file.open("r+", encoding="utf-8") as file:
        before = file.read()
        file.write(json.dumps(line) + "\n")
    try:
        (hint,) = run.hints
    finally:
        run.directory.metrics_file.write_text(before, encoding="utf-8")
    assert "suspiciously low" in hint.sentence
    assert "0.10 nats per character at step 21" in hint.why
    assert hint.action.startswith("Run ")


def test_a_run_is_found_again(run):
    folder = run.path.parent
    assert [found.id for found in list_runs(folder)] == [run.id]
    assert Run("latest", folder).path == Run(run.id[-4:], folder).path == Run(run.path).path == run.path
    with pytest.raises(RunError, match="no run 'nowhere'"):
        Run("nowhere", folder)
    with pytest.raises(RunError, match="no checkpoint of step 3"):
        run.checkpoint(3)


def test_a_checkpoint_writes_the_same_text_for_the_same_seed(run):
    text = run.best.generate("1 times", length=30, seed=1)
    assert text.startswith("1 times")
    assert len(text) > len("1 times")
    assert run.best.generate("1 times", length=30, seed=1) == text
    assert run.best.generate("1 times", length=30, seed=2) != text


@pytest.mark.parametrize(("asked", "threads"), [("auto", 1), (2, 2)])
def test_a_checkpoint_writes_with_the_run_s_threads_and_gives_the_caller_s_back(run, monkeypatch, asked, threads):
    seen = []

    def write(self, *args, **options):
        seen.append(torch.get_num_threads())
        yield from real(self, *args, **options)
        raise ModelError("It broke.")

    real = Writer.write
    monkeypatch.setattr(Writer, "write", write)
    hardware = run.spec.hardware.model_copy(update={"threads": asked})
    spec = run.spec.model_copy(update={"hardware": hardware})
    monkeypatch.setattr(RunDirectory, "spec", property(lambda self: spec))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(ModelError):
            run.best.generate("1 times", length=3)
        assert (seen, torch.get_num_threads()) == ([threads], 3)
    finally:
        torch.set_num_threads(before)


def test_plot_shows_every_step_of_the_journal(run):
    traces = {trace.name: trace for trace in run.plot().data}
    drawn = traces["every step"]
    assert dict(zip(drawn.x, drawn.y, strict=True)) == {
        line["step"]: line["train/loss"] for line in run.metrics if line["step"]
    }


def test_a_live_module_is_named_by_the_run_and_needed_to_write(tmp_path, text_file):
    run = train(
        model=Pairs(),
        data=text_file,
        runs_dir=tmp_path,
        settings={"tokenizer.kind": "byte"},
        steps=5,
        context_length=16,
        show_progress=False,
    )
    assert run.spec.model.source == "live:Pairs"
    assert run.last.generate("a", length=3, module=Pairs()).startswith("a")
    with pytest.raises(Exception, match=r"live nn\.Module"):
        run.last.generate("a", length=3)


def test_a_wrong_field_is_told_before_anything_starts(tmp_path):
    with pytest.raises(SpecError, match=r"Did you mean training\.steps"):
        train(settings={"training.step": 3}, runs_dir=tmp_path)
    with pytest.raises(SpecError, match="not both"):
        train(tmp_path / "spec.yaml", preset="quick", runs_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_waiting_for_a_run_that_failed_raises_its_reason(tmp_path, tiny):
    short = tmp_path / "short.txt"
    short.write_text("Too short.")
    with pytest.raises(RunError, match=r"failed.*one context needs 17"):
        train(tiny({"data.source": str(short), "hardware.backend": "kernel"}), runs_dir=tmp_path, show_progress=False)
