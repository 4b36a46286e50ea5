"""Training with a dashboard that is looked at, against training that nobody looks at: a few seconds each, in turns."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tb_widgets.engine.session import train_run
from tb_widgets.engine.trainer import Trainer
from tb_widgets.runs import create_run
from tests.bench.engine import preset_spec
from tests.bench.figure import Figure

TURN = {"quick": 30, "small": 8}  # steps: some seconds, so that a turn holds several beats
TURNS = {"quick": 20, "small": 40}


class Page:
    """A dashboard in a process of its own, as in a notebook's kernel."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.page", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._hear() == "ready"

    def open(self, run_id: str) -> None:
        self._tell(run_id)

    def look(self) -> None:
        self._tell("look")
        assert self._hear() == "so be it"

    def rest(self) -> None:
        self._tell("rest")
        assert self._hear() == "so be it"

    def end(self) -> int:
        """Return how often it beat."""
        beats, _ = self._process.communicate("end\n", timeout=60)
        return int(beats)

    def _tell(self, words: str) -> None:
        assert self._process.stdin is not None
        print(words, file=self._process.stdin, flush=True)

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Watched(Trainer):
    """Trains one turn with the page looking, one without, and adds up the seconds of both."""

    def __init__(self, *parts: Any, page: Page, seconds: dict[bool, float], turn: int, **more: Any) -> None:
        super().__init__(*parts, **more)
        self._page, self._seconds, self._turn = page, seconds, turn
        self._watched, self._began = False, 0.0

    def _train_one_step(self) -> None:
        # The first step is nobody's: validation and saving, which follow a step, then end a turn.
        if self.step % self._turn == 1:
            turn, now = self.step // self._turn, time.perf_counter()
            if turn:
                self._seconds[self._watched] += now - self._began
            self._watched = turn % 4 in (0, 3)  # pairs in changing order: watched, not; not, watched
            if self._watched:
                self._page.look()
            else:
                self._page.rest()
            self._began = time.perf_counter()
        super()._train_one_step()


def measure(folder: Path) -> Iterator[Figure]:
    for name, turns in TURNS.items():
        turn = TURN[name]
        spec = preset_spec(name).with_values(
            {
                "training.steps": turn * turns + 2,  # those of the turns, a first, and one that ends the last turn
                "evaluation.every": turn,  # the same in every turn
                "evaluation.batches": 2,
                "checkpoints.every": turn,
            }
        )
        train_run(create_run(folder, spec.with_values({"training.steps": 5})))
        page, seconds = Page(folder), {True: 0.0, False: 0.0}
        trainer = partial(Watched, page=page, seconds=seconds, turn=turn)
        run = create_run(folder, spec)
        page.open(run.id)
        with patch("tb_widgets.engine.session.Trainer", trainer):
            assert train_run(run) == "done", run.status().message
        beats = page.end()
        yield Figure(
            f"speed with a dashboard / without, {name}",
            seconds[False] / seconds[True],
            "",
            "at least",
            0.96,
            f"{turns} turns of {turn} steps; {beats} beats of a dashboard with its figure, in its own process",
        )
