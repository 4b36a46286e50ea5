"""Two processes train one model together: counts add up, gradients agree, and the main rank alone writes."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from tb_widgets.engine.commands import Commands
from tb_widgets.engine.parallel import Group, SilentJournal
from tb_widgets.engine.session import train_run
from tb_widgets.runs import RunDirectory, Status, create_run
from tb_widgets.runs.durable import read_json

from .conftest import losses, weights_digest

RANK = """
import json, sys
import torch
from torch import distributed
from tb_widgets.engine.parallel import Group
from tb_widgets.engine.session import train_run
from tb_widgets.engine.sharding import shard
from tb_widgets.runs import RunDirectory

path, rank, port, how = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
torch.set_num_threads(1)
distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
group = Group.current()
run = RunDirectory(path)
if how == "count":
    gradient = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
    gradient[0].grad = torch.tensor([1.0, 3.0]) * (rank + 1)
    if rank:
        gradient[1].grad = torch.ones(2)
    group.average_gradients(gradient)
    rows = group.share({"labels": torch.arange(5)})["labels"]
    table = torch.nn.Sequential(torch.nn.Embedding(5, 4))
    shard(table, torch.device("cpu"), 2)
    kept = sum(part.to_local().numel() for part in table.parameters())
    print(json.dumps([group.sum(rank + 3), group.broadcast(rank + 7), rows.tolist(),
                      [None if g.grad is None else g.grad.tolist() for g in gradient], kept]))
elif how == "once":
    print(json.dumps(train_run(run)))
else:
    first = train_run(run)
    distributed.barrier()
    if group.is_main:
        run.metrics_file.with_name("first.jsonl").write_bytes(run.metrics_file.read_bytes())
        (run.checkpoints_folder / "step-00000020" / "MANIFEST.json").unlink()
    distributed.barrier()
    print(json.dumps([first, train_run(run)]))
distributed.destroy_process_group()
"""


def on_two_ranks(run: RunDirectory, how: str = "train") -> list[object]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(run.path), str(rank), port, how],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    found = []
    for rank in ranks:
        out, errors = rank.communicate(timeout=150)
        assert rank.returncode == 0, errors
        found.append(json.loads(out.splitlines()[-1]))
    return found


def lines(run: RunDirectory) -> list[dict]:
    return [json.loads(line) for line in run.metrics_file.read_text().splitlines()]


def test_numbers_and_gradients_are_the_same_on_both_ranks(tiny, tmp_path):
    first, second = on_two_ranks(create_run(tmp_path, tiny()), "count")
    averaged = [[1.5, 4.5], [0.5, 0.5], None]
    assert first == [7, 7, [0, 1, 2], averaged, 12]
    assert second == [7, 7, [3, 4], averaged, 8]


def test_two_ranks_train_as_one_process_does(tiny, train, tmp_path):
    fields = {"model.config": {"n_layer": 1, "n_head": 2, "n_embd": 16}, "training.micro_batch_size": 1}
    alone = train(tiny(fields))
    together = create_run(tmp_path / "together", tiny(fields))
    assert on_two_ranks(together) == [["done", "done"], ["done", "done"]]
    assert losses(together) == pytest.approx(losses(alone), rel=1e-4)
    for mine, theirs in zip(lines(together), lines(alone), strict=True):
        assert mine.keys() >= theirs.keys() - {"tokens_per_second"}
        same = theirs.keys() - {"time", "tokens_per_second"}
        assert {key: mine[key] for key in same} == pytest.approx({key: theirs[key] for key in same}, rel=1e-3)
    assert [info.step for info in together.checkpoints()] == [10, 20]
    kinds = [json.loads(line)["kind"] for line in together.events_file.read_text().splitlines()]
    assert kinds.count("started") == kinds.count("resumed") == 1, "one rank writes"
    first = [json.loads(line) for line in (together.path / "first.jsonl").read_text().splitlines()]
    assert losses(together) == [line["train/loss"] for line in first if line["step"]], (
        "they resume together, to the same values"
    )


def test_two_ranks_end_with_the_best_checkpoint(tiny, tmp_path):
    rises = {"training.warmup": 0.9, "training.learning_rate": 3.0, "training.clip": None, "evaluation.every": 5}
    run = create_run(tmp_path, tiny(rises | {"checkpoints.restore_best": True}))
    assert on_two_ranks(run) == [["done", "done"], ["done", "done"]]
    best = next(info for info in run.checkpoints() if info.best)
    assert best.step < 20
    assert weights_digest(run.checkpoints()[-1].path) == weights_digest(best.path)
    assert f"the weights of the best one, of step {best.step}" in run.status().message


FULL = {"hardware.processes": 2, "hardware.sharding": "full", "training.batch_size": 8, "evaluation.batches": 4}
FULL |= {"model.config": {"n_layer": 2, "n_head": 2, "n_embd": 16}}
FULL |= {"tokenizer.kind": "char"}  # of which there are 17, so that the table's parts are unequal


@pytest.mark.fault
@pytest.mark.timeout(240)
def test_a_model_in_parts_follows_the_curve_of_a_whole_one(tiny, train, tmp_path):
    alone = train(tiny(FULL))
    together = create_run(tmp_path / "together", tiny(FULL))
    assert on_two_ranks(together) == [["done", "done"], ["done", "done"]]
    assert together.status().ranks == "2 processes, gloo, sharded"
    assert losses(together) == pytest.approx(losses(alone), abs=1e-5)
    first = [json.loads(line) for line in (together.path / "first.jsonl").read_text().splitlines()]
    assert losses(together) == [line["train/loss"] for line in first if line["step"]], "resumed to the same values"
    validated = [[line["val/loss"] for line in lines(run) if "val/loss" in line] for run in (together, alone)]
    assert validated[0] == pytest.approx(validated[1], abs=1e-5)
    for info, theirs in zip(together.checkpoints(), alone.checkpoints(), strict=True):
        for name in ("model", "training"):
            mine, other = (load_file(path / f"{name}.safetensors") for path in (info.path, theirs.path))
            assert mine.keys() == other.keys()
            for key in mine.keys() - {"rng.torch"}:
                torch.testing.assert_close(mine[key].float(), other[key].float(), atol=1e-4, rtol=1e-3, msg=key)
        assert read_json(info.path / "meta.json")["aliases"] == read_json(theirs.path / "meta.json")["aliases"]

    shutil.rmtree(together.checkpoints()[-1].path)
    before = losses(together)
    assert train_run(together) == "done", "on one process, from the checkpoint of two"
    assert losses(together) == pytest.approx(before, abs=1e-5)
    shutil.rmtree(alone.checkpoints()[-1].path)
    assert on_two_ranks(alone, "once") == ["done", "done"], "and on two, from that of one"
    assert losses(alone) == pytest.approx(before, abs=1e-5)


UNWELL = """
import torch
from torch import distributed, nn

