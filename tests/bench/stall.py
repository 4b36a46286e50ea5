"""What checkpoints cost at 50 million parameters, one every 50 steps: share of time that training waits, and memory.

Two processes, one after the other: one with checkpoints, one without. Waiting is what :meth:`Trainer._save` takes,
reading what it waits for included; the writing goes on beside the next steps.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figure import Figure

STEPS, EVERY = 150, 50
CONFIG = {"n_layer": 8, "n_head": 12, "n_embd": 720}
CHILD = """
import json, resource, sys, time
from pathlib import Path
from tb_widgets.engine.session import train_run
from tb_widgets.engine.trainer import Trainer
from tb_widgets.runs import create_run
from tb_widgets.spec import RunSpec

folder, saves = Path(sys.argv[1]), sys.argv[2] == "saves"
steps, every, config = json.loads(sys.argv[3])
seen = {"stalled": 0.0, "saved": 0}

class Watched(Trainer):
    def _train_one_step(self):
        if self.step == 1:
            seen["began"] = time.perf_counter()
        super()._train_one_step()
        seen["ended"] = time.perf_counter()

    def _save(self):
        if not saves or self.step == self.spec.training.steps:  # the last one has nothing to go on beside
            return
        began = time.perf_counter()
        super()._save()
        seen["stalled"] += time.perf_counter() - began
        seen["saved"] += 1

import tb_widgets.engine.session as session
session.Trainer = Watched
spec = RunSpec().with_values({
    "model.config": config, "tokenizer.kind": "byte", "data.context_length": 64, "training.batch_size": 1,
    "training.steps": steps, "evaluation.every": steps, "evaluation.batches": 1, "evaluation.sample_length": 0,
    "checkpoints.every": every,
})
run = create_run(folder, spec)
assert train_run(run) == "done", run.status().message
print(json.dumps({**seen, "seconds": seen["ended"] - seen["began"], "parameters": run.status().parameters,
                  "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


def child(folder: Path, how: str) -> dict[str, float]:
    sizes = json.dumps([STEPS, EVERY, CONFIG])
    done = subprocess.run([sys.executable, "-c", CHILD, folder, how, sizes], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(folder: Path) -> Iterator[Figure]:
    without, saving = child(folder, "none"), child(folder, "saves")
    steps = f"{saving['parameters']:,.0f} parameters, {STEPS} steps, {saving['saved']:.0f} checkpoints"
    yield Figure(
        "checkpoints: time that training waits",
        100 * saving["stalled"] / saving["seconds"],
        "%",
        "at most",
        2.0,
        f"{steps}; {saving['stalled'] / max(1, saving['saved']):.2f} s each",
    )
    yield Figure(
        "checkpoints: time of all steps, with / without",
        saving["seconds"] / without["seconds"],
        "x",
        "at most",
        1.1,
        f"{saving['seconds']:.1f} s and {without['seconds']:.1f} s, one after the other; what is written beside counts",
    )
    yield Figure(
        "checkpoints: peak memory, with / without",
        saving["peak"] / without["peak"],
        "x",
        "at most",
        1.6,
        f"{saving['peak'] / 1e9:.2f} GB and {without['peak'] / 1e9:.2f} GB; the copy is 3 x the weights",
    )
