"""Starting: one after the other, ended at once, from a worker that died, in this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
from torch import nn

from tb_widgets import TrainingService
from tb_widgets.errors import RunError
from tb_widgets.models.source import checksums
from tb_widgets.runs.journal import read_records
from tb_widgets.runs.status import read_status, write_status

from .conftest import events


def test_queued_runs_are_trained_in_their_order(service, tiny, until):
    first = service.start(tiny({"training.steps": 10_000_000}))
    second, third, fourth = (service.start(tiny(), queue=True) for _ in range(3))
    assert [run.id for run in service.queue] == [second.id, third.id, fourth.id]
    assert second.status().state == "queued"
    assert second.status().phase == "Waiting for its turn"
    service.stop(third)  # leaves the queue
    assert third.status().state == "stopped"
    until(lambda: first.status().step > 0)
    assert second.status().state == "queued"
    service.stop(first)
    assert service.wait(fourth, 90) == "done"
    assert second.status().state == "done"
    ended, began = events(first, "stopped"), events(second, "started")
    assert ended[0]["time"] <= began[0]["time"]
    assert events(second, "finished")[0]["time"] <= events(fourth, "started")[0]["time"]
    assert not events(third, "started")


def test_a_second_notebook_sees_the_queue_and_takes_a_run_out_of_it(service, tiny):
    first = service.start(tiny({"training.steps": 10_000_000}))
    notebook = TrainingService(service.runs_dir)
    second, third = notebook.start(tiny(), queue=True), service.start(tiny(), queue=True)
    assert [run.id for run in service.queue] == [run.id for run in notebook.queue] == [second.id, third.id]
    service.stop(second)
    assert second.status().state == "stopped"
    assert [run.id for run in notebook.queue] == [third.id]
    notebook.stop(first)
    assert service.wait(third, 90) == "done"
    assert service.queue == notebook.queue == []


NOTEBOOK = """
import sys
from tb_widgets import RunSpec, TrainingService
service = TrainingService(sys.argv[1])
print(service.start(RunSpec.load(sys.argv[2]), queue=True).id, flush=True)
sys.stdin.read()
"""


@pytest.mark.fault
def test_a_run_waits_on_when_its_notebook_is_killed_and_the_next_notebook_starts_it(service, tiny, tmp_path, until):
    first = service.start(tiny({"training.steps": 10_000_000}))
    spec = tmp_path / "spec.yaml"
    spec.write_text(tiny().to_yaml())
    words = [sys.executable, "-c", NOTEBOOK, str(service.runs_dir), str(spec)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as notebook:
        second = service.attach(notebook.stdout.readline().strip())
        notebook.kill()
    assert second.status().state == "queued"
    service.stop(first)
    assert service.wait(first, 60) == "stopped"
    assert second.status().state == "queued"
    service.tend_queue()
    assert service.wait(second, 90) == "done"


def test_a_folder_that_says_it_waits_runs_no_code_unasked(service, tiny, tmp_path):
    run = service.start(tiny())
    assert service.wait(run, 60) == "done"
    code = run.model_folder / "model.py"
    planted = tmp_path / "planted"
    code.write_text(f"{code.read_text()}\nimport pathlib\npathlib.Path({str(planted)!r}).touch()\n")
    origin = json.loads((run.model_folder / "origin.json").read_text())
    files = {name: (run.model_folder / name).read_text() for name in ("model.py", "config.json")}
    (run.model_folder / "origin.json").write_text(json.dumps(origin | {"sha256": checksums(files)}))
    status = read_status(run.status_file)
    write_status(run.status_file, replace(status, state="queued", step=0, pid=None, queued_at=1.0))
    service.tend_queue()
    assert service.wait(run, 60) == "failed"
    assert "nobody on this machine has agreed" in run.status().message
    assert not planted.exists()


def test_kill_ends_the_process_at_once(service, tiny, until):
    run = service.start(tiny({"training.steps": 10_000_000}))
    until(lambda: run.status().step > 0)
    pid = run.status().pid
    service.kill(run)
    until(lambda: not psutil.pid_exists(pid))
    assert run.status().state == "stopped"
    assert "Process ended manually" in run.status().message
    with pytest.raises(RunError, match="no process on this machine"):
        service.kill(run)
    with pytest.raises(RunError, match="can't be paused: it is stopped"):
        service.pause(run)


@pytest.mark.fault
def test_a_waiting_worker_that_was_killed_is_replaced(service, tiny, until):
    service.warm()
    doomed = service._waiting.identity
    os.kill(doomed.pid, signal.SIGKILL)
    until(lambda: not doomed.is_alive())
    run = service.start(tiny())
    assert service.wait(run, 90) == "done"


@pytest.mark.fault
def test_a_worker_that_dies_before_it_begins_leaves_a_sentence(service, tiny, until):
    run = service.start(tiny())
    worker = run.status().pid  # the run is its worker's from the start, while that still imports torch
    assert worker != os.getpid()
    os.kill(worker, signal.SIGKILL)
    assert service.wait(run, 30) in ("failed", "interrupted")
    final = until(lambda: run.status() if run.status().state == "failed" else None)
    assert "ended before training began (exit code -9)" in final.message


class Pairs(nn.Module):
    """The smallest language model: each token's row says what follows it."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(256, 256)

    def forward(self, ids):
        return self.table(ids)


def test_a_live_module_is_trained_in_this_process(service, tiny):
    module = Pairs()
    before = module.table.weight.detach().clone()
    run = service.start(tiny({"hardware.backend": "kernel"}), module=module)
    assert service.wait(run, 60) == "done"
    assert run.status().pid == os.getpid()
    assert not module.table.weight.equal(before)
    assert len(read_records(run.metrics_file)) == 21


def test_a_relative_text_is_found_from_any_folder(service, tiny, text_file, monkeypatch, tmp_path):
    monkeypatch.chdir(text_file.parent)
    run = service.start(tiny({"data.source": text_file.name, "hardware.backend": "kernel"}))
    assert run.spec.data.source == str(text_file)
    assert service.wait(run, 60) == "done"
