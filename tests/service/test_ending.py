"""What is ended is gone with all that it started, it ends once, and nothing waits for what will never come."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tb_widgets.engine.session import train_run
from tb_widgets.errors import ModelError, ServiceError
from tb_widgets.runs import create_run
from tb_widgets.service import service as service_module
from tb_widgets.service.generation import GenerationService
from tb_widgets.service.probing import Probe

# Starts a child in its own process group and one that leaves it, and writes down who they are.
STARTS_PROGRAMS = """
import pathlib
import subprocess
import sys

sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
started = [subprocess.Popen(sleep, start_new_session=away) for away in (False, True)]
pathlib.Path({seen!r}).write_text(" ".join(str(child.pid) for child in started))
"""
WRITES_INTO_PIPES = """
import os
import sys

if any("workers.generate" in word for word in sys.orig_argv):
    for descriptor in range(3, 30):
        try:
            os.write(descriptor, b'{"piece": 1}\\xff\\n[1]\\n{"no end')
        except OSError:
            pass
"""
MODEL = """
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(300, 300)

    def forward(self, input_ids):
        return self.table(input_ids)
"""


@pytest.fixture
def written(tmp_path: Path, tiny) -> Callable[..., object]:
    """Make a spec of a model.py that does something while it is loaded."""

    def make(top: str, **fields: object) -> object:
        folder = tmp_path / "model"
        folder.mkdir()
        (folder / "model.py").write_text(top + MODEL)
        (folder / "config.json").write_text('{"task": "causal-lm"}')
        return tiny({"model.source": str(folder), "model.config": {}, **fields})

    return make


@pytest.fixture
def writers() -> Iterator[GenerationService]:
    service = GenerationService()
    yield service
    service.close()


def children(file: Path) -> list[int]:
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


def none_lives(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def test_a_killed_run_takes_along_what_its_model_started(service, written, tmp_path, until):
    seen = tmp_path / "seen"
    run = service.start(written(STARTS_PROGRAMS.format(seen=str(seen)), **{"training.steps": 10_000_000}))
    until(lambda: run.status().step > 0)
    assert len(children(seen)) == 2
    service.kill(run)
    until(lambda: none_lives(children(seen)), within=10)


def test_a_stopped_text_takes_along_what_its_model_started(writers, written, new_run, tmp_path, until):
    seen = tmp_path / "seen"
    run = new_run(tmp_path, written(STARTS_PROGRAMS.format(seen=str(seen))))
    assert train_run(run) == "done"
    ours = children(seen)
    writers.generate(run, run.checkpoints()[-1].path, "1 ", length=100_000)
    theirs = until(lambda: children(seen) if children(seen) != ours else [])
    writers.stop()
    until(lambda: none_lives(theirs), within=10)
    for pid in ours:
        psutil.Process(pid).kill()
    # No zombie is left of the process itself.
    until(lambda: not [c for c in psutil.Process().children() if "workers.generate" in str(_command(c))], within=10)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() or ["workers.generate"]  # a zombie has none
    except psutil.NoSuchProcess:
        return []


def test_a_model_that_writes_into_pipes_keeps_no_text_from_its_end(writers, written, new_run, tmp_path):
    run = new_run(tmp_path, written(WRITES_INTO_PIPES))
    assert train_run(run) == "done"
    text = writers.generate(run, run.checkpoints()[-1].path, "1 ", length=3)
    assert text.finished.wait(60)
    assert text.state == "done", text.message


def test_a_process_that_can_not_be_started_keeps_no_later_text_away(writers, tmp_path, tiny, monkeypatch):
    run = create_run(tmp_path, tiny())
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "none"))
        with pytest.raises(ServiceError, match="can't be started"):
            writers.generate(run, run.path, "1 ")
    assert writers.generate(run, run.path, "1 ").state == "loading"


class Meeting(threading.Event):
    """Whoever looks at it before it is set waits a moment for another who does: both then believe that they are first.

    Where only one can look at a time, the other does not come, and the moment passes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.was_set = 0
        self._looks = threading.Barrier(2)

    def is_set(self) -> bool:
        answer = super().is_set()
        if not answer:
            with contextlib.suppress(threading.BrokenBarrierError):
                self._looks.wait(0.5)
        return answer

    def set(self) -> None:
        self.was_set += 1
        super().set()


def test_a_text_ends_once_whoever_ends_it(writers, tmp_path, tiny):
    run = create_run(tmp_path, tiny())
    text = writers.generate(run, run.path, "1 ")
    text.finished = Meeting()
    process = next(child for child in psutil.Process().children() if "workers.generate" in str(_command(child)))
    process.kill()  # and at the same moment
    writers.stop()
    assert text.finished.wait(10)
    writers.close()
    assert text.finished.was_set == 1
    assert (text.state == "failed") == ("exit code -9" in text.message)


