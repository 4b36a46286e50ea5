"""A folder of 1,000 runs, looked at twice a second."""

from __future__ import annotations

import shutil

import pytest

from tb_widgets.app.panels.runs.list import _line
from tb_widgets.errors import RunError
from tb_widgets.runs import RunDirectory, run_list
from tb_widgets.runs.run_list import RunList

from .conftest import set_status


class Clock:
    """Time that passes only when somebody looks into a folder."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(run_list, "time", made)
    return made


@pytest.fixture
def reads(monkeypatch, runs_dir):
    """The runs of this test's folder whose status was read; a queue that another test left may still read its own."""
    seen = []
    original = RunDirectory.status

    def status(run):
        if run.path.parent == runs_dir:
            seen.append(run.id)
        return original(run)

    monkeypatch.setattr(RunDirectory, "status", status)
    return seen


def test_a_folder_that_is_not_there_has_no_runs(runs_dir, clock):
    runs = RunList(runs_dir)
    runs.refresh()
    assert runs.entries == []


def test_newest_first_and_only_what_changed_is_read_again(runs_dir, make_run, clock, reads):
    old = make_run(state="done", created=1.0)
    new = make_run(state="stopped", created=2.0)
    runs = RunList(runs_dir)
    runs.refresh()
    assert [entry.run.id for entry in runs.entries] == [new.id, old.id]

    reads.clear()
    version = runs.version
    runs.refresh()
    assert (reads, runs.version) == ([], version)

    set_status(old, state="failed")
    runs.refresh()
    assert reads == [old.id]
    assert [entry.status.state for entry in runs.entries] == ["stopped", "failed"]
    assert runs.version > version


def test_a_run_at_work_is_looked_at_each_time_for_its_process_may_die(runs_dir, make_run, clock, reads):
    make_run(state="running", pid=2**30)
    runs = RunList(runs_dir)
    runs.refresh()
    assert runs.entries[0].status.state == "interrupted"

    busy = make_run(state="running")
    runs.refresh()
    reads.clear()
    runs.refresh()
    assert busy.id in reads


def test_runs_that_come_and_go(runs_dir, make_run, clock):
    runs = RunList(runs_dir)
    runs.refresh()
    first = make_run(state="done")
    (runs_dir / "no-run").mkdir()
    (runs_dir / "a-file").touch()
    runs.refresh()
    assert [entry.run.id for entry in runs.entries] == [first.id]

    shutil.rmtree(first.path)
    runs.refresh()
    assert runs.entries == []

    shutil.rmtree(runs_dir)
    runs.refresh()
    assert runs.entries == []


def test_a_file_in_place_of_the_folder_is_told(runs_dir):
    runs_dir.touch()
    with pytest.raises(RunError, match="is not a folder"):
        RunList(runs_dir).refresh()


def test_a_slow_disk_is_left_in_peace(runs_dir, make_run, clock, monkeypatch):
    runs = RunList(runs_dir)
    looks = []
    original = runs._look

    def slow():
        looks.append(clock.now)
        clock.now += 1.0  # seconds a look
        return original()

    monkeypatch.setattr(runs, "_look", slow)
    for _ in range(100):  # two beats a second, for 50 seconds
        runs.refresh()
        clock.now += 0.5

    assert len(looks) <= 4


def test_a_thousand_runs_cost_little_when_nothing_changed(runs_dir, make_run, clock, reads):
    one = make_run(state="done")
    for number in range(1000):
        folder = runs_dir / f"run-{number:04}"
        folder.mkdir()
        (folder / "status.json").write_bytes(one.status_file.read_bytes())
        (folder / "run.yaml").write_bytes(one.spec_file.read_bytes())
    runs = RunList(runs_dir)
    runs.refresh()
    assert len(runs.entries) == 1001
    assert len(reads) == 1001

    for _ in range(5):
        runs.refresh()
    assert len(reads) == 1001


def test_the_table_names_files_and_not_their_folders(runs_dir, make_run):
    make_run({"data.source": "/tmp/a/long/way/to/the/folder/of/labels.csv"}, state="done")
    make_run({"data.source": "python-docs"}, state="done")
    runs = RunList(runs_dir)
    runs.refresh()
    assert "Python's reference" in _line(runs.entries[0])["cells"], "as the page offers it"
    assert "labels.csv" in _line(runs.entries[1])["cells"]
