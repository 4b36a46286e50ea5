"""What the curves mean stands beside them: few notes, each with one thing to do, and why on request."""

from __future__ import annotations

import json

import pytest

from tb_widgets.display import hints as rules
from tb_widgets.runs.journal import append_text
from tests.display.record import CURVES

from .conftest import set_status, shown

BEST = {"step": 400, "monitor": "val/loss", "value": 1.73}


def write(file, *records):
    append_text(file, "".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture
def opened(dashboard, make_run):
    """A run that overfits, just before it can be told, and the lines that are left."""
    head, *lines = map(json.loads, (CURVES / "overfit-char.jsonl").read_text(encoding="utf-8").splitlines())
    run = make_run(head["spec"])
    set_status(run, state="running", task=head["task"], total=1500, step=300, best=BEST)
    write(run.events_file, {"n": 1, "kind": "phase", "statistics": head["statistics"]})
    lines = [line | {"lr": 1e-3} for line in lines]
    write(run.metrics_file, *(line for line in lines if line["step"] < 300))
    dashboard.open_run(run.id)
    dashboard.show("train")
    dashboard.refresh()
    return dashboard, run, [line for line in lines if line["step"] >= 300]


def test_notes_come_with_the_curves_and_go_with_the_run(opened, make_run):
    dashboard, run, rest = opened
    box = dashboard.page.boxes["train"]
    assert "Overfitting" not in shown(box)

    write(run.metrics_file, *rest)
    dashboard.refresh()
    text = shown(box)
    assert "Overfitting since step 400" in text
    assert "Stop now: more steps" in text
    assert text.count("<summary>Why</summary>") == 2
    assert text.index("<summary>Why") < text.index("best checkpoint, of step 400, is kept.")
    assert "The model has read it 85 times." in text  # of the statistics among the events

    set_status(run, state="done", step=1500, total=1500)
    dashboard.refresh()
    assert "Train for 400 steps next time" in shown(box)
    dashboard.open_run(make_run(state="running").id)
    dashboard.refresh()
    assert "Overfitting" not in shown(box)


def test_fields_have_the_names_of_the_form_and_texts_of_the_journal_are_texts(opened, monkeypatch):
    dashboard, run, rest = opened
    evil = "<img src=x onerror=payload>"
    said = rules.Hint(f"{evil} is too high.", f"{evil} of training.clip", f"Set training.learning_rate, {evil}.")
    monkeypatch.setattr(rules, "RULES", (lambda course: said,))
    write(run.metrics_file, *rest)
    dashboard.refresh()
    text = shown(dashboard.page.boxes["train"])
    assert text.count("&lt;img src=x onerror=payload&gt;") == 3
    assert "<img" not in text
    assert "Set “Learning rate”, " in text
    assert "of “Gradient clipping”" in text


def test_the_rules_are_asked_at_validations_only(opened, monkeypatch):
    dashboard, run, rest = opened
    asked = []
    monkeypatch.setattr(rules, "RULES", (lambda course: asked.append(course.last.step),))
    for line in rest[:20]:
        write(run.metrics_file, line)
        dashboard.refresh()
    assert asked == [line["step"] for line in rest[:20] if "val/loss" in line]


def test_a_run_whose_settings_cannot_be_read_has_no_hints(opened):
    dashboard, run, rest = opened
    run.spec_file.write_text("training: {steps: many}")
    dashboard.watch.run.__dict__.pop("spec", None)
    write(run.metrics_file, *rest)
    dashboard.refresh()
    assert "Overfitting" not in shown(dashboard.page.boxes["train"])
