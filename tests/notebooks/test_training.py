"""The notebook that trains, from its form to a sentence of the model's, on the Colab-like stack and on ours."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from .conftest import REPOSITORY, OnFloor, shown

PATH = REPOSITORY / "notebooks" / "training.ipynb"


def filled_in(text: Path) -> nbformat.NotebookNode:
    """The notebook with a small text and few steps in its form."""
    notebook = nbformat.read(PATH, as_version=4)
    form = next(cell for cell in notebook.cells if "# @title" in cell.source)
    form.source = form.source.replace('"python-docs"', repr(str(text))).replace("steps = 200", "steps = 20")
    return notebook


def assert_trained(notebook: nbformat.NotebookNode, runs: Path) -> None:
    text = shown(notebook)
    assert "Later tokens do not change earlier predictions." in text
    assert len([*runs.glob("[!.]*")]) == 2
    table = next(cell for cell in notebook.cells if "compare" in cell.source).outputs[-1].data["text/html"]
    for column in ("val/loss", "training.learning_rate"):
        assert f"<th>{column}</th>" in table
    figure = next(cell for cell in notebook.cells if "run.plot()" in cell.source).outputs[-1].data
    assert "application/vnd.plotly.v1+json" in figure
    assert "The import statement" in notebook.cells[-1].outputs[-1].text


def test_it_has_one_form_and_short_cells() -> None:
    notebook = nbformat.read(PATH, as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert [source.count("@param") for source in code if "@param" in source] == [5]
    assert max(source.count("\n") for source in code) < 25
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.floor
def test_run_all_on_the_floor(on_floor: OnFloor, text_file: Path, tmp_path: Path) -> None:
    assert_trained(on_floor(filled_in(text_file)), tmp_path / "content" / "runs")


def test_run_all_here(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TB_RUNS_DIR", str(tmp_path / "runs"))
    notebook = filled_in(text_file)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources, allow_errors=True).execute()
    assert_trained(notebook, tmp_path / "runs")
