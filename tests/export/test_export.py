"""What is exported is the same model, or nothing is left of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tb_widgets.data.tokenizers.make import load_tokenizer
from tb_widgets.engine.session import train_run
from tb_widgets.errors import ExportError
from tb_widgets.service.exporting import export_checkpoint
from tests.plugins import install, python

LIAR = """
from tb_widgets.export import safetensors
from tb_widgets.export.registry import EXPORTERS, Exporter

def export(trained, folder):
    for parameter in trained.model.module.parameters():
        parameter.data += 1
    safetensors.export(trained, folder)
    for parameter in trained.model.module.parameters():
        parameter.data -= 1

EXPORTERS.add("liar", Exporter("Other weights", export=export, prove=safetensors.prove, extra="lies"))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny, new_run):
    made = new_run(tmp_path_factory.mktemp("runs"), tiny())
    assert train_run(made) == "done"
    return made


def files(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def test_an_export_holds_all_that_the_model_needs_and_appears_whole(run, tmp_path):
    checkpoint = run.checkpoints()[-1].path
    done = export_checkpoint(run, checkpoint, "safetensors", tmp_path / "new" / "model")
    assert done.difference == 0
    assert list(done.files) == files(done.folder)
    assert {"config.json", "model.py", "model.safetensors", "tied_weights.json"} <= {*done.files}
    trained, written = (load_file(folder / "model.safetensors") for folder in (checkpoint, done.folder))
    assert trained.keys() == written.keys()
    assert all(torch.equal(trained[name], written[name]) for name in trained)
    assert list(load_tokenizer(done.folder / "tokenizer").encode("3 times")) == list(b"3 times")
    assert [path.name for path in done.folder.parent.iterdir()] == ["model"], "nothing half-written"


def test_what_can_not_be_exported_is_told_before_anything_is_written(run, tmp_path):
    checkpoint = run.checkpoints()[-1].path
    with pytest.raises(ExportError, match="no export format 'onyx'") as caught:
        export_checkpoint(run, checkpoint, "onyx", tmp_path / "model")
    assert "safetensors" in caught.value.hint
    with pytest.raises(ExportError, match="already exists"):
        export_checkpoint(run, checkpoint, "safetensors", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_stranger_adds_a_format_by_one_file_and_one_that_lies_is_found_out(run, tmp_path):
    environment = install(tmp_path / "site-packages", "exporters", "liar", LIAR)
    said = python(environment, "-m", "tb_widgets", "export", "--list").stdout.splitlines()
    assert [line.split()[0] for line in said] == ["safetensors", "liar"], "ours first"
    assert said[1] == "liar  Other weights (needs tb-widgets[lies])"
    out = tmp_path / "out"
    done = python(environment, "-m", "tb_widgets", "export", str(run.path), "--to", "liar", "--out", str(out))
    assert done.returncode == 1
    assert "What was written as liar is another model: its logits differ by" in done.stderr
    assert not out.exists()


def test_the_command_says_where_it_is(run, tmp_path):
    out = tmp_path / "out"
    words = ("-m", "tb_widgets", "export", str(run.path), "--checkpoint", "last", "--out", str(out), "--json")
    done = python(install(tmp_path / "site-packages", "exporters", "liar", LIAR), *words)
    facts = json.loads(done.stdout)
    assert facts["path"] == str(out)
    assert (facts["checkpoint"], facts["to"], facts["difference"]) == (20, "safetensors", 0.0)
    assert facts["files"] == files(out)
