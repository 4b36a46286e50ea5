"""The notebook that checks a model, where Colab's packages are and ours is not: as a user runs it, top to bottom."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import nbformat
import pytest

from tb_widgets.checks.result import ORDER
from tests.models.github import ID, GitHub

from .conftest import FLOOR_PYTHON, REPOSITORY, OnFloor, pack, shown

LEAKY = """
import pathlib
import torch
from torch import nn

pathlib.Path("executed").touch()

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding_0_token = nn.Embedding(50, 16)
        self.embedding_0_pos = nn.Embedding(32, 16)
        self.mhsa_0 = nn.MultiheadAttention(16, 2, batch_first=True)
        self.output_0 = nn.Linear(16, 50)

    def forward(self, input_ids):
        x = self.embedding_0_token(input_ids) + self.embedding_0_pos(torch.arange(input_ids.shape[1]))
        attended, _ = self.mhsa_0(x, x, x)
        return self.output_0(x + attended)
"""
FILES = {"model.py": LEAKY, "config.json": '{"vocab_size": 50, "model_name": "<b>Tiny</b>"}'}

Execute = Callable[..., nbformat.NotebookNode]


@pytest.fixture
def execute(tmp_path: Path, on_floor: OnFloor) -> Execute:
    """Run the notebook beside the packed file, with its form's field filled in and some buttons pressed."""

    def run(model: str = "zoo:gpt", press: tuple[str, ...] = ()) -> nbformat.NotebookNode:
        notebook = nbformat.read(tmp_path / "content" / "template.ipynb", as_version=4)
        form = next(cell for cell in notebook.cells if "# @title Your model" in cell.source)
        form.source = form.source.replace('"zoo:gpt"', repr(model))
        look = next(cell for cell in notebook.cells if "tb_widgets.Validation" in cell.source)
        # What a click on a button of the output does, before the cells below are run.
        pressing = "".join(f"\nvalidation.{method}()" for method in press)
        notebook.cells.insert(notebook.cells.index(look) + 1, nbformat.v4.new_code_cell(pressing.strip()))
        return on_floor(notebook)

    return run


def test_the_notebook_has_one_field_and_short_cells() -> None:
    notebook = nbformat.read(REPOSITORY / "notebooks" / "template.ipynb", as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(source.count("@param") for source in code) == 1
    assert max(source.count("\n") for source in code) < 25


def freeze() -> str:
    return subprocess.run(
        [FLOOR_PYTHON, "-m", "pip", "freeze", "--all"], capture_output=True, check=True, text=True
    ).stdout


@pytest.mark.floor
def test_run_all_checks_our_gpt_from_the_packed_file_and_changes_nothing(execute: Execute, tmp_path: Path) -> None:
    before = freeze()
    notebook = execute()
    text = shown(notebook)
    assert freeze() == before

    assert f"from {tmp_path / 'content' / 'tb_widgets.zip'}" in text
    table = next(cell for cell in notebook.cells if "validation.check" in cell.source).outputs[-1].data["text/html"]
    assert table.count("tbw-chip is-") == len(ORDER)
    assert "✕" not in table
    assert "Later tokens do not change earlier predictions." in table
    assert text.count("<figure") >= 2
    assert not (tmp_path / "connections").exists()


@pytest.mark.floor
def test_a_gist_is_shown_and_not_run_before_somebody_agrees(execute: Execute, github: GitHub, tmp_path: Path) -> None:
    sha = github.add(ID, FILES, owner="anna<script>")
    text = shown(execute(f"https://gist.github.com/anna/{ID}"))

    assert f"gist:{ID}@{sha}" in text
    assert "anna&lt;script&gt;" in text
    assert "mhsa_0" in text
    assert "<td>line 2</td>" in text
    assert "<b>imports pathlib</b>" in text
    assert "press Trust this revision" in text
    assert "Not checked." in text
    assert not (tmp_path / "content" / "executed").exists()

    text = shown(execute(ID, press=("agree",)))
    assert "This model sees the answers." in text
    assert "press Apply the repairs above" in text
    assert (tmp_path / "content" / "executed").exists()

    text = shown(execute(ID, press=("mend",)))  # the consent is remembered
    before, again = text.split("The causal mask has been put in.")
    assert "This model sees the answers." in before
    assert "This model sees the answers." not in again
    assert "Later tokens do not change earlier predictions." in again
    assert not (tmp_path / "connections").exists()


@pytest.mark.floor
def test_what_is_wrong_is_one_sentence_without_a_traceback(execute: Execute, tmp_path: Path) -> None:
    packed = tmp_path / "content" / "tb_widgets.zip"
    packed.rename(packed.with_name("tb_widgets-0.1.0-py3-none-any.whl"))  # a wheel will do as well
    notebook = execute(ID)
    cell = next(cell for cell in notebook.cells if "tb_widgets.Validation" in cell.source)
    (error,) = [output for output in cell.outputs if output.output_type == "error"]
    (sentence,) = error.traceback
    assert sentence.startswith(f"There is no Gist {ID} on GitHub.")


def test_the_same_source_gives_the_same_file(tmp_path: Path) -> None:
    first = pack(tmp_path / "a")
    clone = tmp_path / "clone"
    for part in ("notebooks", "tb_widgets"):  # their times differ, and caches lie about
        shutil.copytree(REPOSITORY / part, clone / part, copy_function=shutil.copyfile)
    shutil.copyfile(REPOSITORY / "LICENSE", clone / "LICENSE")
    (clone / "tb_widgets" / "__pycache__").mkdir(exist_ok=True)
    (clone / "tb_widgets" / "__pycache__" / "more.pyc").write_bytes(b"cache")
    second = pack(tmp_path / "b", clone)
    assert first.read_bytes() == second.read_bytes()
    assert "LICENSE" in ZipFile(first).namelist()


def test_a_worker_finds_the_packed_file_that_was_put_on_the_path(tmp_path: Path) -> None:
    packed = pack(tmp_path)
    code = (
        "import sys; sys.path.insert(0, 'tb_widgets.zip')\n"
        "from tb_widgets.service.workers.environment import worker_environment\n"
        "print(worker_environment()['PYTHONPATH'])"
    )
    environment = {**os.environ, "PYTHONPATH": "/elsewhere"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"{packed}{os.pathsep}/elsewhere"


def test_the_notebook_holds_no_outputs() -> None:
    notebook = nbformat.read(REPOSITORY / "notebooks" / "template.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")]
