"""The installed command, in processes of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
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


class Terminal:
    """A pseudo-terminal with a command in it."""

    def __init__(self, *words: str | Path, runs: str | Path, columns: int = 80) -> None:
        self.screen = ""
        self.pid, self.end = pty.fork()
        if self.pid == 0:
            # A CI step may be started with SIGINT ignored, which children inherit; a terminal never does that.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.environ |= {"TB_RUNS_DIR": str(runs), "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "24"}
            os.execv(sys.executable, [*COMMAND, *map(str, words)])
        os.set_blocking(self.end, False)

    def shows(self, pattern: str) -> bool:
        """Read what is new, and tell whether the pattern has been on the screen."""
        try:
            while data := os.read(self.end, 65536):
                self.screen += data.decode(errors="replace")
        except OSError:  # nothing new, or the command has ended
            pass
        return re.search(pattern, self.plain) is not None

    @property
    def plain(self) -> str:
        """Everything that was on the screen, without colours and cursor movements."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.screen)

    @property
    def lines(self) -> list[str]:
        """The lines as they were printed, without their ends."""
        return [line.rpartition("\r")[2].rstrip() for line in self.plain.replace("\r\n", "\n").split("\n")]

    def press_ctrl_c(self) -> None:
        os.write(self.end, b"\x03")

    def exit_code(self) -> int:
        """Drain the terminal until the command has ended."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self.shows("")
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.shows("")
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"still running:\n{self.plain[-2000:]}")


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
