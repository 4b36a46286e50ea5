"""A worker that is killed at forty random moments computes what an undisturbed one computes, to the last bit."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

from tb_widgets import TrainingService
from tb_widgets.runs import RunDirectory
from tb_widgets.spec import RunSpec
from tests.bench.figure import Figure
from tests.conftest import TINY
from tests.faults.conftest import computed, final_weights
from tests.faults.test_killed_worker import OFTEN, ForkedWorker, half_written, training_seconds
from tests.service.conftest import end_all

KILLS = 40
WITHIN = 120.0  # seconds, for whatever is waited for


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def killed_at(run: RunDirectory, moment: float, *, starting: bool) -> int:
    """Kill the run's worker so many seconds after it was told to start, or trains; return the step that it was at."""
    pid = run.status().pid
    assert pid is not None
    until(lambda: starting or run.status().state == "running")
    time.sleep(moment)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not run.status().is_active)
    return run.status().step


def measure(folder: Path) -> Iterator[Figure]:
    text = folder / "squares.txt"
    text.write_text(" ".join(f"{n} times {n} is {n * n}." for n in range(300)))
    spec = RunSpec().with_values(TINY | OFTEN | {"training.steps": 800, "data.source": str(text)})
    chance = random.Random(1)
    service = TrainingService(folder / "runs")
    with patch("tb_widgets.service.service.WaitingWorker", ForkedWorker):
        try:
            undisturbed = service.start(spec)
            service.wait(undisturbed, WITHIN)
            # Even if every life lasted its longest, the kills would be over before the training is.
            longest = training_seconds(undisturbed) / KILLS * 4 / 3
            run, steps = service.start(spec), list[int]()
            for kill in range(KILLS):
                steps.append(killed_at(run, chance.uniform(0.0, longest), starting=kill % 4 == 0))
                service.resume(run)
            ended = service.wait(run, WITHIN)
        finally:
            end_all(service)
    how = f"800 steps, killed at steps {' '.join(map(str, steps))}"
    yield Figure("SIGKILLs survived", len(steps) * (ended == "done"), "", "at least", KILLS, how)
    ours, theirs = computed(run), computed(undisturbed)
    equal = sum(one == other for one, other in zip(ours, theirs, strict=False))
    yield Figure("lines of the journal equal, bit for bit", equal, "", "at least", max(len(ours), len(theirs)), "")
    last = [lines[-1]["val/loss"] for lines in (ours, theirs)]
    yield Figure("difference of the last val/loss", abs(last[0] - last[1]), "", "at most", 0.0, f"both {last[0]!r}")
    same = final_weights(run) == final_weights(undisturbed) and not half_written(run)
    yield Figure("last weights equal, nothing half-written", float(same), "", "at least", 1.0, "")
