"""A model from elsewhere: nothing of it runs before consent, and then exactly what was agreed to."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tb_widgets import TrainingService, train
from tb_widgets.errors import ModelError
from tb_widgets.models.sources.resolve import fetch, pinned
from tb_widgets.models.sources.upload import from_files
from tb_widgets.models.trust.consent import TrustStore
from tests.cli.conftest import command
from tests.models.github import ID, GitHub

PAIRS = """
import os
import pathlib

import torch
from torch import nn

with pathlib.Path({planted!r}).open("a") as file:
    file.write(f"{{os.getpid()}}:{{os.environ.get('GITHUB_TOKEN')}} ")


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(300, 300)

    def forward(self, input_ids):
        return self.table(input_ids)
"""


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A file that appears when the model's code is imported."""
    return tmp_path / "planted"


@pytest.fixture
def github(tmp_path: Path, planted: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """A GitHub with a model that writes a file at import, and nothing fetched or agreed to yet."""
    for name, folder in (("TB_CONFIG_DIR", "config"), ("TB_CACHE_DIR", "cache")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("GITHUB_TOKEN", "canary4321")
    TrainingService().close()  # a worker that waits already would know another cache folder
    with GitHub() as server:
        monkeypatch.setenv("GITHUB_API_URL", server.url)
        server.add(ID, {"model.py": PAIRS.format(planted=str(planted)), "config.json": "{}"}, owner="ada")
        yield server


def test_nothing_runs_before_consent_and_the_run_trains_after_it(github, planted, tiny, tmp_path, until):
    spec = tiny({"model.source": f"https://gist.github.com/ada/{ID}", "model.config": {}})
    sha = github.shas(ID)[0]
    runs = tmp_path / "runs"
    with pytest.raises(ModelError, match=f"Gist {ID} by ada, revision {sha}, but you have not agreed"):
        train(spec, runs_dir=runs, show_progress=False)
    with pytest.raises(ModelError, match="in a separate process,"):
        train(spec, runs_dir=runs, trust=True, settings={"hardware.backend": "kernel"}, show_progress=False)
    assert not runs.exists()
    assert not planted.exists()
    run = train(spec, runs_dir=runs, trust=True, show_progress=False)
    assert run.state == "done"
    assert run.spec.model.source == f"gist:{ID}@{sha}"
    assert run.status.model == "Tiny"  # as its description says
    assert "-Tiny-" in run.id
    assert len(run.last.generate("1 ", length=3)) > 2
    # It ran, in processes that are not ours and know no token.
    written = [line.split(":") for line in planted.read_text().split()]
    assert len({pid for pid, _ in written}) == 3  # the trial, the run, and what writes with it
    assert not [pid for pid, token in written if pid == str(os.getpid()) or token != "None"]
    origin = json.loads((run.path / "model" / "origin.json").read_text())
    assert (origin["revision"], origin["owner"], origin["kind"]) == (sha, "ada", "gist")
    assert not [path for path in run.path.rglob("*") if path.is_file() and b"canary4321" in path.read_bytes()]

    # What was agreed to once may run again, without GitHub; a changed revision may not.
    github.add(ID, {"model.py": PAIRS.format(planted="/dev/null"), "config.json": "{}"})
    with pytest.raises(ModelError, match="another revision"):
        train(spec, runs_dir=runs, show_progress=False)
    github.close()
    again = TrainingService(runs).start(spec.with_values({"model.source": f"{ID}@{sha}"}))
    assert TrainingService(runs).wait(again, 60) == "done"


def test_a_run_is_resumed_with_its_frozen_model(github, service, tiny, tmp_path, until):
    run = service.start(tiny({"model.source": ID, "model.config": {}, "training.steps": 10_000_000}), trust=True)
    until(run.checkpoints)
    service.stop(run)
    assert service.wait(run, 60) == "stopped"
    github.close()
    shutil.rmtree(tmp_path / "cache" / "models")
    step = run.status().step
    service.resume(run)
    until(lambda: run.status().step > step)
    service.stop(run)
    assert service.wait(run, 60) == "stopped"
    # Without it, nothing takes its place.
    shutil.rmtree(run.model_folder)
    service.resume(run)
    assert service.wait(run, 60) == "failed"
    assert "has lost its model folder" in run.status().message


def test_a_run_that_waits_keeps_the_model_that_was_agreed_to(github, service, tiny):
    first = service.start(tiny({"training.steps": 10_000_000}))
    second = service.start(tiny({"model.source": ID, "model.config": {}}), queue=True, trust=True)
    frozen = (second.model_folder / "model.py").read_text()
    github.add(ID, {"model.py": "raise SystemExit(3)", "config.json": "{}"})
    service.stop(first)
    assert service.wait(second, 60) == "done"
    assert (second.model_folder / "model.py").read_text() == frozen


def test_an_upload_is_trained(github, service, planted, tiny):
    source = from_files({"model.py": PAIRS.format(planted=str(planted)).encode(), "config.json": b"{}"})
    assert not planted.exists()
    run = service.start(tiny({"model.source": pinned(source), "model.config": {}}))
    assert service.wait(run, 60) == "done"
    assert planted.exists()


def test_a_gist_that_cannot_be_had_leaves_no_run(github, service, tiny):
    github.close()
    with pytest.raises(ModelError, match="can't be reached"):
        service.start(tiny({"model.source": ID}), trust=True)
    assert not service.runs_dir.exists()


def test_the_terminal_refuses_and_trains_with_trust(github, planted, tiny, tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text(tiny({"model.config": {}}).to_yaml())
    arguments = ["train", str(file), "--model", f"gist.github.com/ada/{ID}", "--runs-dir", str(tmp_path / "runs")]
    refused = command(*arguments)
    assert refused.code == 2
    assert f"Gist {ID} by ada" in " ".join(refused.err.split())
    assert "--trust" in refused.err
    assert not planted.exists()
    done = command(*arguments, "--trust", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["state"] == "done"
    assert f"You agreed to run the code of gist:{ID}@{github.shas(ID)[0]}" in " ".join(done.err.split())
    assert TrustStore().state(fetch(ID)).state == "trusted"
