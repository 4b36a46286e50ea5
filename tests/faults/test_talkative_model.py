"""A model that prints a megabyte a second does not slow the steps, and nothing that it said is lost."""

from __future__ import annotations

import time
from statistics import median

import pytest

from tb_widgets.runs.journal import read_records

pytestmark = [pytest.mark.fault, pytest.mark.alone]

BLOCK = 250  # forward passes; every second block prints
MODEL = f"""
from torch import nn

class Talkative(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0
        self.table = nn.Embedding(256, 256)

    def forward(self, ids):
        self.calls += 1
        if self.calls // {BLOCK} % 2:
            print(f"call {{self.calls}} ".ljust(6000, "."))
        return self.table(ids)
"""
STEPS = {"training.steps": 2000, "evaluation.every": 2000, "checkpoints.every": 2000, "hardware.threads": 1}


def test_a_flood_of_output_neither_slows_a_run_nor_gets_lost(service, tiny, tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "config.json").write_text("{}")
    run = service.start(tiny(STEPS | {"model.source": str(tmp_path / "model.py"), "model.config": {}}))
    assert service.wait(run, 120) == "done", run.status().message

    lines = run.log_file.read_text().splitlines()
    said = [int(line.split()[1]) for line in lines if line.startswith("call ")]
    assert said[-1] >= 1999
    assert said == [call for call in range(said[-1] + 1) if call // BLOCK % 2], "every line is there, in order"

    # Loud and quiet stretches of one run, side by side: whatever else this machine does hits both.
    times = [line["time"] for line in read_records(run.metrics_file) if line["step"]]
    took = [times[i + BLOCK - 1] - times[i] for i in range(0, len(times), BLOCK)]
    quiet, loud = median(took[0::2]), median(took[1::2])
    assert BLOCK * 6000 / loud > 1e6  # bytes a second
    assert loud < 2 * quiet


def test_the_end_of_a_log_is_read_quickly_however_long_it_is(service, tiny):
    run = service.start(tiny({"hardware.backend": "kernel"}))
    assert service.wait(run, 60) == "done"
    line = b"." * 1999 + b"\n"
    with run.log_file.open("wb") as log:
        for _ in range(50):
            log.write(line * 500)
        log.write(b"the end\n")
    assert run.log_file.stat().st_size > 49e6

    def seconds() -> float:
        began = time.perf_counter()
        assert run.log_tail(40)[-1] == "the end"
        return time.perf_counter() - began

    assert min(seconds() for _ in range(5)) < 0.01  # reading the whole file takes longer
