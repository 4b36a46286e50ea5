"""Real disks for the tests that need one: very small, or read-only. Both are mounted, for root can write anywhere."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tb_widgets.runs import RunDirectory, create_run
from tb_widgets.spec import RunSpec


def mounted(folder: Path, options: str) -> Iterator[Path]:
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this test mounts a small disk, which this user may not do")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    yield from mounted(folder, "size=256k")


@pytest.fixture
def fill(tiny_disk: Path) -> Callable[[], None]:
    """Fill the tiny disk to the last byte."""

    def fill_it() -> None:
        with contextlib.suppress(OSError), (tiny_disk / "filler").open("ab", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        assert shutil.disk_usage(tiny_disk).free == 0

    return fill_it


@pytest.fixture
def make_read_only(tiny_disk: Path) -> Callable[[], None]:
    """Make the tiny disk read-only."""

    def remount() -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)

    return remount


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return create_run(tmp_path / "runs", RunSpec())
