"""Feeding a sink with what a run writes."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tb_widgets.errors import print_traceback, quoted
from tb_widgets.runs import RunDirectory
from tb_widgets.runs.journal import Follower
from tb_widgets.service.sinks.registry import Sink

_LOOK_EVERY = 0.5  # seconds between two looks at the run directory


def tail(run: RunDirectory, sink: Sink, *, until: Callable[[], bool] | None = None) -> None:
    """Give a sink everything that a run has written and writes, and return when the run has ended.

    Parameters
    ----------
    until
        Asked between two looks; true ends it while the run goes on.

    Raises
    ------
    Exception
        Whatever the sink raises; it is closed no more.
    """
    metrics, events = Follower(run.metrics_file), Follower(run.events_file)
    pause = threading.Event()
    sink.open(run)
    while True:
        # Asked before the files are read: what was written before the end is read after it.
        is_over = not run.status().is_active or (until is not None and until())
        new_metrics, new_events = metrics.read(), events.read()
        if new_metrics.restarted:
            sink.close()
            sink.open(run)
            new_events = (events := Follower(run.events_file)).read()
        if new_metrics.records or new_events.records:
            sink.take(new_metrics.records, new_events.records)
        elif is_over:
            break
        else:
            pause.wait(_LOOK_EVERY)
    sink.close()


class Tail:
    """A thread that feeds a sink. A sink that fails is switched off, and ``problem`` says why; nothing else stops."""

    def __init__(self, name: str, run: RunDirectory, sink: Sink) -> None:
        self.name = name
        self.problem = ""
        self._run, self._sink = run, sink
        self._is_told_to_end = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"sink-{name}-{run.id}", daemon=True)
        self._thread.start()

    def end(self, timeout: float | None = None) -> None:
        """Let the sink take what is written by now, and close it."""
        self._is_told_to_end.set()
        self._thread.join(timeout)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run has ended and the sink has everything; return whether that is so."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            tail(self._run, self._sink, until=self._is_told_to_end.is_set)
        except Exception as error:  # noqa: BLE001 - a sink is anybody's code, and must not end more than itself
            self.problem = f"The sink {self.name} has stopped: {type(error).__name__}: {quoted(str(error))}"
            print_traceback()
