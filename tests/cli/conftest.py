"""The installed command, in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tb_widgets.spec import RunSpec

COMMAND = [sys.executable, "-m", "tb_widgets"]


@dataclass(frozen=True)
class Said:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one line of JSON that it must be."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


def command(*words: str | Path, runs: Path | None = None, **options: Any) -> Said:
    """Run ``tb-widgets`` with these words and wait for it."""
    return finish(begin(*words, runs=runs, **options))


def begin(*words: str | Path, runs: Path | None = None, **options: Any) -> subprocess.Popen[str]:
    """Run ``tb-widgets`` and do not wait."""
    environment = os.environ | ({"TB_RUNS_DIR": str(runs)} if runs is not None else {})
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*COMMAND, *map(str, words)], env=environment, **pipes, **options)


def finish(process: subprocess.Popen[str]) -> Said:
    """Wait for a command that was begun."""
    out, err = process.communicate(timeout=120)
    return Said(process.returncode, out, err)


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., RunSpec]) -> Path:
    """The tiny spec as a file."""
    file = tmp_path_factory.mktemp("spec") / "tiny.yaml"
    file.write_text(tiny().to_yaml(), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_file: Path) -> tuple[Path, Said]:
    """A runs folder with one finished run in it, and what ``train --json`` said."""
    runs = tmp_path_factory.mktemp("runs")
    return runs, command("train", tiny_file, "--json", "--name", "first", runs=runs)
