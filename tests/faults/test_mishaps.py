"""What can be wrong before a run begins: each is told in a sentence with a way out, in the terminal and on the page."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tb_widgets import Dashboard
from tb_widgets.runs import create_run, list_entries
from tests.cli.conftest import command
from tests.service.conftest import end_all

from .conftest import assert_readable

pytestmark = pytest.mark.fault

EMBEDDING = (
    "from torch import nn\n\nclass Table(nn.Embedding):\n    def __init__(self):\n        super().__init__({0}, {0})\n"
)


@dataclass
class Mishap:
    """Something that is wrong: what differs from a good start, and which words must be told."""

    cause: str
    way_out: str
    values: dict[str, Any] = field(default_factory=dict)
    runs_dir: Path | None = None


def model_file(folder: Path, code: str) -> dict[str, Any]:
    (folder / "model.py").write_text(code)
    (folder / "config.json").write_text("{}")
    return {"model.source": str(folder / "model.py"), "model.config": {}}


def read_only_runs_dir(folder: Path) -> Mishap:
    runs = folder / "disk"
    subprocess.run(["mount", "-o", "remount,ro", str(runs)], check=True)
    return Mishap(f"{runs} can't be written: Read-only file system", "--runs-dir, or TB_RUNS_DIR", runs_dir=runs)


def runs_dir_is_a_file(folder: Path) -> Mishap:
    (folder / "file").write_text("not a folder")
    return Mishap(f"{folder / 'file'} is not a folder", "--runs-dir, or TB_RUNS_DIR", runs_dir=folder / "file")


def text_is_missing(folder: Path) -> Mishap:
    return Mishap("there is no file", "Give the path of a text file", {"data.source": str(folder / "nowhere.txt")})


def text_can_not_be_read(folder: Path) -> Mishap:
    # Root may read every file of a disk; this one of the system refuses everybody.
    return Mishap("/proc/self/mem can't be read: Input/output error", "Check", {"data.source": "/proc/self/mem"})


def text_is_no_text(folder: Path) -> Mishap:
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
    return Mishap("is not a text file", "Choose plain text", {"data.source": str(folder / "photo.jpg")})


def text_is_too_short(folder: Path) -> Mishap:
    (folder / "short.txt").write_text("Too short for one context.")
    return Mishap("one context needs 17", "longer text", {"data.source": str(folder / "short.txt")})


def vocabulary_is_too_small(folder: Path) -> Mishap:
    values = model_file(folder, EMBEDDING.format(100))
    return Mishap("but the model has 100", "enlarge the model's vocabulary", values)


def model_is_not_python(folder: Path) -> Mishap:
    return Mishap("line 3", "Fix", model_file(folder, "from torch import nn\n\nclass Table(nn.Embedding:\n    pass\n"))


MISHAPS = [
    read_only_runs_dir,
    runs_dir_is_a_file,
    text_is_missing,
    text_can_not_be_read,
    text_is_no_text,
    text_is_too_short,
    vocabulary_is_too_small,
    model_is_not_python,
]


@pytest.fixture(params=MISHAPS, ids=lambda make: make.__name__.replace("_", "-"))
def mishap(request: pytest.FixtureRequest, tmp_path: Path) -> Mishap:
    make: Callable[[Path], Mishap] = request.param
    if make is read_only_runs_dir:
        request.getfixturevalue("small_disk")
    found = make(tmp_path)
    found.runs_dir = found.runs_dir or tmp_path / "runs"
    return found


@pytest.fixture
def dashboard(mishap: Mishap, tiny: Callable[..., Any]) -> Iterator[Dashboard]:
    made = Dashboard(tiny(mishap.values), runs_dir=mishap.runs_dir)
    yield made
    end_all(made.service) if made.service.runs_dir.is_dir() else made.service.close()


def test_the_terminal_tells_it_and_exits_with_an_error(mishap, tiny, tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text(tiny(mishap.values).to_yaml())
    said = command("train", file, runs=mishap.runs_dir)
    assert said.code in (1, 2)
    told = " ".join(said.err.split())
    assert mishap.cause in told
    assert mishap.way_out in told
    assert "Traceback" not in said.err
    assert_readable(mishap.runs_dir)


def test_the_page_tells_it(mishap, dashboard, until):
    dashboard.act(dashboard.start)
    if dashboard.watch.run is None:  # it was not even begun
        told = unescape(dashboard.page.message.value)
        assert not list_entries(mishap.runs_dir) if mishap.runs_dir.is_dir() else True
    else:
        until(lambda: dashboard.refresh() or not dashboard.watch.status.is_active)
        assert dashboard.watch.status.state == "failed"
        told = f"{dashboard.watch.status.message} {dashboard.watch.status.hint}"
    assert mishap.cause in told
    assert mishap.way_out in told
    assert_readable(mishap.runs_dir)


@pytest.fixture
def run_of_a_newer_version(tmp_path, tiny):
    run = create_run(tmp_path / "runs", tiny())
    newer = run.spec_file.read_text().replace("schema: 1", "schema: 2") + "telepathy: {range: 12}\n"
    run.spec_file.write_text(newer)
    return run, newer


def test_the_terminal_refuses_a_run_of_a_newer_version(run_of_a_newer_version):
    run, text = run_of_a_newer_version
    run.status_file.write_text(run.status_file.read_text().replace('"queued"', '"stopped"'))
    shutil.copy(run.spec_file, run.path.parent / "newer.yaml")
    for words in (("resume", run.id), ("train", run.path.parent / "newer.yaml")):
        said = command(*words, runs=run.path.parent)
        assert said.code == 2, said
        assert "has version 2; this tb_widgets reads up to version 1" in " ".join(said.err.split())
        assert "Update tb_widgets" in " ".join(said.err.split())
        assert "Traceback" not in said.err
    listed = command("runs", "--json", runs=run.path.parent)
    assert run.id in listed.out
    assert run.spec_file.read_text() == text  # and nobody has written over it


def test_the_page_refuses_a_run_of_a_newer_version(run_of_a_newer_version):
    run, text = run_of_a_newer_version
    run.status_file.write_text(run.status_file.read_text().replace('"queued"', '"stopped"'))
    dashboard = Dashboard(runs_dir=run.path.parent)
    for step in ("model", "data", "train", "runs"):
        dashboard.act(lambda step=step: dashboard.show(step))
        assert dashboard.page.message.value == ""  # it is listed without harm
    dashboard.act(lambda: dashboard.open_run(run.id))
    dashboard.act(dashboard.resume)
    assert "has version 2; this tb_widgets reads up to version 1" in unescape(dashboard.page.message.value)
    assert "Update tb_widgets" in unescape(dashboard.page.message.value)
    dashboard.act(dashboard.use_settings_of_run)
    assert "has version 2; this tb_widgets reads up to version 1" in unescape(dashboard.page.message.value)
    assert run.spec_file.read_text() == text


def test_two_dashboards_on_one_run_show_the_same_and_one_resumes_it(tmp_path, tiny, until):
    endless = {"training.steps": 10_000_000, "evaluation.every": 500, "checkpoints.every": 500}
    one = Dashboard(tiny(endless), runs_dir=tmp_path)
    try:
        run = one.start()
        two = Dashboard(runs_dir=tmp_path, run=run.id)
        until(lambda: run.status().step > 0)

        def both_are(state: str) -> bool:
            one.refresh(), two.refresh()
            return one.watch.status.state == two.watch.status.state == state

        two.act(two.pause)
        until(lambda: both_are("paused"))
        assert one.watch.status.step == two.watch.status.step
        assert list(one.watch.curves["train/loss"].values) == list(two.watch.curves["train/loss"].values)
        one.act(one.resume)
        until(lambda: both_are("running"))
        two.act(two.resume)
        assert f"{run.id} is already running. Open it to watch it." in _plain(two.page.message.value)
        one.act(one.stop)
        until(lambda: both_are("stopped"))
        one.act(one.resume)
        two.act(two.resume)
        assert f"{run.id} is already" in _plain(two.page.message.value)
        assert one.page.message.value == ""
        until(lambda: both_are("running"))
    finally:
        end_all(one.service)


def _plain(html: str) -> str:
    text = html
    while "<" in text:
        before, _, rest = text.partition("<")
        text = before + rest.partition(">")[2]
    return " ".join(unescape(text).split())
