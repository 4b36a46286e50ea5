"""The journal's thread writes every line once, keeps the heartbeat moving, and tells the loop when it can't."""

from __future__ import annotations

import itertools
import json
import math
import sys
import threading
import time
from collections.abc import Callable

import pytest

from tb_widgets.errors import RunError
from tb_widgets.runs import RunDirectory, Status
from tb_widgets.runs.journal import JournalWriter, append_text, read_records
from tb_widgets.runs.status import read_status


def open_journal(run: RunDirectory, interval: float = 0.01) -> JournalWriter:
    status = Status(state="running", total=10)
    return JournalWriter(run.metrics_file, run.events_file, run.status_file, status, interval=interval)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"


def test_a_journal_from_start_to_end(run):
    journal = open_journal(run)
    journal.event("started", step=0)
    journal.metrics({"step": 1, "train/loss": 2.5})
    journal.update(step=1, state="done")
    journal.close()
    assert read_records(run.metrics_file) == [{"step": 1, "train/loss": 2.5}]
    (event,) = read_records(run.events_file)
    assert (event["n"], event["kind"], event["step"]) == (1, "started", 0)
    assert (read_status(run.status_file).state, read_status(run.status_file).step) == ("done", 1)
    assert run.status().state == "done"


def test_every_line_of_concurrent_producers_is_written_exactly_once_and_events_in_order(run):
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as they can
    journal = open_journal(run, interval=0.001)

    def produce(producer: int) -> None:
        for number in range(500):
            journal.metrics({"step": number, "producer": producer})
            if number % 10 == 0:
                journal.event("beat", producer=producer)

    threads = [threading.Thread(target=produce, args=(producer,)) for producer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    journal.close()
    written = [(record["producer"], record["step"]) for record in read_records(run.metrics_file)]
    assert sorted(written) == [(producer, step) for producer in range(4) for step in range(500)]
    assert [record["n"] for record in read_records(run.events_file)] == list(range(1, 201))


def test_a_full_queue_makes_the_loop_wait_and_drops_nothing(run):
    journal = open_journal(run, interval=1e-6)
    journal._queue.maxsize = 2
    for step in range(300):
        journal.metrics({"step": step})
    journal.close()
    assert [record["step"] for record in read_records(run.metrics_file)] == list(range(300))


def test_what_was_flushed_is_there_whatever_happens_next(run):
    journal = open_journal(run, interval=600)
    for step in range(100):
        journal.metrics({"step": step})
        journal.flush()
        assert len(read_records(run.metrics_file)) == step + 1
    journal.close()


def test_a_loop_that_never_pauses_is_written_down_while_it_runs(run):
    journal = open_journal(run)

    def train() -> bool:
        for step in range(1000):
            journal.metrics({"step": step})
        return len(read_records(run.metrics_file)) > 0

    wait_for(train)
    journal.close()


def test_the_heartbeat_moves_while_the_loop_is_silent(run):
    journal = open_journal(run)
    first = read_status(run.status_file).heartbeat
    assert abs(first - time.time()) < 20
    wait_for(lambda: read_status(run.status_file).heartbeat > first)
    journal.close()


def test_now_does_not_wait_for_the_next_beat(run):
    journal = open_journal(run, interval=600)
    journal.update(state="paused", now=True)
    wait_for(lambda: read_status(run.status_file).state == "paused")
    journal.event("paused")
    wait_for(lambda: len(read_records(run.events_file)) == 1)
    journal.close()


def test_a_reader_that_hammers_the_status_never_meets_half_of_one(run):
    journal = open_journal(run, interval=1e-6)
    seen: list[int] = []
    failures: list[Exception] = []
    done = threading.Event()

    def hammer() -> None:
        while not done.is_set():
            try:
                seen.append(json.loads(run.status_file.read_bytes())["step"])
            except Exception as error:
                failures.append(error)

    reader = threading.Thread(target=hammer)
    reader.start()
    # As long as it takes until the reader has met many versions: how often it gets its turn is not ours to say.
    deadline = time.monotonic() + 60
    for step in itertools.count(1):
        journal.update(step=step, message="x" * (step % 5000), now=True)
        if (step % 200 == 0 and len(set(seen)) > 20) or time.monotonic() > deadline:
            break
    journal.close()
    done.set()
    reader.join()
    assert failures == []
    assert len(set(seen)) > 20
    assert seen == sorted(seen)


def test_an_error_of_the_disk_surfaces_in_the_loop_and_the_status_can_still_say_so(run):
    run.metrics_file.mkdir()
    journal = open_journal(run)
    journal.metrics({"step": 1})
    with pytest.raises(RunError, match=r"metrics\.jsonl"):
        wait_for(lambda: journal.metrics({"step": 2}) is not None)
    journal.update(state="failed", message="The disk is gone.")
    with pytest.raises(RunError):
        journal.close()
    assert read_status(run.status_file).message == "The disk is gone."


def test_non_finite_metrics_are_null_in_the_metrics_and_absent_from_the_status(run):
    journal = open_journal(run)
    journal.metrics({"step": 1, "val/loss": math.nan, "all": [1.0, math.inf]})
    journal.event("checkpoint", metrics={"val/perplexity": math.inf})
    journal.update(eta=math.inf, metrics={"val/loss": math.nan, "val/accuracy": 0.5})
    journal.close()
    assert read_records(run.metrics_file) == [{"step": 1, "val/loss": None, "all": [1.0, None]}]
    assert read_records(run.events_file)[0]["metrics"] == {"val/perplexity": None}
    assert (read_status(run.status_file).eta, read_status(run.status_file).metrics) == (None, {"val/accuracy": 0.5})


def test_what_is_no_json_is_refused_where_it_is_handed_over_and_the_rest_is_kept(run):
    journal = open_journal(run)
    journal.metrics({"step": 1})
    for hand_over in (
        lambda: journal.metrics({"step": 2, "train/loss": object()}),
        lambda: journal.event("odd", figure={1, 2}),
        lambda: journal.update(metrics={"train/loss": object()}),
    ):
        with pytest.raises(RunError, match="none of JSON's kinds"):
            hand_over()
    journal.metrics({"step": 3})
    journal.close()
    assert [record["step"] for record in read_records(run.metrics_file)] == [1, 3]
    assert read_records(run.events_file) == []


def test_a_thread_that_breaks_down_is_told_and_the_status_can_still_be_written(run, capfd):
    journal = open_journal(run)
    journal.metrics({"step": 10**5000})  # JSON has no limit, and Python will not write it
    with pytest.raises(RunError, match="broke down"):
        wait_for(lambda: journal.metrics({"step": 2}) is not None)
    journal.update(state="failed", message="It broke down.")
    with pytest.raises(RunError, match="broke down"):
        journal.close()
    assert read_status(run.status_file).message == "It broke down."
    assert "Traceback" in capfd.readouterr().err


def test_a_closed_journal_takes_nothing_more(run):
    journal = open_journal(run)
    journal.close()
    journal.close()
    with pytest.raises(RunError, match="closed"):
        journal.event("late")


def test_a_resumed_worker_goes_on_counting_after_a_torn_event(run):
    append_text(run.events_file, '{"n": 1, "kind": "started"}\n{"n": 2, "kind": "chec')
    journal = open_journal(run)
    journal.event("resumed")
    journal.close()
    assert [(record["n"], record["kind"]) for record in read_records(run.events_file)] == [
        (1, "started"),
        (2, "resumed"),
    ]
