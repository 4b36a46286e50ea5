"""Several training loops that take turns inside one process, a few steps each, so that what slows one slows all.

Each trains in a thread of its own; only the one whose turn it is works, and only its own time is counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from tb_widgets.engine.session import train_run
from tb_widgets.engine.trainer import Trainer
from tb_widgets.runs import RunDirectory, create_run
from tb_widgets.spec import RunSpec
from tests.bench.engine import BareLoop, KnownSaver

Loop = Callable[["Turns"], None]


class Turns:
    """Whose turn it is, and how long each has worked.

    Parameters
    ----------
    names
        The loops in their order.
    size
        Steps of a turn.
    steps
        Steps of each loop; what comes before its second turn and after its last step begins is not counted.
    """

    def __init__(self, names: list[str], *, size: int, steps: int) -> None:
        self._size, self._steps = size, steps
        self._waiting = list(names)
        self._changed = threading.Condition()
        self._began: dict[str, float] = {}
        self._done = dict.fromkeys(names, 0)
        self.seconds = dict.fromkeys(names, 0.0)

    def begin(self, name: str) -> None:
        """Wait for one's first turn."""
        self._wait(name)

    def step(self, name: str, *, may_go: bool = True) -> None:
        """Say that a step begins; at the end of a turn the others go first, unless this loop has work going on."""
        done = self._done[name]
        if name in self._began:
            self.seconds[name] += time.perf_counter() - self._began.pop(name)
        if done and done % self._size == 0 and may_go:
            with self._changed:
                self._waiting.append(self._waiting.pop(0))
                self._changed.notify_all()
            self._wait(name)
        self._done[name] += 1
        if self._size <= done < self._steps - 1:
            self._began[name] = time.perf_counter()

    def end(self, name: str) -> None:
        """Leave the others alone."""
        with self._changed:
            self._waiting.remove(name)
            self._changed.notify_all()

    def counted(self, name: str) -> int:
        """Return the steps whose time was counted."""
        return min(self._done[name], self._steps) - 1 - self._size

    def _wait(self, name: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting[0] == name)


def seconds_per_step(loops: dict[str, Loop], *, size: int, steps: int, threads: int) -> dict[str, float]:
    """Let loops take turns, and return the seconds that a step of each takes."""
    turns, failed = Turns([*loops], size=size, steps=steps), []

    def work(name: str, loop: Loop) -> None:
        torch.set_num_threads(threads)  # of this thread
        try:
            turns.begin(name)
            loop(turns)
        except BaseException as error:  # told by the main thread
            failed.append(error)
        finally:
            turns.end(name)

    workers = [threading.Thread(target=work, args=pair) for pair in loops.items()]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failed:
        raise failed[0]
    return {name: turns.seconds[name] / turns.counted(name) for name in loops}


def engine(folder: Path, spec: RunSpec, name: str = "engine") -> Loop:
    """The engine, with journal, checkpoints, samples and validation."""

    def loop(turns: Turns) -> None:
        class TakesTurns(Trainer):
            def _train_one_step(self) -> None:
                assert isinstance(self.saver, KnownSaver)
                # What is written in the background would slow the others.
                turns.step(name, may_go=self.saver.rests)
                wanted = spec.training.deterministic  # of the whole process, in which another engine may have had it
                if torch.are_deterministic_algorithms_enabled() != wanted:
                    torch.use_deterministic_algorithms(wanted)
                super()._train_one_step()

        run = create_run(folder, spec)
        changed: dict[str, Any] = {"Trainer": TakesTurns, "CheckpointSaver": KnownSaver}
        with patch.multiple("tb_widgets.engine.session", **changed):
            assert train_run(run) == "done", run.status().message

    return loop


def bare(spec: RunSpec, first: RunDirectory, name: str = "bare loop") -> Loop:
    """The loop that a person would write, in fp32, with the same validation."""

    def loop(turns: Turns) -> None:
        training = BareLoop(spec, first)
        for _ in range(spec.training.steps):
            turns.step(name)
            training.train(1)

    return loop