class Model(nn.Module):
    # One rank of two has less memory than the other, from its third training step on.

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(256, 256)
        self.passes = 0

    def forward(self, input_ids):
        self.passes += self.training
        alone = not distributed.is_initialized()
        if not alone and distributed.get_rank() == 1 and self.passes > 2 and len(input_ids) > MOST:
            raise torch.OutOfMemoryError("tried to allocate 8 GiB")
        return self.table(input_ids)
"""


def unwell(folder, most):
    (folder / "model.py").write_text(UNWELL.replace("MOST", str(most)))
    (folder / "config.json").write_text("{}")
    fields = {"model.source": str(folder / "model.py"), "model.config": {}, "model.task": "causal-lm"}
    return fields | {"training.batch_size": 8, "hardware.processes": 2}


def test_where_one_rank_is_short_of_memory_all_cut_their_batches(tiny, train, new_run, tmp_path):
    fields = unwell(tmp_path, 2)
    alone = train(tiny(fields))
    together = new_run(tmp_path / "together", tiny(fields))
    assert on_two_ranks(together) == [["done", "done"], ["done", "done"]]
    assert losses(together) == pytest.approx(losses(alone), rel=1e-4)
    events = [json.loads(line) for line in together.events_file.read_text().splitlines()]
    told = [event["message"] for event in events if event.get("recovered") == "memory"]
    assert ["the micro-batch is now 2" in message for message in told] == [True]


def test_where_one_example_is_too_much_for_one_rank_both_say_so(tiny, new_run, tmp_path):
    together = new_run(tmp_path / "together", tiny(unwell(tmp_path, 0)))
    assert on_two_ranks(together, "once") == ["failed", "failed"]
    assert "do not fit into memory (on another of the processes that train together)" in together.status().message


def test_a_group_of_one_does_nothing():
    group, batch = Group(), {"labels": torch.arange(3)}
    assert Group.current() == group
    assert group.is_main
    assert group.share(batch) is batch
    assert (group.sum(3), group.broadcast(5)) == (3, 5)
    loss = torch.ones(())
    group.mean_(loss)
    group.average_gradients([torch.nn.Parameter(loss)])
    assert loss == 1


def test_a_rank_that_is_not_the_main_one_neither_looks_nor_writes(tiny, tmp_path, monkeypatch):
    run = create_run(tmp_path, tiny())
    run.control.request("pause")
    monkeypatch.setattr(Group, "broadcast", lambda self, number: number)
    assert Commands(run.control, Group(0, 2)).standing() == {"pause"}
    second = Commands(run.control, Group(1, 2))
    assert second.standing() == frozenset()
    second.done("pause")
    assert run.control.is_requested("pause")
    before = {file: file.stat().st_mtime_ns for file in run.path.rglob("*")}
    journal = SilentJournal(Status(step=3))
    journal.metrics({"step": 4})
    journal.event("warning", message="Nothing.")
    journal.update(step=4, now=True)
    journal.flush()
    journal.close()
    assert {file: file.stat().st_mtime_ns for file in run.path.rglob("*")} == before
