"""Form fields made from the spec: every field has one, and typing is never disturbed."""

from __future__ import annotations

from html import escape

import pytest

from tb_widgets.app.parts.form import Field, Form
from tb_widgets.app.state.draft import Draft
from tb_widgets.app.state.fields import CARDS
from tb_widgets.spec import RATES

from .conftest import at, every_widget, html_of, shown


def act(handler):
    handler()


@pytest.fixture
def draft():
    return Draft()


@pytest.mark.parametrize("path", CARDS)
def test_every_field_of_the_spec_can_be_shown(draft, path):
    field = Field(draft, path, act)
    card = CARDS[path]

    said = html_of(field.widget) + field.input.description
    assert escape(card.title) in said or card.title == field.input.description
    assert escape(card.help) in said
    if card.unit:
        assert card.unit in said
    assert draft.is_valid  # showing it has entered nothing


def test_what_is_typed_arrives_and_stays_as_it_was_typed(draft):
    form = Form(draft, ["training.learning_rate", "evaluation.prompts"], act)
    rate, prompts = (field.input for field in form.fields)

    for typed in ("3", "3e", "3e-", "3e-4", "3e-4 "):
        rate.value = typed
        form.follow()
        assert rate.value == typed
    prompts.value = "The \n"
    form.follow()

    assert prompts.value == "The \n"
    assert draft.spec.training.learning_rate == 3e-4
    assert draft.spec.evaluation.prompts == ["The "]


def test_what_another_hand_enters_is_followed(draft):
    form = Form(draft, ["training.steps", "training.deterministic", "training.schedule"], act)
    steps, deterministic, schedule = (field.input for field in form.fields)

    draft.load(
        draft.spec.with_values({"training.steps": 77, "training.deterministic": True, "training.schedule": "linear"})
    )
    version = draft.version
    form.follow()

    assert (steps.value, deterministic.value, schedule.value) == ("77", True, "linear")
    assert draft.version == version  # following is not entering


def test_a_loaded_figure_is_shown_in_full(draft):
    field = Field(draft, "training.learning_rate", act)
    draft.load(draft.spec.with_values({"training.learning_rate": 0.00123456789}))
    field.follow()
    assert field.input.value == "0.00123456789"


def test_a_refused_value_says_why_in_place_of_the_help_and_only_as_text(draft):
    field = Field(draft, "training.steps", act)
    help_text = CARDS["training.steps"].help

    field.input.value = "<script>alert(1)</script>"
    field.follow()
    assert "tbw-error" in html_of(field.widget)
    assert "&lt;script&gt;" in html_of(field.widget)
    assert "<script" not in html_of(field.widget)
    assert any("is-bad" in widget._dom_classes for widget in every_widget(field.widget))

    field.input.value = "10"
    field.follow()
    assert help_text in html_of(field.widget)
    assert not any("is-bad" in widget._dom_classes for widget in every_widget(field.widget))


def test_a_rate_that_is_not_typical_is_advised_against_and_may_be_started_with(draft):
    field = Field(draft, "training.learning_rate", act)
    advice = (
        "▲ 0.5 is far above what is typical for AdamW (0.0001 to 0.003): the loss will probably diverge. Try 0.003."
    )
    field.input.value = "0.5"
    draft.set("training.steps", "many")  # what is wrong elsewhere hides it not
    field.follow()
    assert advice in html_of(field.widget)
    assert list(draft.errors) == ["training.steps"]

    draft.set("training.steps", "9")
    assert draft.is_valid
    draft.set("training.optimizer", "muon")
    field.follow()
    assert "typical for Muon (0.005 to 0.02)" in html_of(field.widget)
    field.input.value = "0.02"
    field.follow()
    assert "▲" not in html_of(field.widget)


@pytest.mark.parametrize("card", [card for card in CARDS.values() if card.labels], ids=lambda card: card.path)
def test_every_menu_has_a_label_for_each_of_its_values(draft, card):
    assert {*card.choices} <= {*card.labels}
    if card.choices:
        options = dict(Field(draft, card.path, act).input.options)
        assert [*options.values()] == [*card.choices]
        assert not {*options} & {*card.choices}, "no raw names"


def test_every_choice_of_the_spec_has_labels_and_every_optimiser_its_typical_rates():
    assert [card.path for card in CARDS.values() if card.choices and not card.labels] == []
    assert {*RATES} == {*CARDS["training.optimizer"].choices}


def test_headings_stand_where_the_group_changes(draft):
    form = Form(draft, ["training.steps", "training.batch_size", "evaluation.every"], act, headings=True)
    assert html_of(form.widget).count("<h3>") == 2


def test_an_override_that_does_not_fit_can_be_taken_back_where_it_is_told(dashboard, tmp_path):
    (tmp_path / "model.py").write_text("from torch import nn\nclass Model(nn.Module):\n    pass\n")
    (tmp_path / "config.json").write_text("{}")
    dashboard.draft.set("model.source", str(tmp_path))  # the overrides are still those of a model of ours
    dashboard.show("model")
    dashboard.refresh()
    assert "n_layer" in dashboard.draft.errors["model.config"]
    assert "n_layer" in shown(dashboard.page.boxes["model"])

    at(dashboard.page.widget, "model-config").value = ""
    assert dashboard.draft.is_valid
    field = at(dashboard.page.boxes["model"], "model-config")
    assert field in visible(dashboard.page.boxes["model"])
    field.value = ""
    assert "model.config" not in dashboard.draft.errors


def visible(root):
    """Every widget that is not hidden."""
    if "tbw-hidden" in root._dom_classes:
        return []
    return [root, *(found for child in getattr(root, "children", ()) for found in visible(child))]


def test_the_learning_rate_is_drawn_below_its_schedule_and_follows_every_field(dashboard):
    dashboard.show("train")
    dashboard.refresh()
    box = dashboard.page.boxes["train"]
    assert "tbw-schedule" not in shown(box)  # its field is not shown yet either
    next(widget for widget in visible(box) if getattr(widget, "description", "") == "More settings").value = True
    texts = shown(box)
    assert texts.index(CARDS["training.schedule"].help) < texts.index("tbw-schedule")
    assert texts.index("tbw-schedule") < texts.index(CARDS["training.warmup"].help)
    for place, typed, told in [
        ("steps", "400", "at step 400."),
        ("schedule", "linear", "falls linearly"),
        ("warmup", "0.5", "by step 200"),
        ("learning-rate", "2e-5", "Rises to 0.00002 "),
        ("min-lr-fraction", "0", "to 0 at"),
    ]:
        at(box, f"training-{place}").value = typed
        dashboard.refresh()
        assert told in shown(box)
    at(box, "training-steps").value = "many"
    dashboard.refresh()
    assert "at step 400." in shown(box)  # the last that could be used
