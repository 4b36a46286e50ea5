"""A long run is re-attached at once, and what a beat of the page costs does not grow with the run."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from tb_widgets.runs import RunDirectory, create_run
from tb_widgets.runs.journal import append_text
from tb_widgets.runs.process import ProcessIdentity
from tb_widgets.runs.status import read_status, write_status
from tb_widgets.service.figure import figure_points
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


def measure(folder: Path) -> Iterator[Figure]:
    wire = Wire()  # before the first widget is made
    from tb_widgets import Dashboard
    from tb_widgets.app.watch import Watch

    costs = {}
    for lines in (SHORT, LONG):
        run = running_run(folder / str(lines), lines)
        if lines == LONG:
            took = []
            for _ in range(5):
                began = time.process_time()
                watch = Watch()
                watch.attach(run)
                points = figure_points(watch.curves)
                took.append(time.process_time() - began)
                assert len(watch.curves["train/loss"]) == lines
                assert points[0][0][-1] == lines
            how = "Watch.attach and the points of its curves, processor time, best of 5"
            yield Figure(f"a run of {lines:,} lines re-attached", min(took), "s", "at most", 1.0, how)

        dashboard = Dashboard(runs_dir=folder / str(lines), run=run.id)
        dashboard._on_beat("ready", False, False)
        dashboard._on_beat("tick", True, False)
        seconds, sent = [], []
        for number in range(BEATS):
            first = lines + number * NEW_LINES + 1
            append_text(run.metrics_file, journal_lines(first, first + NEW_LINES - 1))
            beat(run, first + NEW_LINES - 1)
            wire.forget()
            began = time.perf_counter()
            dashboard._on_beat("tick", True, False)
            seconds.append(time.perf_counter() - began)
            sent.append(wire.bytes)
            assert wire.messages > 0
        costs[lines] = (median(seconds), max(sent))
        how = f"{BEATS} beats with {NEW_LINES} new lines each, all widgets, serialised and signed; "
        yield Figure(f"a beat at {lines:,} lines", 1000 * costs[lines][0], "ms", "at most", 10, how + "median")
        yield Figure(f"sent a beat at {lines:,} lines", costs[lines][1] / 1000, "kB", "at most", 50, how + "largest")
    growth = costs[LONG][0] / costs[SHORT][0]
    yield Figure("growth of a beat's time from 1,000 lines", growth, "", "at most", 1.5, "ratio of the medians above")
