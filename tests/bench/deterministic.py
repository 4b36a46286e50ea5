"""What deterministic algorithms cost: the engine with them and without, in turns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tb_widgets.engine.session import train_run
from tb_widgets.runs import create_run
from tests.bench.figure import Figure
from tests.bench.frameworks import SIZES
from tests.bench.turns import engine, seconds_per_step

MEASURED = ("1 M", "10 M")


def measure(folder: Path) -> Iterator[Figure]:
    for title in MEASURED:
        size = SIZES[title]
        plain = size.spec().with_values({"hardware.device": "auto"})
        first = create_run(folder, plain.with_values({"training.steps": 2}))
        assert train_run(first) == "done", first.status().message
        exact = plain.with_values({"training.deterministic": True})
        loops = {"plain": engine(folder, plain, "plain"), "deterministic": engine(folder, exact, "deterministic")}
        found = seconds_per_step(loops, size=size.turn, steps=size.steps, threads=first.status().threads or 1)
        yield Figure(
            f"deterministic / not, {title}, {first.status().device}",
            found["deterministic"] / found["plain"],
            "x",
            "at most",
            1.05 if first.status().device == "CPU" else 1.5,
            ", ".join(f"{name} {1000 * seconds:.2f} ms/step" for name, seconds in found.items()),
        )
