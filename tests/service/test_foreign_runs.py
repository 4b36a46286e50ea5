"""A run whose folder came from elsewhere: none of its code runs before somebody here has agreed to these very files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tb_widgets import Run, TrainingService
from tb_widgets.errors import ConsentError
from tb_widgets.models.source import checksums
from tb_widgets.models.trust.consent import TrustStore
from tb_widgets.runs import RunDirectory
from tb_widgets.service.generation import GenerationService
from tests.cli.conftest import command

PLANT = "\nimport pathlib\npathlib.Path({planted!r}).touch()\n"
MODEL = """
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(300, 300)

    def forward(self, input_ids):
        return self.table(input_ids)
"""


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, tiny: Any, until: Any) -> RunDirectory:
    """A run of ours that was stopped after its first checkpoint."""
    service = TrainingService(tmp_path_factory.mktemp("home") / "runs")
    run = service.start(tiny({"training.steps": 10_000_000}))
    until(run.checkpoints)
    service.stop(run)
    assert service.wait(run, 60) == "stopped"
    return run


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A file that appears when the code of the foreign run is imported."""
    return tmp_path / "planted"


@pytest.fixture(params=["zoo", "path", "gist", "upload"])
def foreign(stopped: RunDirectory, planted: Path, tmp_path: Path, request: pytest.FixtureRequest) -> RunDirectory:
    """A copy of a run whose code does something more, and whose origin says that it is somebody's whom we trust."""
    copy = RunDirectory(shutil.copytree(stopped.path, tmp_path / "runs" / stopped.id))
    code = copy.model_folder / "model.py"
    code.write_text(code.read_text() + PLANT.format(planted=str(planted)))
    files = {name: (copy.model_folder / name).read_text() for name in ("model.py", "config.json")}
    origin = json.loads((copy.model_folder / "origin.json").read_text())
    origin |= {"kind": request.param, "id": "0" * 32, "revision": "1" * 40, "owner": "ada", "path": "/model.py"}
    origin |= {"sha256": checksums(files), "fetched": checksums(files), "url": "https://example.com"}
    (copy.model_folder / "origin.json").write_text(json.dumps(origin))
    return copy


def test_nothing_of_it_runs_unasked(foreign, planted):
    writers, checkpoint = GenerationService(), foreign.checkpoints()[-1].path
    try:
        with pytest.raises(ConsentError, match="nobody on this machine has agreed"):
            TrainingService(foreign.path.parent).resume(foreign)
        with pytest.raises(ConsentError, match=r"Generating would run the code in .*model\.py"):
            writers.generate(foreign, checkpoint, "1 ")
    finally:
        writers.close()
    for refused in (Run(foreign.path).resume, Run(foreign.path).last.generate):
        with pytest.raises(ConsentError):
            refused()
    assert foreign.status().state == "stopped"
    assert not planted.exists()


@pytest.mark.parametrize("foreign", ["path"], indirect=True)
def test_consent_is_given_once_and_for_these_very_files(foreign, planted, until):
    assert Run(foreign.path).last.generate("1 ", length=2, trust=True)
    assert planted.exists()
    assert Run(foreign.path).last.generate("1 ", length=2)
    code = foreign.model_folder / "model.py"
    code.write_text(code.read_text() + "# changed\n")
    origin = json.loads((foreign.model_folder / "origin.json").read_text())
    files = {name: (foreign.model_folder / name).read_text() for name in ("model.py", "config.json")}
    (foreign.model_folder / "origin.json").write_text(json.dumps(origin | {"sha256": checksums(files)}))
    with pytest.raises(ConsentError):
        Run(foreign.path).last.generate("1 ", length=2)


@pytest.mark.parametrize("foreign", ["gist"], indirect=True)
def test_the_terminal_refuses_and_obeys_trust(foreign, planted):
    where = ("latest", "--runs-dir", str(foreign.path.parent))
    for words in (("generate", *where, "--prompt", "1 "), ("resume", *where)):
        refused = command(*words)
        assert refused.code == 2
        assert "--trust" in refused.err
    assert not planted.exists()
    assert command("generate", *where, "--prompt", "1 ", "--length", "2", "--trust").code == 0
    assert planted.exists()


def test_a_copy_of_an_unchanged_run_asks_only_where_nobody_knows_its_code(tiny, service, tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model.py").write_text(MODEL)
    run = service.start(tiny({"model.source": str(folder), "model.config": {}}))
    assert service.wait(run, 60) == "done"
    copy = Run(shutil.copytree(run.path, tmp_path / "usb" / run.id))
    assert copy.last.generate("1 ", length=2)  # this machine has started a run with these very files
    monkeypatch.setenv("TB_CONFIG_DIR", str(tmp_path / "another machine"))
    with pytest.raises(ConsentError):
        copy.last.generate("1 ", length=2)


def test_our_own_models_are_known_everywhere_and_after_an_update(stopped, tmp_path, monkeypatch):
    monkeypatch.setenv("TB_CONFIG_DIR", str(tmp_path / "another machine"))
    assert Run(stopped.path).last.generate("1 ", length=2)
    monkeypatch.undo()
    code = (stopped.model_folder / "model.py").read_text()
    monkeypatch.setattr("tb_widgets.models.trust.consent.zoo_code", lambda name: "# a newer version\n")
    assert TrustStore().knows({"model.py": code, "config.json": "{}"})  # it was started here, before the update
