"""A sink gets everything that a run has written, in order, and can end nothing but itself."""

from __future__ import annotations

import json

import pytest

from tb_widgets.runs import create_run
from tb_widgets.runs.journal import JournalWriter, rewind
from tb_widgets.service.sinks.registry import SINKS, Sink
from tb_widgets.service.sinks.tail import Tail, tail
from tests.plugins import install, python

STRANGER = """
import json
from tb_widgets.service.sinks.registry import SINKS, Sink

class Counter(Sink):
    def open(self, run):
        self.counts, self.file = [0, 0], run.path / "counted.json"

    def take(self, records, events):
        self.counts[0] += len(records)
        self.counts[1] += len(events)

    def close(self):
        self.file.write_text(json.dumps(self.counts))

SINKS.add("counter", Counter)
"""
USE = """
import sys
from tb_widgets.runs import RunDirectory
from tb_widgets.service.sinks.registry import SINKS
from tb_widgets.service.sinks.tail import tail
tail(RunDirectory(sys.argv[1]), SINKS["counter"]())
print(*SINKS)
print("torch" in sys.modules)
"""


class Collector(Sink):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def open(self, run):
        self.said.append("open")

    def take(self, records, events):
        self.said += [record["step"] for record in records] + [event["kind"] for event in events]

    def close(self):
        self.said.append("close")


@pytest.fixture
def run(tmp_path, tiny):
    return create_run(tmp_path, tiny())


@pytest.fixture
def journal(run):
    writer = JournalWriter(run.metrics_file, run.events_file, run.status_file, run.status(), interval=0.01)
    writer.update(state="running", now=True)
    yield writer
    writer.close()


def test_a_sink_follows_a_run_to_its_end(run, journal, until):
    sink = Collector()
    following = Tail("collector", run, sink)
    journal.metrics({"step": 1})
    journal.event("started")
    until(lambda: {1, "started"} <= {*sink.said})
    journal.metrics({"step": 2})
    journal.event("finished")
    journal.update(state="done", now=True)
    assert following.wait(30)
    assert sink.said == ["open", *sorted([1, "started"], key=sink.said.index), 2, "finished", "close"]


def test_a_journal_that_was_rewritten_is_given_again_from_its_beginning(run, journal, until):
    sink = Collector()
    following = Tail("collector", run, sink)
    for step in (1, 2, 3):
        journal.metrics({"step": step})
    until(lambda: 3 in sink.said)
    rewind(run.metrics_file, 1)
    journal.metrics({"step": 2})
    until(lambda: sink.said.count("open") == 2 and sink.said[-1] == 2)
    following.end(30)
    assert sink.said[sink.said.index("close") :] == ["close", "open", 1, 2, "close"]


def test_a_sink_that_fails_says_so_and_the_run_goes_on(run, journal):
    class Broken(Sink):
        def take(self, records, events):
            raise ConnectionError("no network")

    journal.metrics({"step": 1})
    journal.flush()
    following = Tail("broken", run, Broken())
    assert following.wait(30)
    assert following.problem == "The sink broken has stopped: ConnectionError: no network"
    journal.metrics({"step": 2})
    assert run.status().state == "running"


def test_the_sink_that_does_nothing_is_the_protocol(run, journal):
    journal.metrics({"step": 1})
    journal.update(state="done", now=True)
    journal.flush()
    assert SINKS["none"] is Sink
    tail(run, Sink())


def test_a_stranger_adds_a_sink_by_one_file(run, journal, tmp_path):
    for step in range(1, 6):
        journal.metrics({"step": step})
    journal.event("finished")
    journal.update(state="done", now=True)
    journal.flush()
    done = python(install(tmp_path / "site-packages", "sinks", "counter", STRANGER), "-c", USE, str(run.path))
    assert done.stdout.split() == ["none", "counter", "False"], done.stderr
    assert json.loads((run.path / "counted.json").read_text()) == [5, 1]
