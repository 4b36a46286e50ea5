"""The dashboard is on the page soon after the cell that asks for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figure import Figure
from tests.faults.kernel import Kernel

ROUNDS = 3
CELL = """
import time
_began = time.perf_counter()
from IPython.display import display
dashboard = tb_widgets.Dashboard(runs_dir={folder!r})
display(dashboard)
print(time.perf_counter() - _began)
"""


def measure(folder: Path) -> Iterator[Figure]:
    inside, outside = [], []
    for _ in range(ROUNDS):
        with Kernel() as kernel:
            kernel.run("import tb_widgets")
            began = time.perf_counter()
            inside.append(float(kernel.run(CELL.format(folder=str(folder))).split()[-1]))
            outside.append(time.perf_counter() - began)
    how = f"fresh kernels after import tb_widgets, best of {ROUNDS}, "
    yield Figure("dashboard displayed, in the kernel", min(inside), "s", "at most", 1.5, how + "by the kernel's clock")
    yield Figure("dashboard displayed, from outside", min(outside), "s", "at most", 1.5, how + "until the cell is idle")
