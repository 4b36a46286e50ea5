"""Training with a dashboard that is looked at, against training that nobody looks at."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tb_widgets.engine.session import train_run
from tb_widgets.runs import create_run
from tests.bench.engine import engine_seconds, preset_spec
from tests.bench.figure import Figure

ROUNDS = {"quick": 5, "small": 3}


def watched_seconds(folder: Path, name: str) -> tuple[float, int]:
    """Train while a page of its own process refreshes twice a second; also return how often it did."""
    page = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.page", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert page.stdin is not None
    assert page.stdout is not None
    assert page.stdout.readline() == "ready\n"
    run = create_run(folder, preset_spec(name))
    print(run.id, file=page.stdin, flush=True)
    took = engine_seconds(run)
    beats, _ = page.communicate(timeout=60)
    return took, int(beats)


def measure(folder: Path) -> Iterator[Figure]:
    for name, rounds in ROUNDS.items():
        train_run(create_run(folder, preset_spec(name).with_values({"training.steps": 5})))
        ratios, seen = [], 0
        for number in range(rounds):
            if number % 2:
                (watched, beats), alone = (
                    watched_seconds(folder, name),
                    engine_seconds(create_run(folder, preset_spec(name))),
                )
            else:
                alone, (watched, beats) = (
                    engine_seconds(create_run(folder, preset_spec(name))),
                    watched_seconds(folder, name),
                )
            ratios.append(alone / watched)
            seen += beats
        how = (
            f"{rounds} rounds, alternating, median; {seen} beats of a dashboard with its figure, in its own process; "
            "rounds " + " ".join(f"{ratio:.3f}" for ratio in ratios)
        )
        yield Figure(f"speed with a dashboard / without, {name}", median(ratios), "", "at least", 0.96, how)
