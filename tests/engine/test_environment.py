"""What a run ran on is told whole, and code is told by its commit, or by a checksum where there is no git."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import tb_widgets
from tb_widgets.engine.code_state import _PACKAGE, digest, git_state, own_code, project_code
from tb_widgets.engine.environment import installed_packages, project_folder
from tb_widgets.engine.session import train_run
from tb_widgets.runs.environment import decides, differences


def git(folder, *words):
    who = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false"]
    told = subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True)
    return told.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "model.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "First")
    return tmp_path


def test_a_checkout_is_told_by_its_commit_and_what_was_changed_since(checkout):
    clean = project_code(checkout)
    assert clean == {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": False}
    (checkout / "notes.txt").write_text("not tracked: it changes nothing\n")
    assert project_code(checkout) == clean
    (checkout / "model.py").write_text("a = 2\n")
    one = project_code(checkout)
    assert (one["commit"], one["dirty"]) == (clean["commit"], True)
    (checkout / "model.py").write_text("a = 3\n")
    other = project_code(checkout)
    assert differences(one, other).keys() == {"changes"}, "two dirty checkouts are told apart"


def test_without_git_it_is_a_checksum_of_the_python_files(tmp_path):
    assert git_state(tmp_path) is None
    assert project_code(tmp_path) is None
    for name, text in (("b.py", "1"), ("a.py", "2"), ("data.txt", "3")):
        (tmp_path / name).write_text(text)
    told = project_code(tmp_path)
    assert told.keys() == {"sha256"}
    (tmp_path / "data.txt").write_text("4")
    assert project_code(tmp_path) == told
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "b.py").write_text("2")
    assert project_code(tmp_path) != told, "contents belong to their names"


def test_an_installed_copy_inside_a_strangers_checkout_is_told_by_version_and_checksum(checkout):
    shutil.copytree(_PACKAGE, checkout / "site-packages" / "tb_widgets", ignore=shutil.ignore_patterns("__pycache__"))
    code = "import json; from tb_widgets.engine.code_state import own_code; print(json.dumps(own_code()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout / "site-packages", capture_output=True, text=True,
                          check=True, env={"PYTHONPATH": str(checkout / "site-packages")})  # fmt: skip
    expected = digest(_PACKAGE, _PACKAGE.rglob("*.py"))
    assert json.loads(done.stdout) == {"version": tb_widgets.__version__, "sha256": expected}


def test_the_project_is_where_the_models_code_lies(checkout, tiny):
    expected = {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": False}
    for source in (checkout, checkout / "model.py"):
        folder = project_folder(tiny({"model.source": str(source), "model.config": {}}))
        assert project_code(folder) == expected
    assert project_folder(tiny()) == Path.cwd()


def test_packages_are_those_that_python_finds():
    found = installed_packages()
    for name in ("torch", "numpy", "pyyaml", "huggingface-hub", "charset-normalizer"):
        assert found[name] == metadata.version(name)
    assert len(found) > 50


def test_a_run_tells_what_it_ran_on(tiny, train):
    told = train(tiny({"training.deterministic": True, "training.seed": 7, "training.precision": "bf16"})).environment
    assert (told["seed"], told["deterministic"], told["precision"], told["threads"]) == (7, True, "bfloat16", 1)
    assert told["code"]["tb_widgets"] == own_code()
    assert told["packages"]["torch"] == metadata.version("torch")
    assert len(told["data_fingerprint"]) >= 16
    assert len(told["model"]["sha256"]["model.py"]) == 64


def test_a_run_that_goes_on_elsewhere_says_what_is_different(tiny, train):
    run = train(tiny())
    told = run.environment
    before = [line for line in run.events_file.read_text().splitlines() if '"warning"' in line]
    told["packages"] |= {"torch": "1.0", "plotly": "1.0"}
    told["code"]["project"] = None
    run.environment_file.write_text(json.dumps(told))
    (run.checkpoints_folder / "step-00000020" / "MANIFEST.json").unlink()
    for _ in range(2):  # the second finds what the first wrote
        run.__dict__.pop("spec", None)
        assert train_run(run) == "done"
        (run.checkpoints_folder / "step-00000020" / "MANIFEST.json").unlink()
    events = [json.loads(line) for line in run.events_file.read_text().splitlines()]
    warned = [event["message"] for event in events if event["kind"] == "warning"][len(before) :]
    warned = [sentence for sentence in warned if "environment" in sentence]
    version = metadata.version("torch")
    assert warned == [
        f"The run continues in another environment: torch was 1.0 and is {version}. Its losses may differ from those "
        "of an uninterrupted run."
    ]


def test_what_decides_is_what_computes():
    assert [decides(path) for path in ("packages.torch", "code.project.dirty", "precision", "hardware.device")] == [
        True
    ] * 4
    assert not any(decides(path) for path in ("packages.plotly", "hardware.memory_gb", "platform", "seed"))
