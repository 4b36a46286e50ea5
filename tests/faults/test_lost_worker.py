"""A worker that is lost while its run trains is replaced once by whoever watches; then somebody is asked."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from tb_widgets import TrainingService
from tb_widgets.app.session import Session
from tb_widgets.cli.training import follow_run
from tb_widgets.display.marks import marks_of
from tb_widgets.runs.status import read_status
from tests.service.conftest import events

from .conftest import computed, final_weights
from .test_killed_worker import ForkedWorker
from .test_processes import ranks_of

pytestmark = pytest.mark.fault

SLOW = {"training.steps": 1500, "evaluation.every": 1000, "checkpoints.every": 50, "checkpoints.keep_best": 0}
ENDLESS = SLOW | {"training.steps": 10_000_000}


def running(run, until, *, besides=()):
    """Wait until a process other than these trains the run, and return it."""

    def found():
        status = run.status()
        return status.pid if status.state == "running" and status.step and status.pid not in besides else None

    return until(found)


@pytest.fixture
def unwatched(monkeypatch):
    """Workers of a service that is gone: nobody hears that one of them has ended."""
    monkeypatch.setattr("tb_widgets.service.service.WaitingWorker", ForkedWorker)


def test_once_it_goes_on_by_itself_and_then_it_asks(service, tiny, until):
    undisturbed = service.start(tiny(SLOW))
    run = service.start(tiny(SLOW))
    until(run.checkpoints)
    first = running(run, until)
    os.kill(first, signal.SIGKILL)
    second = running(run, until, besides=[first])
    (told,) = events(run, "warning")
    saved = events(run, "resumed")[0]["step"]
    assert marks_of([told]) == [(saved, "lost")]
    assert told["message"].startswith("The training process was lost at step ")
    assert f"Training continues from the checkpoint of step {saved:,}." in told["message"]
    assert run.status().restarts == 1

    os.kill(second, signal.SIGKILL)
    assert service.wait(run, 10) == "interrupted"
    assert "It had resumed automatically once before." in run.status().message
    assert "Press Resume to continue from the newest checkpoint" in run.status().hint

    service.resume(run)
    assert run.status().restarts == 0, "whoever asks for it gets another attempt"
    assert [service.wait(each, 90) for each in (run, undisturbed)] == ["done", "done"]
    assert computed(run) == computed(undisturbed)
    assert final_weights(run) == final_weights(undisturbed)


def test_without_a_checkpoint_it_begins_again(service, tiny, until):
    run = service.start(tiny(ENDLESS | {"checkpoints.every": 1_000_000, "evaluation.every": 1_000_000}))
    first = running(run, until)
    os.kill(first, signal.SIGKILL)
    running(run, until, besides=[first])
    assert [event["step"] for event in events(run, "started")] == [0, 0]
    assert "restarts: no checkpoint was saved yet" in events(run, "warning")[0]["message"]
    assert marks_of(events(run, "warning")) == [(0, "lost")]


@pytest.mark.parametrize("command", ["stop", "pause"])
def test_what_was_to_stop_or_pause_is_left(service, tiny, until, command, unwatched):
    run = service.start(tiny(ENDLESS))
    pid = running(run, until)
    os.kill(pid, signal.SIGSTOP)
    run.control.request(command)
    os.kill(pid, signal.SIGKILL)
    until(lambda: run.status().state == "interrupted")
    assert not service.resume_lost(run)
    run.control.withdraw(command)
    assert service.resume_lost(run)


def test_what_is_ended_by_hand_is_left(service, tiny, until):
    run = service.start(tiny(ENDLESS))
    running(run, until)
    service.kill(run)
    time.sleep(0.3)  # the thread that reaps the worker has had its turn
    assert (run.status().state, run.status().restarts) == ("stopped", 0)


def test_a_run_found_interrupted_is_not_resumed(service, tiny, until, unwatched):
    """Its machine may have been switched off long ago: only whoever has seen it at work goes on with it."""
    run = service.start(tiny(ENDLESS))
    os.kill(running(run, until), signal.SIGKILL)
    until(lambda: run.status().state == "interrupted")
    assert TrainingService(service.runs_dir).wait(run) == "interrupted"
    assert follow_run(service, run) == 1
    session = Session(runs_dir=service.runs_dir, run=run.id)
    session.refresh()
    assert session.watch.status.state == "interrupted"
    assert run.status().state == "interrupted"


def test_of_all_who_watch_one_resumes_it(service, tiny, until, unwatched):
    """Two pages, a terminal and a script, each with a service of its own, and none is the worker's parent."""
    run = service.start(tiny(ENDLESS))
    until(run.checkpoints)
    first = running(run, until)
    pages = [Session(runs_dir=service.runs_dir, run=run.id) for _ in range(2)]
    for page in pages:
        page.refresh()
    ends = []

    def is_first():
        return read_status(run.status_file).pid == first

    script = threading.Thread(target=lambda: ends.append(TrainingService(service.runs_dir).wait(run)))
    terminal = threading.Thread(target=lambda: ends.append(follow_run(TrainingService(service.runs_dir), run)))
    others = [script, terminal]
    for thread in others:
        thread.start()
    time.sleep(0.5)
    os.kill(first, signal.SIGKILL)
    beats = [
        threading.Thread(target=until, args=[lambda page=page: page.refresh() or not is_first()]) for page in pages
    ]
    for thread in beats:
        thread.start()
    second = running(run, until, besides=[first])
    for thread in beats:
        thread.join()
    for page in pages:
        page.refresh()
        assert page.watch.status.state == "running"
        assert page.watch.marks[0][1] == "lost"
    assert (run.status().pid, run.status().restarts) == (second, 1)
    assert len(events(run, "resumed")) == len(events(run, "warning")) == 1
    assert not ends, "nobody took the loss for the end"
    service.stop(run)
    for thread in others:
        thread.join(60)
    assert set(ends) == {"stopped", 0}


def test_the_queue_keeps_the_place_of_a_run_that_was_lost(service, tiny, until, unwatched):
    run = service.start(tiny(ENDLESS))
    first = running(run, until)
    other = service.start(tiny(), queue=True)
    assert other.status().is_waiting
    time.sleep(0.5)
    os.kill(first, signal.SIGKILL)
    running(run, until, besides=[first])
    assert other.status().is_waiting
    service.stop(run)
    assert service.wait(other, 60) == "done"


def test_a_lost_rank_takes_the_others_along_and_all_go_on(service, tiny, until):
    run = service.start(tiny(ENDLESS | {"hardware.processes": 2}))
    until(run.checkpoints)
    first = running(run, until)
    (other,) = (process.pid for process in ranks_of(run) if process.pid != first)
    os.kill(other, signal.SIGKILL)
    running(run, until, besides=[first])
    assert [mark for _, mark in marks_of(events(run, "warning"))] == ["lost"]
    service.stop(run)
    assert service.wait(run, 60) == "stopped"
    until(lambda: not ranks_of(run), within=30)
