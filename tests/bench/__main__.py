"""Measure the promises, one line each; the exit code is 1 when one is missed."""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path

BENCHMARKS = (
    "imports",
    "runs_list",
    "display",
    "attach",
    "packing",
    "batches",
    "engine",
    "frameworks",
    "bf16",
    "deterministic",
    "stall",
    "checks",
    "dashboard",
    "kills",
    "quality",
)


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"There is no benchmark {unknown[0]!r}. There are: {', '.join(BENCHMARKS)}.", file=sys.stderr)
        return 2
    busy = os.getloadavg()[0]
    if busy > 0.5:
        print(f"This machine is not idle (load {busy:.1f}): ratios are measured side by side, seconds may be too long.")
    missed = 0
    with tempfile.TemporaryDirectory(prefix="tb_widgets-bench-") as folder:
        os.environ["TB_CACHE_DIR"] = str(Path(folder) / "cache")
        for name in names or BENCHMARKS:
            home = Path(folder) / name
            home.mkdir()
            for figure in import_module(f"tests.bench.{name}").measure(home):
                print(figure, flush=True)
                missed += not figure.holds
    print(f"{missed} missed" if missed else "All promises are kept.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