def test_a_probe_ends_once_whoever_ends_it():
    probe = Probe("adapt", finished=Meeting())
    failing = threading.Thread(target=lambda: probe._end("failed", ModelError("no")))
    failing.start()
    probe.stop()
    failing.join()
    assert probe.finished.was_set == 1
    assert (probe.state == "failed") == (probe.error is not None)


def test_whoever_looks_whether_a_run_is_at_work_keeps_nobody_from_training(tmp_path, tiny):
    run = create_run(tmp_path, tiny({"training.steps": 1}))
    # A look takes the lock for a moment, and this one meets the start.
    looking = os.open(run.path / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(looking, fcntl.LOCK_EX)
    threading.Timer(0.2, os.close, [looking]).start()
    assert run.is_locked()
    assert train_run(run) == "done"


def test_a_worker_that_hangs_before_it_begins_can_be_ended(service, tiny, until):
    service.warm()
    worker = service._waiting.identity
    os.kill(worker.pid, signal.SIGSTOP)
    run = service.start(tiny())
    assert (run.status().state, run.status().pid) == ("queued", worker.pid)
    service.kill(run)
    assert (run.status().state, worker.is_alive()) == ("stopped", False)
    until(lambda: not psutil.pid_exists(worker.pid))  # collected by us, who started it
    assert run.status().state == "stopped"


@pytest.fixture
def at_start(service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let every worker from now on do something before anything of ours is imported."""
    service.close()

    def do(code: str) -> None:
        text = "".join(f"    {line}\n" for line in code.splitlines())
        text = f"import os, sys\nif 'tb_widgets.service.workers.train' in sys.orig_argv:\n{text}"
        (tmp_path / "sitecustomize.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))

    return do


def test_a_worker_that_prints_much_before_it_begins_does_begin(service, at_start, tiny):
    at_start("sys.stdout.write('x' * 300_000)")
    assert service.wait(service.start(tiny()), 60) == "done"


@pytest.mark.parametrize("code", [0, 3])
def test_a_worker_that_leaves_with_its_run_says_so(service, at_start, tiny, until, code):
    at_start(f"sys.stdin.readline()\nos._exit({code})")
    run = service.start(tiny())
    final = until(lambda: run.status() if run.status().state == "failed" else None, within=30)
    assert f"ended before training began (exit code {code})" in final.message


def test_a_run_is_trained_although_whoever_started_it_is_gone_at_once(service, tiny):
    """Long before its worker has imported what it needs, and reads which run it has."""
    start = (
        "import os, sys\n"
        "from tb_widgets import RunSpec, TrainingService\n"
        "TrainingService(sys.argv[1]).start(RunSpec.load(sys.argv[2]))\n"
        "os._exit(0)"
    )
    spec = service.runs_dir.with_name("spec.yaml")
    spec.write_text(tiny().to_yaml())
    subprocess.run([sys.executable, "-c", start, str(service.runs_dir), str(spec)], check=True)
    (entry,) = service.runs()
    assert entry.status.state == "queued"
    assert service.wait(entry.run, 60) == "done"


def test_a_run_whose_worker_was_never_told_is_interrupted(service, tiny, until):
    """As when whoever starts it is gone between two steps: the worker has it, and hears of nothing."""
    service.warm()
    worker = service._waiting.identity
    run = create_run(service.runs_dir, tiny())
    service_module._queue_for(run, worker)
    assert run.status().state == "queued"
    service.close()
    until(lambda: run.status().state == "interrupted", within=30)
    assert "had not started" in run.status().message


def test_a_run_that_can_not_be_handed_over_is_not_left_waiting(service, tiny, monkeypatch):
    class Refused:
        def __init__(self) -> None:
            raise ModelError("No.", hint="Later.")

    service.close()
    monkeypatch.setattr(service_module, "WaitingWorker", Refused)
    with pytest.raises(ModelError, match="No"):
        service.start(tiny())
    assert [(entry.status.state, entry.status.message) for entry in service.runs()] == [("failed", "No.")]


def test_a_waiting_worker_leaves_with_its_parent_although_a_fork_holds_its_pipe(until):
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import json, os, time\n"
            "from tb_widgets.service.workers.process import WaitingWorker\n"
            "worker = WaitingWorker()\n"
            "fork = os.fork()\n"
            "if fork: print(json.dumps([worker.identity.pid, fork]), flush=True)\n"
            "time.sleep(600)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    worker, fork = json.loads(parent.stdout.readline())
    try:
        parent.kill()
        parent.wait()
        assert psutil.pid_exists(fork)
        until(lambda: none_lives([worker]), within=60)
    finally:
        os.kill(fork, signal.SIGKILL)
        parent.stdout.close()
