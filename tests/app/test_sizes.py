"""The sizes of our models as fields, and whether what comes of them fits into memory."""

from __future__ import annotations

import pytest

from tb_widgets.app.state.draft import Draft
from tb_widgets.service import memory
from tb_widgets.service.memory import memory_need

from .conftest import at, shown


@pytest.fixture
def model_step(dashboard):
    dashboard.use_defaults()
    dashboard.show("model")
    dashboard.refresh()
    return dashboard


def box(dashboard):
    return dashboard.page.boxes["model"]


def enter(dashboard, name, value):
    at(box(dashboard), f"size-{name}").value = value
    dashboard.refresh()


def test_fields_show_the_sizes_and_change_them(model_step):
    assert [at(box(model_step), f"size-{name}").value for name in ("n-layer", "n-head", "n-embd")] == ["3", "3", "96"]
    before = model_step.draft.model.parameters
    enter(model_step, "n-layer", "6")
    assert model_step.draft.spec.model.config == {"n_layer": 6}
    assert model_step.draft.model.parameters > 1.5 * before
    assert "6 layers of width 96" in shown(box(model_step))
    enter(model_step, "n-layer", "")  # empty is what the size has by itself
    assert model_step.draft.spec.model.config == {}


@pytest.mark.parametrize(
    ("name", "value", "reason"), [("n-embd", "97", "which 3 heads can"), ("n-layer", "many", "whole")]
)
def test_what_can_not_be_is_told_beside_the_fields_and_blocks(model_step, name, value, reason):
    enter(model_step, name, value)
    assert reason in shown(box(model_step))
    assert model_step.draft.blockers


def test_a_model_that_can_never_fit_is_refused_before_start(model_step):
    enter(model_step, "n-embd", "4096")
    enter(model_step, "n-head", "8")
    enter(model_step, "n-layer", "2000")
    assert model_step.draft.need.verdict == "impossible"
    (reason,) = model_step.draft.blockers
    assert "parameters and optimiser alone take 6.4 TB" in reason
    assert "✕ does not fit" in shown(box(model_step))
    assert model_step.page.steps.steps[0]["mark"] == "!"
    with pytest.raises(Exception, match="Enter at most"):
        model_step.start()


def test_the_most_layers_that_are_named_do_fit(model_step, monkeypatch):
    monkeypatch.setattr(memory, "_memory", lambda device: (10**9, "this machine"))
    enter(model_step, "n-layer", "100000")
    (reason,) = model_step.draft.blockers
    assert reason.startswith("Layers is 100,000: parameters and optimiser alone take 177 GB, and this machine has 1 GB")
    most = int(reason.rpartition("at most ")[2].rstrip(".").replace(",", ""))
    enter(model_step, "n-layer", str(most))
    assert model_step.draft.blockers == []
    enter(model_step, "n-layer", str(most + 1))
    assert model_step.draft.blockers

    enter(model_step, "n-layer", "2")
    enter(model_step, "n-embd", "30000")
    (reason,) = model_step.draft.blockers
    assert reason.startswith("Width is 30,000: even with one layer")
    assert model_step.draft.wrong_size == "n_embd"


@pytest.mark.parametrize(
    ("there", "verdict"), [(10**10, "fits"), (500 * 10**6, "tight"), (330 * 10**6, "too large"), (10**6, "impossible")]
)
def test_verdicts_follow_from_what_there_is(monkeypatch, there, verdict):
    monkeypatch.setattr(memory, "_memory", lambda device: (there, "this machine"))
    draft = Draft()
    assert draft.need.verdict == verdict
    assert bool(draft.blockers) == (verdict == "impossible"), "an estimate alone forbids nothing"


def test_a_larger_batch_needs_more_and_a_micro_batch_less():
    draft = Draft()
    spec, model = draft.spec, draft.model
    plain = memory_need(spec, 1000, model).total
    assert memory_need(spec.with_values({"training.batch_size": 64}), 1000, model).total > plain
    assert memory_need(spec.with_values({"training.micro_batch_size": 1}), 1000, model).total < plain


def test_characters_count_as_the_data_have_them(dashboard):
    dashboard.use_defaults()
    dashboard.has_page = True
    dashboard.draft.set("tokenizer.kind", "char")
    dashboard.data.wait()
    assert dashboard.draft.model.vocab_size == dashboard.data.look.preview.vocab_size < 200
    assert dashboard.draft.model.parameters < 400_000


def test_nonsense_elsewhere_hides_no_nonsense_here(model_step):
    model_step.draft.set("data.context_length", "many")
    enter(model_step, "n-layer", "<b>")
    assert {"data.context_length", "model.config"} <= {*model_step.draft.errors}
    assert "Layers must be a whole number" in shown(box(model_step))
    assert "fits this machine" not in shown(box(model_step))


def test_the_checks_are_of_the_very_model_that_the_page_shows(dashboard):
    dashboard.use_defaults()
    dashboard.has_page = True
    dashboard.draft.set("tokenizer.kind", "char")
    dashboard.data.wait()
    dashboard.refresh()
    checks = dashboard.check_model(1).wait(120)
    (loads,) = [result for result in checks.results if result.id == "loads"]
    assert loads.value == dashboard.draft.model.parameters
    dashboard.draft.set("tokenizer.kind", "byte")
    dashboard.refresh()
    assert dashboard.choice.checks is None, "they are of another model now"


def test_a_size_that_can_not_be_is_named_as_its_field_and_found_from_elsewhere(model_step):
    enter(model_step, "n-head", "7")
    (reason,) = model_step.draft.blockers
    assert reason.startswith("Width is 96, which 7 heads can't split evenly.")
    assert "fits this machine" not in shown(box(model_step))
    sent = []
    model_step.page.heartbeat.send = sent.append
    model_step.show("train")
    at(model_step.page.bar.widget, "show-field").click()
    assert {"type": "field", "place": "size-n-embd"} in sent
