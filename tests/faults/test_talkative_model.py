"""A model that prints a megabyte a second does not slow the steps, and nothing that it said is lost."""

from __future__ import annotations

import json
import time

import pytest

pytestmark = pytest.mark.fault

MODEL = """
import sys
from torch import nn

class Talkative(nn.Module):
    def __init__(self, line_length=0):
        super().__init__()
        self.line_length, self.calls = line_length, 0
        self.table = nn.Embedding(256, 256)

    def forward(self, ids):
        self.calls += 1
        if self.line_length:
            print(f"call {self.calls} ".ljust(self.line_length, "."))
        return self.table(ids)
"""
STEPS = {"training.steps": 4000, "evaluation.every": 4000, "checkpoints.every": 4000, "training.batch_size": 1}


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "config.json").write_text(json.dumps({"line_length": 0}))
    return str(tmp_path / "model.py")


def test_a_flood_of_output_neither_slows_a_run_nor_gets_lost(service, tiny, model):
    def train(line_length: int):
        run = service.start(
            tiny(STEPS | {"model.source": model, "model.config": {"line_length": line_length}, "hardware.threads": 1})
        )
        assert service.wait(run, 120) == "done", run.status().message
        return run

    # Quiet, loud, quiet, loud: whatever else this machine does meanwhile hits both.
    quiet, loud = zip(*((train(0), train(2000)) for _ in range(2)), strict=True)
    for run in loud:
        lines = run.log_file.read_text().splitlines()
        calls = [int(line.split()[1]) for line in lines if line.startswith("call ")]
        assert len(calls) > 4000
        assert calls == list(range(calls[0], calls[0] + len(calls))), "the log holds every line, in order"
    fastest_quiet, fastest_loud = (min(run.status().elapsed for run in runs) for runs in (quiet, loud))
    megabytes_per_second = run.log_file.stat().st_size / 1e6 / fastest_loud
    assert megabytes_per_second > 1
    assert fastest_loud < 2 * fastest_quiet + 0.5


def test_the_end_of_a_log_is_read_quickly_however_long_it_is(service, tiny):
    run = service.start(tiny({"hardware.backend": "kernel"}))
    assert service.wait(run, 60) == "done"
    line = b"." * 1999 + b"\n"
    with run.log_file.open("wb") as log:
        for _ in range(100):
            log.write(line * 500)
        log.write(b"the end\n")
    assert run.log_file.stat().st_size > 100e6

    def seconds() -> float:
        began = time.perf_counter()
        assert run.log_tail(40)[-1] == "the end"
        return time.perf_counter() - began

    assert min(seconds() for _ in range(5)) < 0.01  # the whole file takes 100 times as long
