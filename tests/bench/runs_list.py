"""A folder of 1,000 runs is listed in no time."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tb_widgets.runs import create_run, list_entries
from tb_widgets.runs.status import read_status, write_status
from tb_widgets.spec import RunSpec
from tests.bench.figure import Figure

RUNS = 1000
ROUNDS = 5


def measure(folder: Path) -> Iterator[Figure]:
    first = create_run(folder, RunSpec())
    write_status(first.status_file, replace(read_status(first.status_file), state="done", step=1000))
    for number in range(1, RUNS):
        shutil.copytree(first.path, folder / f"{first.id[:-4]}{number:04}")

    def seconds() -> float:
        began = time.perf_counter()
        assert len(list_entries(folder)) == RUNS
        return time.perf_counter() - began

    how = f"list_entries, best of {ROUNDS}"
    yield Figure(f"{RUNS:,} runs listed", min(seconds() for _ in range(ROUNDS)), "s", "at most", 1.0, how)
