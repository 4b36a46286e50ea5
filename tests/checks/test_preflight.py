"""Figures of a run before it is started: measured, within their time, and saying what they lack."""

from __future__ import annotations

import math
import time
from functools import partial

import pytest
import torch

from tb_widgets.checks.preflight import (
    Preflight,
    Speed,
    checkpointing_in_words,
    compiling_in_words,
    determinism_in_words,
    read_preflight,
)
from tb_widgets.checks.rehearsal import Rehearsal
from tb_widgets.engine.hardware import usable_cores
from tb_widgets.errors import DataError, TrainingError
from tb_widgets.spec import RunSpec
from tests.checks.faulty.tier_1 import SEQ2SEQ, Translator
from tests.checks.small import Block, Masked, MaskedMean, Small, loaded
from tests.checks.test_healthy import VISION, Vision

SPEC = RunSpec().with_values(
    {
        "data.context_length": 32,
        "training.batch_size": 8,
        "training.steps": 100,
        "training.learning_rate": 3e-3,
        "evaluation.every": 50,
        "evaluation.batches": 5,
    }
)


@pytest.fixture(autouse=True)
def one_thread():
    yield
    torch.set_num_threads(1)


def rehearse(model, values=None, seconds=15.0, **options):
    told: list[Preflight] = []
    spec = SPEC.with_values(values or {})
    measured = Rehearsal(model, spec, until=time.time() + seconds, on_measured=told.append, **options).run()
    assert told[-1] == measured
    return measured, told


def test_every_figure_is_measured():
    measured, told = rehearse(loaded(Small()), micro_batches=True)
    assert measured.left_out == ()
    assert measured.whole_batch
    assert (measured.task, measured.batch, measured.unit) == ("causal-lm", "8 × 32 tokens", "tokens")
    assert 50e6 < measured.peak_bytes < measured.memory_bytes
    assert measured.first_loss == pytest.approx(math.log(40), rel=0.2)
    assert measured.even_guess == pytest.approx(math.log(40))
    assert measured.per_second * measured.step_seconds == pytest.approx(8 * 32)
    # A hundred steps, and two evaluations of five batches that cost less than a step each.
    assert 100 * measured.step_seconds < measured.eta < 115 * measured.step_seconds
    assert measured.overfit == "pass"
    assert measured.overfit_loss < 0.9 * measured.first_loss
    assert [speed.count for speed in measured.threads] == sorted(
        {1, 2, usable_cores()} & set(range(usable_cores() + 1))
    )
    assert measured.best_threads in [speed.count for speed in measured.threads]
    assert [speed.count for speed in measured.micro_batches] == [1, 2, 4, 8]
    # What comes first is told first.
    assert next(len(one.left_out) for one in told if one.left_out != measured.left_out) == 5


@pytest.mark.parametrize(
    ("model", "unit"),
    [
        (lambda: loaded(Masked()), "tokens"),
        (lambda: loaded(MaskedMean()), "tokens"),
        (lambda: loaded(Translator(causal=True), SEQ2SEQ), "tokens"),
        (lambda: loaded(Vision(), VISION), "images"),
    ],
    ids=["masked-lm", "classification", "seq2seq", "vision"],
)
def test_every_task_is_measured(model, unit):
    measured, _ = rehearse(model())
    assert (measured.left_out, measured.unit) == ((), unit)
    assert measured.overfit in ("pass", "warn")


def test_gradient_accumulation_counts_every_pass():
    whole, _ = rehearse(loaded(Small()), {"training.batch_size": 64, "training.micro_batch_size": 4})
    assert whole.batch == "4 × 32 tokens"
    pass_seconds = 4 * 32 / next(speed for speed in whole.threads if speed.count == 1).per_second
    assert whole.step_seconds > 8 * pass_seconds


class Slow(Small):
    """Takes its time for each row."""

    def after(self, x):
        time.sleep(0.05 * len(x))
        return x


def test_a_slow_model_is_measured_with_fewer_rows_and_within_its_time():
    began = time.time()
    measured, _ = rehearse(loaded(Slow()), {"training.batch_size": 512}, seconds=6)
    assert time.time() - began < 9
    assert any(what.startswith("512 × 32 tokens per pass (measured with ") for what in measured.left_out)
    assert int(measured.batch.split()[0]) < 20
    assert not measured.whole_batch
    # Told for the whole batch all the same.
    assert measured.per_second < 2 / 0.05 * 32
    assert measured.step_seconds > 512 * 0.05


def test_what_there_is_no_time_for_is_named():
    measured, _ = rehearse(loaded(Slow()), seconds=0.1)
    for what in ("memory and initial loss", "speed", "overfitting one batch", "number of threads"):
        assert what in measured.left_out
    assert (measured.peak_bytes, measured.eta, measured.overfit) == (None, None, "unknown")


class Stubborn(Small):
    """Its output layer hears nothing of what was learned."""

    def forward(self, input_ids):
        return super().forward(input_ids) * 1e-9


