"""A long run is re-attached at once, and what a beat of the page costs does not grow with the run."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from tb_widgets import Dashboard
from tb_widgets.app.panels.train.live import LivePanel
from tb_widgets.app.state.watch import Watch
from tb_widgets.display.figure import figure_points
from tb_widgets.runs import RunDirectory, create_run
from tb_widgets.runs.journal import append_text
from tb_widgets.runs.process import ProcessIdentity
from tb_widgets.runs.status import read_status, write_status
from tb_widgets.spec import RunSpec
from tests.bench.figure import Figure
from tests.bench.wire import Wire

LONG, SHORT = 100_000, 1_000
BEATS = 60
NEW_LINES = 60  # between two beats: 120 steps a second


def journal_lines(first: int, last: int) -> str:
    """Lines as the engine writes them, every hundredth with validation figures."""
    lines = []
    for step in range(first, last + 1):
        loss = 2 + 5 * math.exp(-step / 3000) + 0.3 * math.sin(step * 12.9898)
        record = {"step": step, "time": 1.7e9 + step / 50, "train/loss": loss, "lr": 1e-3 * (1 - step / 200_000)}
        record |= {"grad_norm": 1.2345678901, "tokens_per_second": 54321.1}
        if step % 100 == 0:
            record |= {"val/loss": loss, "val/perplexity": math.exp(loss), "val/accuracy": 1 / loss}
        lines.append(json.dumps(record) + "\n")
    return "".join(lines)


def running_run(folder: Path, lines: int) -> RunDirectory:
    """A run at work in this very process, of so many steps."""
    run = create_run(folder, RunSpec().with_values({"training.steps": 200_000}))
    append_text(run.metrics_file, journal_lines(1, lines))
    beat(run, lines)
    return run


def beat(run: RunDirectory, step: int) -> None:
    """Write the status as the journal does at every beat of its own."""
    me = ProcessIdentity.current()
    status = replace(
        read_status(run.status_file),
        state="running",
        pid=me.pid,
        process_started=me.started,
        host=me.host,
        step=step,
        elapsed=step / 50,
        tokens_per_second=54321.1 + step,
        eta=(200_000 - step) / 50,
        heartbeat=time.time(),
    )
    write_status(run.status_file, status)


def until_the_figure_stands(dashboard: Dashboard) -> None:
    """Be a page that has just come: beat until the figure is there and holds its points."""
    dashboard.service.warm = lambda: None  # no worker is needed here
    live = next(panel for panel in dashboard.page.panels["train"] if isinstance(panel, LivePanel))
    dashboard.on_beat("ready", False)
    deadline = time.monotonic() + 60
    while live.figure._figure is None:
        assert time.monotonic() < deadline
        dashboard.on_beat("tick", False)
    dashboard.on_beat("tick", True)


class Beating:
    """A dashboard on a run that grows, and what each of its beats cost."""

    def __init__(self, folder: Path, lines: int, wire: Wire) -> None:
        self.run, self.step, self._wire = running_run(folder / str(lines), lines), lines, wire
        self.dashboard = Dashboard(runs_dir=folder / str(lines), run=self.run.id)
        until_the_figure_stands(self.dashboard)
        self.seconds: list[float] = []
        self.sent: list[int] = []

    def beat(self) -> None:
        append_text(self.run.metrics_file, journal_lines(self.step + 1, self.step + NEW_LINES))
        self.step += NEW_LINES
        beat(self.run, self.step)
        self._wire.forget()
        began = time.perf_counter()
        self.dashboard.on_beat("tick", True)
        self.seconds.append(time.perf_counter() - began)
        self.sent.append(self._wire.bytes)
        assert self._wire.bytes > 1000, "the curves were sent"


def measure(folder: Path) -> Iterator[Figure]:
    wire = Wire()  # before the first widget is made
    short, long = Beating(folder, SHORT, wire), Beating(folder, LONG, wire)
    took = []
    for _ in range(5):
        began = time.process_time()
        watch = Watch()
        watch.attach(long.run)
        points = figure_points(watch.curves)
        took.append(time.process_time() - began)
        assert len(watch.curves["train/loss"]) == LONG
        assert points[0][0][-1] == LONG
    how = "Watch.attach and the points of its curves, processor time, best of 5"
    yield Figure(f"a run of {LONG:,} lines re-attached", min(took), "s", "at most", 1.0, how)
    for _ in range(BEATS):
        short.beat()
        long.beat()
    for lines, page in ((SHORT, short), (LONG, long)):
        how = f"{BEATS} beats with {NEW_LINES} new lines each, all widgets, serialised and signed; "
        yield Figure(f"a beat at {lines:,} lines", 1000 * median(page.seconds), "ms", "at most", 10, how + "median")
        yield Figure(f"sent a beat at {lines:,} lines", max(page.sent) / 1000, "kB", "at most", 50, how + "largest")
    growth = median(late / early for early, late in zip(short.seconds, long.seconds, strict=True))
    yield Figure(f"growth of a beat from {SHORT:,} lines", growth, "", "at most", 1.5, "median of the beats' ratios")
