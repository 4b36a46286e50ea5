"""Following a run from its folder, also while the folder is damaged, replaced or taken away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tb_widgets.app.state.watch import KEPT, Watch
from tb_widgets.runs.checkpoints import write_checkpoint

from .conftest import set_status


def add(file: Path, *records: dict[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.writelines(json.dumps(record) + "\n" for record in records)


def metrics(*steps: int) -> list[dict[str, Any]]:
    return [{"step": step, "train/loss": 3.0 - step / 10} for step in steps]


@pytest.fixture
def run(make_run):
    return make_run(state="running", step=3, total=20)


@pytest.fixture
def watch(run):
    made = Watch()
    made.attach(run)
    return made


def test_nothing_is_watched_at_first():
    watch = Watch()
    watch.refresh()
    assert (watch.run, watch.status, watch.checkpoints) == (None, None, [])


def test_attaching_reads_what_is_there(run):
    add(run.metrics_file, *metrics(1, 2, 3))
    run.log_file.write_text("line\n" * 100)
    watch = Watch()
    watch.attach(run)

    assert watch.status.state == "running"
    assert list(watch.curves["train/loss"].steps) == [1, 2, 3]
    assert len(watch.log) == 40


def test_a_refresh_reads_only_what_is_new(watch, run):
    add(run.metrics_file, *metrics(1, 2))
    watch.refresh()
    drawn, version = watch.curves_version, watch.version
    watch.refresh()
    assert (watch.curves_version, watch.version) == (drawn, version)

    add(run.metrics_file, *metrics(3))
    watch.refresh()
    assert list(watch.curves["train/loss"].steps) == [1, 2, 3]
    assert watch.curves_version > drawn


def test_a_journal_that_starts_again_is_drawn_again(watch, run):
    add(run.metrics_file, *metrics(1, 2, 3, 4))
    watch.refresh()

    run.metrics_file.unlink()
    add(run.metrics_file, *metrics(1, 2))
    watch.refresh()

    assert list(watch.curves["train/loss"].steps) == [1, 2]


def test_another_run_begins_with_nothing_of_the_first(watch, run, make_run):
    add(run.metrics_file, *metrics(1, 2))
    add(run.events_file, {"n": 1, "kind": "warning", "message": "hot"})
    watch.refresh()

    watch.attach(make_run(state="done"))

    assert watch.status.state == "done"
    assert len(watch.curves["train/loss"]) == 0
    assert (watch.warnings, watch.samples, watch.log) == ([], [], [])


def test_samples_warnings_and_the_log_are_read(watch, run):
    add(run.samples_file, *({"step": step, "prompt": "The ", "text": f"text {step}"} for step in range(10)))
    add(run.events_file, {"n": 1, "kind": "phase"}, {"n": 2, "kind": "warning", "message": "the disk is slow"})
    run.log_file.write_text("hello\n")
    watch.refresh()

    assert watch.samples[-1]["text"] == "text 9"
    assert len(watch.samples) <= 4
    assert watch.warnings == ["the disk is slow"]
    assert watch.log == ["hello"]


def test_a_run_that_warns_for_days_fills_no_memory(watch, run):
    for day in range(3):
        add(run.events_file, *({"n": n, "kind": "warning", "message": f"{day}-{n}"} for n in range(200)))
        watch.refresh()

    assert len(watch.warnings) == KEPT
    assert watch.warnings[-1] == "2-199"


def test_a_saved_checkpoint_is_listed_with_its_event(watch, run):
    for step, loss in ((5, 2.0), (10, 1.0), (15, 3.0)):
        meta = {"metrics": {"val/loss": loss}}
        write_checkpoint(run.checkpoints_folder, step, {"model.safetensors": lambda path: path.touch()}, meta)
    watch.refresh()
    assert watch.checkpoints == []  # no folder is listed twice a second without a reason

    add(run.events_file, {"n": 1, "kind": "checkpoint", "step": 15})
    watch.refresh()

    assert [(info.step, info.best) for info in watch.checkpoints] == [(5, False), (10, True), (15, False)]


@pytest.mark.parametrize("text", ["schema: 99\n", "training: {steps: [\n", "\x00\x01", ""])
def test_a_damaged_or_newer_spec_still_lets_one_watch(run, text):
    run.spec_file.write_text(text)
    add(run.metrics_file, *metrics(1))
    watch = Watch()
    watch.attach(run)
    add(run.events_file, {"n": 1, "kind": "checkpoint"}, {"n": 2, "kind": "checkpoint"})
    watch.refresh()

    assert len(watch.curves["train/loss"]) == 1
    assert len(watch.warnings) == (1 if text else 0)  # an empty file is a valid spec


def test_damaged_lines_are_passed_over(watch, run):
    add(run.metrics_file, {"step": "one", "train/loss": 1.0}, {"step": 2, "train/loss": "low"}, *metrics(3))
    add(run.samples_file, {"step": 1}, {"text": 3, "prompt": "", "step": 1}, {"step": 2, "prompt": "a", "text": "b"})
    add(run.events_file, {"kind": "warning"}, {"n": 2, "kind": "warning", "message": 7})
    with run.metrics_file.open("ab") as file:
        file.write(b'\xff\xfe{"step": 4, "tr\n[1, 2]\n')
    run.log_file.write_bytes(b"caf\xe9 \xff\n")
    watch.refresh()

    assert list(watch.curves["train/loss"].steps) == [3]
    assert [sample["text"] for sample in watch.samples] == ["b"]
    assert watch.log == ["caf� �"]


@pytest.mark.parametrize("status", ["", "{", "[]", '{"state": 5}', '{"state": "done", "best": {}, "step": 3}'])
def test_a_damaged_status_is_told_in_words(watch, run, status):
    run.status_file.write_text(status)
    watch.refresh()
    assert watch.status.state in ("interrupted", "done")
    assert watch.status.message or watch.status.best is None


def test_a_folder_that_goes_away_is_told_and_what_was_read_stays(watch, run):
    add(run.metrics_file, *metrics(1, 2))
    watch.refresh()
    away = run.path.with_name("away")
    run.path.rename(away)
    watch.refresh()

    assert watch.status.state == "interrupted"
    assert "is gone" in watch.status.message
    assert "Open another run" in watch.status.hint
    assert watch.status.step == 3
    assert len(watch.curves["train/loss"]) == 2

    version = watch.version
    watch.refresh()
    assert watch.version == version  # told once

    away.rename(run.path)
    watch.refresh()
    assert watch.status.state == "running"
    assert len(watch.curves["train/loss"]) == 2


def test_a_folder_without_a_log_or_a_run_that_was_cut_off_is_no_error(watch, run):
    for name in ("samples", "control", "checkpoints"):
        shutil.rmtree(run.path / name)
    run.status_file.unlink()
    watch.refresh_checkpoints()
    watch.refresh()
    assert watch.status.state == "interrupted"
    assert watch.checkpoints == []


def test_another_smoothing_draws_again(watch, run):
    add(run.metrics_file, *metrics(*range(50)))
    watch.refresh()
    before, version = watch.curves["train/loss"].smooth_line.points(), watch.curves_version
    watch.set_smoothing(0.0)
    assert watch.curves_version > version
    assert watch.curves["train/loss"].smooth_line.points() != before


def test_the_state_is_followed(watch, run):
    for state in ("paused", "stopping", "done"):
        set_status(run, state=state)
        watch.refresh()
        assert watch.status.state == state
