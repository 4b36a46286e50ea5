"""A resumed run ends with the same bits as one that went through: each optimiser, precision and way to add up, on one
rank and on two.
"""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import sys
from typing import get_args

import pytest

from tb_widgets.engine.session import train_run
from tb_widgets.runs.journal import read_records
from tb_widgets.spec import Optimiser

from .conftest import weights_digest
from .test_answers import SEQ2SEQ

# fp16 is fp32 on a CPU.
CHOICES = [*itertools.product(get_args(Optimiser), ("fp32", "bf16"), (None, 3))]
FIELDS = {"training.batch_size": 8, "training.learning_rate": 0.01, "training.deterministic": True}
STOPWATCH = {"time", "tokens_per_second", "examples_per_second"}
RANK = """
import shutil, sys
import torch
from torch import distributed
from tb_widgets.engine.session import train_run
from tb_widgets.runs import RunDirectory

rank, port, *paths = sys.argv[1:]
torch.set_num_threads(1)
distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=int(rank), world_size=2)
for path in paths:
    run = RunDirectory(path)
    assert train_run(run) == "done", run.status().message
    distributed.barrier()
    if rank == "0":
        shutil.copytree(run.path, run.path.with_name(f"{run.id}-whole"))
        shutil.rmtree(run.checkpoints_folder / "step-00000020")
    distributed.barrier()
    assert train_run(run) == "done", run.status().message
    distributed.barrier()
distributed.destroy_process_group()
"""


def journal(run):
    return [{key: line[key] for key in line.keys() - STOPWATCH} for line in read_records(run.metrics_file)]


def assert_same_bits(resumed, whole):
    assert journal(resumed) == journal(whole)
    assert [line["step"] for line in journal(resumed)] == list(range(21))
    kinds = [event["kind"] for event in read_records(resumed.events_file)]
    assert kinds.count("resumed") == 1
    last = [run.checkpoints()[-1].path for run in (resumed, whole)]
    assert [path.name for path in last] == ["step-00000020"] * 2
    assert weights_digest(last[0]) == weights_digest(last[1])
    state = [sorted(path.glob("*.safetensors")) for path in last]
    assert [file.name for file in state[0]] == [file.name for file in state[1]]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(*state, strict=True)), "its optimiser, too"


@pytest.mark.parametrize(("optimiser", "precision", "micro"), CHOICES)
def test_on_one_rank(tiny, train, optimiser, precision, micro):
    chosen = {"training.optimizer": optimiser, "training.precision": precision, "training.micro_batch_size": micro}
    spec = tiny(FIELDS | chosen)
    whole, resumed = train(spec), train(spec)
    shutil.rmtree(resumed.checkpoints_folder / "step-00000020")
    assert train_run(resumed) == "done"
    assert_same_bits(resumed, whole)


def test_on_two_ranks(tiny, train, new_run, tmp_path):
    runs = []
    for optimiser, precision, micro in CHOICES:
        chosen = {"training.optimizer": optimiser, "training.precision": precision, "training.micro_batch_size": micro}
        runs.append(new_run(tmp_path / "two", tiny(FIELDS | chosen)))
    answering = tiny(FIELDS | SEQ2SEQ)
    runs.append(new_run(tmp_path / "two", answering))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = [sys.executable, "-c", RANK]
    ranks = [
        subprocess.Popen([*words, str(rank), port, *(str(run.path) for run in runs)], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for rank in ranks:
        errors = rank.communicate(timeout=170)[1]
        assert rank.returncode == 0, errors
    for run in runs:
        assert_same_bits(run, type(run)(f"{run.path}-whole"))
    alone = train(answering)
    scores = [[line for line in journal(run) if "val/bleu" in line] for run in (runs[-1], alone)]
    assert len(scores[0]) == 2
    for mine, theirs in zip(*scores, strict=True):
        for key in ("val/loss", "val/bleu", "val/chrf", "val/exact-match"):
            assert mine[key] == pytest.approx(theirs[key], rel=1e-2), "what two ranks answer is what one does"
