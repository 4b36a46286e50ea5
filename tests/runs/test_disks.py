"""A full or read-only disk is told in a sentence and leaves nothing half-written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tb_widgets.errors import RunError
from tb_widgets.runs import create_run, list_entries, open_run
from tb_widgets.runs.checkpoints import list_checkpoints, pin, verify, write_checkpoint
from tb_widgets.runs.durable import replace_text
from tb_widgets.runs.journal import JournalWriter, append_text, parse_lines
from tb_widgets.runs.status import Status
from tb_widgets.spec import RunSpec

pytestmark = pytest.mark.fault


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_checkpoint_that_does_not_fit_leaves_the_older_one_and_no_rest(tiny_disk):
    def small(path: Path) -> None:
        path.write_bytes(b"weights")

    def large(path: Path) -> None:
        path.write_bytes(b"x" * 500_000)

    old = write_checkpoint(tiny_disk, 5, {"model": small}, {})
    before = names(tiny_disk)
    for step in (5, 10):
        with pytest.raises(RunError, match="is full") as caught:
            write_checkpoint(tiny_disk, step, {"model": small, "optimizer": large}, {})
        assert "Free some space" in caught.value.hint
        assert names(tiny_disk) == before
    verify(old.path)


def test_safetensors_too_tell_that_the_disk_is_full(tiny_disk):
    def weights(path: Path) -> None:
        save_file({"weight": np.zeros(200_000)}, path)

    with pytest.raises(RunError, match="is full"):
        write_checkpoint(tiny_disk, 5, {"model.safetensors": weights}, {})
    assert names(tiny_disk) == []


def test_lines_that_do_not_fit_are_taken_back_whole(tiny_disk):
    path = tiny_disk / "metrics.jsonl"
    line = json.dumps({"text": "x" * 1000}) + "\n"
    written = 0

    def append_on_and_on() -> None:
        nonlocal written
        while True:
            append_text(path, line * 7)
            written += 7

    with pytest.raises(RunError, match="is full"):
        append_on_and_on()
    assert written > 100
    assert path.read_text() == line * written


def test_a_file_that_can_not_be_replaced_keeps_its_text(tiny_disk, fill):
    path = tiny_disk / "status.json"
    replace_text(path, "old")
    fill()
    with pytest.raises(RunError, match="is full"):
        replace_text(path, "new")
    assert path.read_text() == "old"
    assert names(tiny_disk) == ["filler", "status.json"]
    (tiny_disk / "filler").unlink()
    replace_text(path, "new")
    assert path.read_text() == "new"


def test_a_run_that_does_not_fit_is_not_created(tiny_disk, fill):
    fill()
    with pytest.raises(RunError, match="is full"):
        create_run(tiny_disk / "runs", RunSpec())
    assert list_entries(tiny_disk / "runs") == []
    assert names(tiny_disk) in (["filler"], ["filler", "runs"])


def test_a_journal_on_a_full_disk_stops_the_loop(tiny_disk):
    paths = [tiny_disk / name for name in ("metrics.jsonl", "events.jsonl", "status.json")]
    journal = JournalWriter(*paths, Status(state="running"), interval=0.001)

    def train() -> None:
        for step in range(1_000_000):
            journal.metrics({"step": step, "text": "x" * 1000})

    with pytest.raises(RunError, match="is full"):
        train()
    with pytest.raises(RunError, match="is full"):
        journal.close()
    steps = [record["step"] for record in parse_lines(paths[0].read_bytes())]
    assert steps == list(range(len(steps))), "what is there is whole, in order, and there once"
    assert paths[0].read_bytes()[-1:] in (b"", b"\n")


def test_a_read_only_runs_folder_can_be_read_and_says_so_when_written(tiny_disk, make_read_only):
    run = create_run(tiny_disk / "runs", RunSpec())
    checkpoint = write_checkpoint(run.checkpoints_folder, 5, {}, {})
    before = names(tiny_disk)
    make_read_only()
    with pytest.raises(RunError, match="can't be written") as caught:
        create_run(tiny_disk / "runs", RunSpec())
    assert "TB_RUNS_DIR" in caught.value.hint
    for write in (
        lambda: run.control.request("stop"),
        lambda: append_text(run.metrics_file, "{}\n"),
        lambda: replace_text(run.status_file, "{}"),
        lambda: write_checkpoint(run.checkpoints_folder, 10, {}, {}),
        lambda: pin(checkpoint.path),
        lambda: JournalWriter(run.metrics_file, run.events_file, run.status_file, Status()),
    ):
        with pytest.raises(RunError, match="can't be written"):
            write()
    assert open_run("latest", tiny_disk / "runs").status().state == "queued"
    assert not run.is_locked()
    assert [info.step for info in list_checkpoints(run.checkpoints_folder)] == [5]
    verify(checkpoint.path)
    assert names(tiny_disk) == before


def test_a_path_that_no_encoding_fits_is_written_and_read(tmp_path):
    text = os.fsdecode(b"caf\xe9")
    replace_text(tmp_path / "status.json", json.dumps({"data": text}, ensure_ascii=False))
    append_text(tmp_path / "events.jsonl", json.dumps({"message": text}, ensure_ascii=False) + "\n")
    assert json.loads((tmp_path / "status.json").read_bytes()) == {"data": text}
    assert parse_lines((tmp_path / "events.jsonl").read_bytes()) == [{"message": text}]
