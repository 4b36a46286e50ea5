"""Every way out of a real worker leaves an end state and its reason."""

from __future__ import annotations

import pytest

from tb_widgets.runs.checkpoints import verify
from tb_widgets.spec import RunSpec

pytestmark = pytest.mark.fault
resource = pytest.importorskip("resource", reason="limits of processes are POSIX")

MODEL = """
import os
import sys
from torch import nn
{at_import}

class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(256, 256)
        self.steps = 0
        {in_init}

    def forward(self, ids):
        self.steps += self.training
        if self.steps == 5:
            {in_forward}
        return self.table(ids)
"""


@pytest.fixture
def model(tiny, tmp_path):
    """Make the spec of a model that calls something in one of three places."""

    def make(place: str, call: str) -> RunSpec:
        places = dict.fromkeys(("at_import", "in_init", "in_forward"), "pass") | {place: call}
        (tmp_path / "model.py").write_text(MODEL.format(**places))
        (tmp_path / "config.json").write_text("{}")
        return tiny({"model.source": str(tmp_path / "model.py"), "model.config": {}})

    return make


@pytest.mark.parametrize("place", ["at_import", "in_init", "in_forward"])
@pytest.mark.parametrize(
    ("call", "end"),
    [
        ("sys.exit('enough')", ("failed", "sys.exit('enough')")),
        ("raise KeyboardInterrupt", ("interrupted", "was interrupted")),
        ("os._exit(3)", ("interrupted", "The training process stopped unexpectedly")),
    ],
    ids=["sys.exit", "KeyboardInterrupt", "os._exit"],
)
def test_a_model_that_ends_its_process_is_told(service, model, place, call, end):
    run = service.start(model(place, call))
    state, sentence = end
    assert service.wait(run, 60) == state, run.status()
    assert sentence in run.status().message
    assert run.status().hint


def test_a_limit_on_the_size_of_files_ends_the_run_in_words(service, tiny, until):
    large = {"model.config": {"n_layer": 1, "n_head": 2, "n_embd": 64}, "training.steps": 10_000_000}
    run = service.start(tiny(large | {"evaluation.every": 1000, "checkpoints.every": 200}))
    until(run.checkpoints)
    resource.prlimit(run.status().pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
    service.save_now(run)
    assert service.wait(run, 60) == "failed", run.status()
    assert "larger than this process, or its disk, allows a file to be" in run.status().message
    assert "ulimit -f" in run.status().hint
    for info in run.checkpoints():
        verify(info.path)
