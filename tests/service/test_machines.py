"""Two "machines" on this one, each with a torchrun of its own, train one run over loopback in one runs folder."""

from __future__ import annotations

import signal
import socket

import pytest

from tb_widgets import TrainingService
from tb_widgets.runs.journal import read_records
from tests.cli.conftest import begin, command, finish
from tests.service.conftest import end_all

pytestmark = [pytest.mark.fault, pytest.mark.timeout(240)]
FIELDS = {"training.batch_size": 8, "model.config": {"n_layer": 1, "n_head": 2, "n_embd": 16}}


def free_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def start(tiny, tmp_path):
    """Start both machines with a spec, and return their commands, the first machine's first."""
    begun = []

    def start_both(fields):
        file, address = tmp_path / "spec.yaml", free_address()
        file.write_text(tiny(FIELDS | fields).to_yaml())
        for rank in (0, 1):
            words = ["--nnodes", 2, "--node-rank", rank, "--rdzv", address]
            begun.append(begin("train", file, *words, runs=tmp_path / "runs"))
        return begun

    yield start_both
    for process in begun:
        process.kill()
        process.communicate()
    end_all(TrainingService(tmp_path / "runs"))


def losses(run):
    return [line["train/loss"] for line in read_records(run.metrics_file) if "train/loss" in line]


def test_two_machines_follow_the_curve_of_one(start, service, tiny, tmp_path):
    first, second = map(finish, start({"training.steps": 40}))
    assert (first.code, second.code) == (0, 0), first.err + second.err
    (entry,) = TrainingService(tmp_path / "runs").runs()
    run, status = entry.run, entry.status
    assert (status.state, status.ranks, status.machines) == ("done", "2 processes on 2 machines, gloo", 2)
    line = "-m torch.distributed.run --nnodes=2 --node-rank=0 --rdzv-backend=static --master-addr=127.0.0.1"
    assert line in first.err
    assert f"-m tb_widgets.service.workers.rank {run.path}" in first.err
    assert "begins when the others have joined: the same command there with --nnodes 2 --rdzv" in first.err
    assert line.replace("rank=0", "rank=1") in second.err
    shown = command("show", run.path)
    assert "2 x CPU, 2 processes on 2 machines, gloo" in shown.out

    alone = TrainingService(tmp_path / "alone").start(
        tiny(FIELDS | {"training.steps": 40, "hardware.backend": "kernel"})
    )
    assert service.wait(alone, 60) == "done"
    assert losses(run) == pytest.approx(losses(alone), abs=1e-5)


def test_ctrl_c_on_the_other_machine_stops_and_saves(start, until, tmp_path):
    first, second = start({"training.steps": 1_000_000})
    (run,) = until(lambda: [entry.run for entry in TrainingService(tmp_path / "runs").runs()])
    until(lambda: run.status().state == "running", within=150)
    second.send_signal(signal.SIGINT)
    assert TrainingService(tmp_path / "runs").wait(run, 60) == "stopped"
    assert run.checkpoints()[-1].step == run.status().step
    finish(second)
    assert "Stopped at step" in finish(first).out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--node-rank", "1"], "are for several machines"),
        (["--nnodes", "2"], "need --rdzv HOST:PORT"),
        (["--nnodes", "2", "--rdzv", "host"], "'host' is not HOST:PORT"),
        (["--nnodes", "2", "--node-rank", "2", "--rdzv", "host:1"], "of 2 machines, the numbers are 0 to 1, not 2"),
        (["--nnodes", "3", "--rdzv", "host:1"], "4 examples can't be shared evenly by 3 processes"),
    ],
)
def test_what_is_wrong_is_told_before_anything_begins(tiny, tmp_path, words, sentence):
    (tmp_path / "spec.yaml").write_text(tiny().to_yaml())
    said = command("train", tmp_path / "spec.yaml", *words, runs=tmp_path / "runs")
    assert said.code == 2
    assert sentence in " ".join(said.err.replace("│", " ").split())