def test_a_model_that_can_not_learn_one_batch_is_found_out():
    measured, _ = rehearse(loaded(Stubborn()))
    assert measured.overfit == "fail"


def test_a_model_that_blows_up_is_found_out():
    measured, _ = rehearse(loaded(Small()), {"training.learning_rate": 10.0, "training.clip": None})
    assert measured.overfit == "fail"


# PyTorch's own, while it imports its compiler.
compiles = pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")


class Sluggish(Small):
    """Takes a while for what a compiler leaves out."""

    def after(self, x):
        if not torch.compiler.is_compiling():
            time.sleep(0.05)
        return x


@compiles
@pytest.mark.parametrize(
    ("model", "advice"), [(Sluggish, "Set hardware.compile to true"), (Small, "Leave hardware.compile at")]
)
def test_compiling_is_measured_on_request_and_recommended_for_what_it_gains(monkeypatch, model, advice):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    fields = {"training.steps": 10_000 if model is Sluggish else 1}
    measured, _ = rehearse(loaded(model()), fields, seconds=60.0, compiles=True)
    torch._dynamo.reset()
    assert measured.left_out == ()
    assert measured.compile_problem == ""
    assert (measured.compile_gain > 3) == (model is Sluggish)
    assert measured.compile_saves < measured.eta
    assert advice in compiling_in_words(measured)


@compiles
def test_a_run_that_is_compiled_is_promised_its_own_time(monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    fields = {"training.steps": 10_000, "hardware.compile": True}
    measured, told = rehearse(loaded(Sluggish()), fields, seconds=60.0, compiles=True)
    torch._dynamo.reset()
    before = next(one.eta for one in told if one.eta is not None)
    assert measured.eta == pytest.approx(before - measured.compile_saves)
    assert measured.eta < before / 2


def fails(graph, inputs):
    raise RuntimeError("no assembler")


@compiles
def test_what_can_not_be_compiled_is_told(monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=fails))
    measured, _ = rehearse(loaded(Small()), seconds=60.0, compiles=True)
    torch._dynamo.reset()
    assert compiling_in_words(measured) == "The model can't be compiled (RuntimeError: no assembler)"
    monkeypatch.setenv("CXX", "no-such-compiler")
    measured, _ = rehearse(loaded(Small()), seconds=60.0, compiles=True)
    assert "no-such-compiler is missing" in measured.compile_problem
    assert measured.compile_gain is None


class Greedy(Block):
    """Takes more memory than there is, unless its activations are computed again."""

    def forward(self, x):
        if x.shape[0] > 4 and "forward" not in vars(self):
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(x)


class Deep(Small):
    block = Greedy


class Flat(Small):
    def __init__(self):
        super().__init__()
        self.blocks = self.block()


def test_checkpointing_is_recommended_where_memory_does_not_fit_and_only_there():
    measured, _ = rehearse(loaded(Deep()))
    assert measured.left_out == ()
    assert measured.peak_bytes is not None, "measured with it"
    assert checkpointing_in_words(measured).startswith("8 × 32 tokens do not fit into memory as they are. Set")
    fits, _ = rehearse(loaded(Deep()), {"training.activation_checkpointing": True})
    assert checkpointing_in_words(fits) == ""
    fits, _ = rehearse(loaded(Deep()), {"training.micro_batch_size": 4})
    assert checkpointing_in_words(fits) == ""
    with pytest.raises(TrainingError, match="the model has no repeated blocks"):
        rehearse(loaded(Flat()), {"training.activation_checkpointing": True})


@compiles
def test_deterministic_algorithms_are_measured_in_turns():
    told = []
    rehearsal = Rehearsal(loaded(Small()), SPEC, until=time.time() + 60, on_measured=told.append)
    rehearsal._deterministic()  # by itself it is done on a GPU only
    assert 0.2 < told[-1].deterministic_cost < 5
    assert "training.deterministic " in determinism_in_words(told[-1])
    assert not torch.are_deterministic_algorithms_enabled()
    rehearsal = Rehearsal(loaded(NotDeterministic()), SPEC, until=time.time() + 60, on_measured=told.append)
    rehearsal._deterministic()
    assert told[-1].deterministic_cost is None
    assert "does not have a deterministic implementation" in determinism_in_words(told[-1])


class NotDeterministic(Small):
    def after(self, x):
        if torch.are_deterministic_algorithms_enabled():
            raise RuntimeError("cumsum does not have a deterministic implementation, but you set it. You can turn off")
        return x


def test_a_context_that_is_too_long_is_refused():
    with pytest.raises(DataError, match="the model reads at most 64 tokens"):
        rehearse(loaded(Small()), {"data.context_length": 65})


def test_figures_survive_json():
    measured = Preflight(task="causal-lm", threads=(Speed(1, 10.0), Speed(2, 8.0)), left_out=("speed",), eta=3.0)
    plain = measured.to_mapping()
    assert read_preflight(plain) == measured
    assert plain["best_threads"] == 1
    assert read_preflight({"task": "x"}).eta is None
