"""Training passes through a compiled model: the same curve, plain checkpoints, and failures that are told."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tb_widgets.engine.compilation import missing_compiler, reason
from tb_widgets.runs.journal import read_records
from tests.engine.conftest import losses

# PyTorch's own, while it imports its compiler.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")
COMPILE = {"hardware.compile": True, "hardware.device": "cpu", "model.config.dropout": 0.0}
NOT_ASKED = COMPILE | {"hardware.compile": False}


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(256, 8)
        self.head = nn.Linear(8, 256)

    def forward(self, tokens):
        return self.head(self.table(tokens).tanh())


def events(run, kind):
    return [event for event in read_records(run.events_file) if event["kind"] == kind]


def warnings(run):
    return [event["message"] for event in events(run, "warning")]


@pytest.fixture
def quick_backend(monkeypatch):
    """Let PyTorch trace the model and its gradients for real, and leave out the C++ compiler, which takes a while."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    yield
    torch._dynamo.reset()


def test_the_curve_is_the_same_and_the_checkpoint_has_the_plain_names(tiny, train):
    alone, together = (train(tiny(fields), Small()) for fields in (NOT_ASKED, COMPILE))
    assert together.status().state == "done", together.status().message
    assert warnings(together) == []
    (told,) = events(together, "compiled")
    assert told["seconds"] > 0
    assert losses(together) == pytest.approx(losses(alone), rel=1e-5)
    names = load_file(together.checkpoints()[-1].path / "model.safetensors").keys()
    assert names == {"table.weight", "head.weight", "head.bias"}
    assert events(alone, "compiled") == []
    torch._dynamo.reset()


def test_validation_and_samples_go_through_the_model_as_it_is(tiny, train, quick_backend):
    module = SaysHow()
    run = train(tiny(COMPILE), module)
    assert run.status().state == "done", run.status().message
    assert events(run, "compiled")
    assert module.traced == {True}, "training passes were traced, and no others"
    assert load_file(run.checkpoints()[-1].path / "model.safetensors").keys() == Small().state_dict().keys()


class SaysHow(Small):
    """Notes whether it was in training mode when a compiler looked at it."""

    def __init__(self):
        super().__init__()
        self.traced = set()

    def forward(self, tokens):
        if torch.compiler.is_compiling():
            self.traced.add(self.training)
        return super().forward(tokens)


def fails(graph, inputs):
    raise RuntimeError("this machine has no assembler\nand a second line")


def test_a_model_that_can_not_be_compiled_is_told_with_its_reason_and_trained(tiny, train, monkeypatch):
    alone = train(tiny(NOT_ASKED), Small())
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=fails))
    run = train(tiny(COMPILE), Small())
    torch._dynamo.reset()
    assert run.status().state == "done"
    (told,) = warnings(run)
    assert told.startswith("The model can't be compiled; training continues uncompiled (")
    assert "this machine has no assembler" in told
    assert "second line" not in told
    assert events(run, "compiled") == []
    assert losses(run) == losses(alone), "to the bit: the attempt has left no trace"


class FailsLater:
    """A compiler that takes the first shape and no other."""

    def __init__(self):
        self.calls = 0

    def __call__(self, graph, inputs):
        self.calls += 1
        if self.calls > 1:
            raise RuntimeError("no such shape")
        return graph.forward


def test_a_compiler_that_fails_later_does_not_end_the_run(tiny, train, monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=FailsLater()))
    fields = {"training.batch_size": 4, "training.micro_batch_size": 3}  # three rows, then one
    run, alone = train(tiny(COMPILE | fields), Small()), train(tiny(NOT_ASKED | fields), Small())
    torch._dynamo.reset()
    assert run.status().state == "done", run.status().message
    assert events(run, "compiled")
    (told,) = warnings(run)
    assert "no such shape" in told
    assert losses(run) == losses(alone), "the step was done again from its beginning"


def test_what_a_c_compiler_calls_an_error_is_the_reason():
    error = RuntimeError("C++ compile error\n\nCommand:\ng++ a.cpp\n\na.cpp:1: fatal error: Python.h: No such file\n")
    assert reason(error) == "RuntimeError: a.cpp:1: fatal error: Python.h: No such file"


def test_a_machine_without_a_c_compiler_says_so_at_once(tiny, train, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    run = train(tiny(COMPILE), Small())
    assert run.status().state == "done"
    assert warnings(run) == [missing_compiler(torch.device("cpu"))]
    assert "hardware.compile needs a C++ compiler on a CPU, but no-such-compiler is missing" in warnings(run)[0]
    first = [event["kind"] for event in read_records(run.events_file)][:2]
    assert first == ["started", "warning"], "before the data are read"
    assert missing_compiler(torch.device("cuda")) == ""
