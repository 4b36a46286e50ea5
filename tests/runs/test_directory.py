"""Making, finding and listing runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tb_widgets.errors import RunError, SpecError
from tb_widgets.runs import RunDirectory, Status, create_run, default_runs_dir, list_entries, model_title, open_run
from tb_widgets.runs.durable import replace_json
from tb_widgets.runs.status import write_status
from tb_widgets.spec import RunSpec


def named(name: str) -> RunSpec:
    return RunSpec.from_mapping({"name": name})


def test_a_new_run_is_queued_and_holds_its_frozen_spec(tmp_path):
    spec = RunSpec.from_mapping({"name": "first", "training": {"steps": 20}})
    run = create_run(tmp_path / "deep" / "runs", spec)
    assert run.spec == RunSpec.load(run.spec_file) == spec
    status = run.status()
    assert (status.state, status.total, status.name, status.pid) == ("queued", 20, "first", os.getpid())
    assert run.id[15:22] == "-first-"
    assert time.strptime(run.id[:15], "%Y%m%d-%H%M%S")
    assert sorted(path.name for path in run.path.iterdir()) == [
        "checkpoints",
        "control",
        "run.yaml",
        "samples",
        "status.json",
    ]
    assert run.checkpoints() == []
    assert run.log_tail() == []


@pytest.mark.parametrize(
    ("source", "title", "name"),
    [
        ("zoo:gpt", "GPT small", "small-gpt"),
        ("/home/me/my model/model.py", "my model", "my-model"),
        ("nets/Ünï.py", "Ünï", "n"),
        ("模型", "模型", "run"),
        ("x" * 200, "x" * 200, "x" * 60),
    ],
)
def test_a_run_without_a_name_takes_its_model_s(tmp_path, source, title, name):
    spec = RunSpec.from_mapping({"model": {"source": source}})
    assert model_title(spec) == title
    assert create_run(tmp_path, spec).status().name == name


def test_a_run_is_opened_by_path_id_beginning_ending_and_as_the_latest(tmp_path, monkeypatch):
    first, second = create_run(tmp_path, named("a")), create_run(tmp_path, named("b"))
    suffix = second.id[-6:]
    for given in (second.path, str(second.path), second.id, second.id[:-1], suffix, "latest"):
        assert open_run(given, tmp_path).path == second.path
    monkeypatch.setenv("TB_RUNS_DIR", str(tmp_path))
    assert default_runs_dir() == tmp_path
    assert open_run(first.id).path == first.path


def test_the_end_of_an_id_that_lists_show_is_enough_even_where_others_begin_so(tmp_path):
    run = create_run(tmp_path, named("a"))
    other = create_run(tmp_path, named("b"))
    ours, theirs = run.path.rename(tmp_path / "20260101-000000-a-2226"), tmp_path / "2226-elsewhere"
    other.path.rename(theirs)
    assert open_run("2226", tmp_path).path == ours
    assert open_run("2226-", tmp_path).path == theirs


def test_the_user_s_home_is_understood_everywhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run = create_run("~/runs", RunSpec())
    assert run.path.parent == tmp_path / "runs"
    assert open_run("latest", "~/runs").path == run.path
    assert open_run(f"~/runs/{run.id}").path == run.path
    assert len(list_entries("~/runs")) == 1


def test_an_ambiguous_beginning_lists_what_it_fits(tmp_path):
    runs = [create_run(tmp_path, named("same")) for _ in range(2)]
    with pytest.raises(RunError, match="fits 2 runs") as caught:
        open_run(runs[0].id[:2], tmp_path)
    assert all(run.id in caught.value.message for run in runs)


@pytest.mark.parametrize("name", ["nothing", "", "x" * 5000, "a\0b", "../.."])
def test_a_run_that_is_not_there_is_told_with_a_way_out(tmp_path, name):
    create_run(tmp_path, RunSpec())
    with pytest.raises(RunError, match="There is no run") as caught:
        open_run(name, tmp_path)
    assert "tb-widgets runs" in caught.value.hint


def test_there_is_no_latest_run_in_an_empty_or_missing_folder(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        assert list_entries(folder) == []
        with pytest.raises(RunError, match="no runs"):
            open_run("latest", folder)


def test_a_runs_folder_that_is_a_file_is_told(tmp_path):
    file = tmp_path / "runs"
    file.write_text("")
    with pytest.raises(RunError, match="runs"):
        list_entries(file)
    with pytest.raises(RunError, match="runs"):
        create_run(file, RunSpec())


def test_only_runs_are_listed_and_a_damaged_one_hides_no_other(tmp_path):
    good = create_run(tmp_path, named("good"))
    bad = create_run(tmp_path, named("bad"))
    replace_json(bad.status_file, {"created": None, "step": []})
    cut = create_run(tmp_path, named("cut"))
    cut.status_file.unlink()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "file.txt").touch()
    (tmp_path / "broken-link").symlink_to(tmp_path / "nowhere")
    states = {entry.run.id: entry.status.state for entry in list_entries(tmp_path)}
    assert states == {good.id: "queued", bad.id: "interrupted", cut.id: "interrupted"}


def test_a_run_with_a_damaged_spec_is_listed_and_says_what_is_wrong(run):
    run.spec_file.write_text("training: {steps: -1}")
    assert len(list_entries(run.path.parent)) == 1
    with pytest.raises(SpecError, match=r"training\.steps"):
        _ = RunDirectory(run.path).spec


@pytest.mark.alone
def test_a_thousand_runs_are_listed_in_under_a_second_newest_first(tmp_path):
    for number in range(1000):
        folder = tmp_path / f"20260101-000000-many-{number:04d}"
        folder.mkdir()
        (folder / "run.yaml").write_text("")
        identity = {"pid": os.getpid(), "host": "elsewhere", "heartbeat": time.time()}
        write_status(folder / "status.json", Status(state="running", created=float(number), **identity))
    # Processor time, the system's included: what else runs on this machine does not count.
    started, began = time.process_time(), time.perf_counter()
    entries = list_entries(tmp_path)
    seconds, wall = time.process_time() - started, time.perf_counter() - began
    print(f"1,000 runs listed in {seconds:.2f} s of processor time, {wall:.2f} s on the wall")
    assert [entry.status.created for entry in entries] == [float(number) for number in reversed(range(1000))]
    assert seconds < 1.0


def test_the_log_s_tail_is_read_from_its_end(run):
    run.log_file.write_bytes(b"".join(b"line %d \xff\n" % number for number in range(50_000)))
    assert run.log_tail(2) == ["line 49998 \ufffd", "line 49999 \ufffd"]


def test_one_worker_a_run(run):
    assert not run.is_locked()
    assert not Path(run.path / ".lock").exists(), "a look leaves nothing behind"
    with run.lock():
        assert run.is_locked()
    assert not run.is_locked()


def test_a_command_stands_until_it_is_withdrawn(run):
    run.control.request("pause")
    run.control.request("pause")
    assert run.control.is_requested("pause")
    assert not run.control.is_requested("stop")
    run.control.withdraw("pause")
    run.control.withdraw("pause")
    assert not run.control.is_requested("pause")
    run.control.request("stop")
    run.control.clear()
    assert not run.control.is_requested("stop")
