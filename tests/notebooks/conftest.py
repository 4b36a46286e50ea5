"""Notebooks as people run them: beside the packed file, where Colab's packages are and ours is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.models.github import GitHub

REPOSITORY = Path(__file__).parents[2]
FLOOR_PYTHON = REPOSITORY / ".venv-floor" / "bin" / "python"
OnFloor = Callable[..., nbformat.NotebookNode]

# Loaded by every Python that the kernel or its children start: tells where they connect to, and stops them.
GUARD = """
import os, sys

def watch(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple) and args[1][0] not in ("127.0.0.1", "::1"):
        with open(os.environ["TB_TEST_CONNECTIONS"], "a") as file:
            file.write(f"{args[1]}\\n")
        raise OSError("the network is off limits")

sys.addaudithook(watch)
"""


def pack(folder: Path, repository: Path = REPOSITORY) -> Path:
    """Do what `make template` does."""
    subprocess.run([sys.executable, repository / "notebooks" / "pack.py", folder], check=True, capture_output=True)
    return folder / "tb_widgets.zip"


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub() as server:
        yield server


@pytest.fixture
def on_floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, github: GitHub) -> OnFloor:
    """Run a notebook in the folder ``content``, where the packed file lies, on the Colab-like stack."""
    if not FLOOR_PYTHON.exists():
        reason = "No .venv-floor: the Colab-like floor is made by `make floor`."
        pytest.fail(reason, pytrace=False) if os.environ.get("CI") else pytest.skip(reason)
    folder, guard, kernels = tmp_path / "content", tmp_path / "guard", tmp_path / "jupyter" / "kernels" / "floor"
    pack(folder)
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD)
    kernels.mkdir(parents=True)
    environment = {
        "PYTHONPATH": str(guard),
        "TB_TEST_CONNECTIONS": str(tmp_path / "connections"),
        "TB_CACHE_DIR": str(tmp_path / "cache"),
        "TB_CONFIG_DIR": str(tmp_path / "config"),
        "GITHUB_API_URL": github.url,
        "OMP_NUM_THREADS": "1",
    }
    start = [str(FLOOR_PYTHON), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": start, "display_name": "Floor", "language": "python", "env": environment}
    (kernels / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))

    def run(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
        resources = {"metadata": {"path": str(folder)}}
        NotebookClient(notebook, timeout=120, kernel_name="floor", resources=resources, allow_errors=True).execute()
        return notebook

    return run


def shown(notebook: nbformat.NotebookNode) -> str:
    """Everything that the notebook shows, as text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    return "\n".join(output.get("text") or output.data.get("text/html", "") for output in outputs)
