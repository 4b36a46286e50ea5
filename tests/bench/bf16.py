"""What bf16 gains at 10 million parameters: the engine as preflight would have it, against a bare loop in fp32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import tb_widgets
from tb_widgets.engine.session import train_run
from tb_widgets.runs import create_run
from tests.bench.figure import Figure
from tests.bench.frameworks import SIZES
from tests.bench.turns import bare, engine, seconds_per_step

SIZE = SIZES["10 M"]


def measure(folder: Path) -> Iterator[Figure]:
    plain = SIZE.spec()
    # Preflight measures threads, as yet no precision: bf16 is what we know to be faster at this size.
    best = tb_widgets.preflight(plain.with_values({"training.precision": "bf16"})).best_threads
    threads = {"hardware.threads": best} if best else {}
    first = create_run(folder, plain.with_values({"training.steps": 2}))
    assert train_run(first) == "done", first.status().message
    loops = {
        "engine": engine(folder, plain.with_values({"training.precision": "bf16"} | threads)),
        "engine, fp32": engine(folder, plain, "engine, fp32"),
        "bare loop": bare(plain, first),
    }
    found = seconds_per_step(loops, size=SIZE.turn, steps=SIZE.steps, threads=first.status().threads)
    how = ", ".join(f"{name} {seconds:.3f} s/step" for name, seconds in found.items())
    yield Figure(
        "bf16 engine / bare fp32 loop, 10 M",
        found["bare loop"] / found["engine"],
        "x",
        "at least",
        1.3,
        f"{how}; {SIZE.steps} steps in turns of {SIZE.turn}; {best or first.status().threads} thread(s) for bf16",
    )
