"""A status is believed only as far as its process can be found."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tb_widgets.runs import Status
from tb_widgets.runs.process import ProcessIdentity
from tb_widgets.runs.status import observe, read_status, write_status

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills processes by POSIX signals")


def running(identity: ProcessIdentity, **changes: object) -> Status:
    status = Status(state="running", step=1234, total=2000, **identity.as_status())
    return replace(status, heartbeat=time.time(), eta=60.0, tokens_per_second=1e4, **changes)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """A process that says when it is there, and then waits to be killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", "print('ready', flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    with process:
        yield process
        process.kill()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "status.json"


def identity_of(process: subprocess.Popen[bytes]) -> ProcessIdentity:
    identity = ProcessIdentity.of(process.pid)
    assert identity is not None
    return identity


def test_a_status_reads_back_as_it_was(file):
    status = running(
        ProcessIdentity.current(),
        metrics={"val/loss": 1.5},
        best={"step": 5, "monitor": "val/loss", "value": 1.5},
        threads=1,
        name="é",
    )
    write_status(file, status)
    assert read_status(file) == status
    assert [path.name for path in file.parent.iterdir()] == ["status.json"]


def test_a_run_whose_process_lives_is_active(file, worker):
    write_status(file, running(identity_of(worker)))
    assert observe(file).state == "running"


def test_a_killed_worker_leaves_an_interrupted_run_with_a_way_out(file, worker):
    write_status(file, running(identity_of(worker)))
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    status = observe(file)
    assert status.state == "interrupted"
    assert "stopped unexpectedly at step 1,234" in status.message
    assert "Resume" in status.hint
    assert (status.eta, status.tokens_per_second) == (None, None)
    assert read_status(file).state == "running", "a look changes no file"


def test_a_zombie_does_not_train(file, worker):
    write_status(file, running(identity_of(worker)))
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: psutil.Process(worker.pid).status() == psutil.STATUS_ZOMBIE)
    assert observe(file).state == "interrupted"


def test_another_process_with_the_same_pid_is_not_the_worker(file, worker):
    identity = identity_of(worker)
    write_status(file, running(replace(identity, started=identity.started - 100, since_boot=identity.since_boot - 100)))
    assert observe(file).state == "interrupted"


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_is_set_takes_no_run_for_gone(file, worker, monkeypatch, jump):
    write_status(file, running(identity_of(worker)))
    # Start times are told by the clock as it is now, as the time of the boot is.
    started, boot, now = psutil.Process(worker.pid).create_time(), psutil.boot_time(), time.time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda _process: started + jump)
    monkeypatch.setattr(psutil, "boot_time", lambda: boot + jump)
    monkeypatch.setattr(time, "time", lambda: now + jump)
    assert observe(file).state == "running"
    worker.kill()
    worker.wait()
    assert observe(file).state == "interrupted"


@pytest.mark.parametrize("pid", [-1, 2**22 + 1, 10**30])
def test_a_pid_that_can_not_be_is_no_process(file, pid):
    assert ProcessIdentity.of(pid) is None
    write_status(file, running(replace(ProcessIdentity.current(), pid=pid)))
    assert observe(file).state == "interrupted"


def test_a_worker_elsewhere_is_believed_while_its_heartbeat_is_fresh(file, monkeypatch):
    elsewhere = ProcessIdentity(1, 0.0, "another-machine")
    write_status(file, running(elsewhere))
    assert observe(file).state == "running"
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert observe(file).state == "interrupted"


def test_a_queued_run_lives_as_long_as_the_notebook_that_queued_it(file, worker):
    write_status(file, running(identity_of(worker), state="queued"))
    assert observe(file).state == "queued"
    worker.kill()
    worker.wait()
    assert "had not started when the process that managed it ended" in observe(file).message


class Changing(os.PathLike[str]):
    """A status file that is replaced right after the first look at it."""

    def __init__(self, path: Path, then: Status) -> None:
        self.path, self.then = path, then
        self.stat = path.stat

    def __fspath__(self) -> str:
        return str(self.path)

    def open(self, _mode: str) -> io.BytesIO:
        data = self.path.read_bytes()
        write_status(self.path, self.then)
        return io.BytesIO(data)


def test_a_worker_that_finished_between_two_looks_is_done(file):
    gone = ProcessIdentity(2**22 + 1, 0.0, ProcessIdentity.current().host)
    write_status(file, running(gone))
    assert observe(Changing(file, running(gone, state="done"))).state == "done"


def test_a_run_that_was_resumed_between_two_looks_is_running(file):
    gone = ProcessIdentity(2**22 + 1, 0.0, ProcessIdentity.current().host)
    write_status(file, running(gone))
    status = observe(Changing(file, running(ProcessIdentity.current())))
    assert (status.state, status.pid) == ("running", os.getpid())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no status file"),
        (b"", "can't be read"),
        (b'{"state": "runn', "can't be read"),
        (b"[]", "can't be read"),
        (b"\xff\xfe", "can't be read"),
        (b'{"state": "dreaming", "step": 7}', "unknown state 'dreaming'"),
        (b'{"state": ["running"]}', "unknown state"),
        (b'{"state": "running", "step": "many", "created": null}', "damaged: created, step"),
        (b'{"state": "done", "created": 1e400, "elapsed": -1}', "damaged: created, elapsed"),
        (b'{"state": "done", "step": 1' + b"0" * 400 + b', "pid": 1e30}', "damaged: pid, step"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"state": "done", "message": "' + b"x" * 2**20 + b'"}', "larger than 1 MB"),
    ],
)
def test_a_missing_or_damaged_file_is_an_interrupted_run(file, content, message):
    if content is not None:
        file.write_bytes(content)
    status = observe(file)
    assert status.state == "interrupted"
    assert message in status.message


def test_fields_of_a_newer_version_and_figures_without_a_value_are_passed_over(file):
    file.write_text(json.dumps({"state": "failed", "step": 7, "mood": "good", "metrics": {"a": None, "b": 1.0}}))
    assert read_status(file) == Status(state="failed", step=7, metrics={"b": 1.0})


def test_figures_and_texts_that_no_page_could_show_are_left_out(file):
    file.write_text(
        '{"state": "failed", "message": "half \\ud800", "metrics": {"a": 1e400, "b": 1%s, "c": 2},'
        ' "best": {"step": 1e400, "monitor": "val/loss", "value": 1}}' % ("0" * 400)
    )
    status = read_status(file)
    assert (status.state, status.message) == ("failed", "half ?")
    assert (status.metrics, status.best) == ({"c": 2.0}, None)


def test_a_pipe_in_place_of_a_status_is_not_waited_for(file):
    os.mkfifo(file)
    assert "no plain file" in observe(file).message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(list(asdict(Status()))), json_values))
@settings(deadline=None)
def test_whatever_a_status_file_holds_it_is_told_without_an_error(tmp_path_factory, mapping):
    file = tmp_path_factory.getbasetemp() / "any-status.json"
    file.write_text(json.dumps(mapping))
    status = observe(file)
    assert isinstance(status.step, int)
    assert isinstance(status.created, float)
    assert isinstance(status.state, str)
