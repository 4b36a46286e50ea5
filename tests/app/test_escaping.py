"""Whatever a user, a model or a file may write is shown as text, never run as HTML."""

from __future__ import annotations

import json

import ipywidgets as widgets
import pytest

from tb_widgets.app.steps import STEPS
from tb_widgets.errors import SpecError
from tb_widgets.runs.checkpoints import write_checkpoint
from tb_widgets.service.generation import Generation

from .conftest import at, every_widget, html_of

MARK = "payload"
EVIL = f"<script>alert('{MARK}')</script><img src=x onerror=\"{MARK}\">"


def check(dashboard, *, seen: bool = True) -> None:
    """Walk every widget of every step: the payload is there, and only as text."""
    shown = ""
    for step in STEPS:
        dashboard.show(step)
        dashboard.refresh()
        shown += html_of(dashboard.page.widget)
    assert not seen or MARK in shown
    for widget in every_widget(dashboard.page.widget):
        texts = [widget.value] if isinstance(widget, widgets.HTML) else []
        # Descriptions are HTML in ipywidgets 7.
        texts += [getattr(widget, "description", "")]
        for text in texts:
            assert not any(raw in text for raw in ("<script>", "<img", f"'{MARK}'", f'"{MARK}"')), text


@pytest.mark.parametrize(
    "path",
    ["data.source", "model.source", "training.steps", "name", "hardware.device", "model.config", "checkpoints.mirror"],
)
def test_what_is_typed_into_the_form(dashboard, path):
    dashboard.show("train")
    dashboard.draft.set(path, EVIL)
    dashboard.page.toggle_code()
    check(dashboard, seen=path not in ("name", "model.config"))  # their reasons do not repeat what was typed


def test_what_is_typed_as_prompts_and_tags_and_the_code_of_it(dashboard):
    for path in ("evaluation.prompts", "tracking.tags", "tracking.project", "checkpoints.mirror"):
        dashboard.draft.set(path, EVIL)
    dashboard.page.toggle_code()
    check(dashboard)


def test_the_first_lines_and_the_name_of_a_text(dashboard, tmp_path):
    file = tmp_path / "<img src=x onerror=payload>.txt"
    file.write_text(f"{EVIL}\n" * 100)
    dashboard.draft.set("data.source", str(file))
    assert dashboard.draft.is_valid
    check(dashboard)


def test_the_name_of_a_model(dashboard, tmp_path):
    (tmp_path / "model.py").write_text("from torch import nn\nclass Model(nn.Module):\n    pass\n")
    (tmp_path / "config.json").write_text(json.dumps({"model_name": EVIL}))
    dashboard.draft.set("model.config", "")  # sizes for a model of ours
    dashboard.draft.set("model.source", str(tmp_path))
    check(dashboard)


@pytest.mark.parametrize("state", ["preparing", "running", "failed", "done", "interrupted"])
def test_what_a_run_says_of_itself(dashboard, make_run, state):
    texts = dict.fromkeys(("phase", "message", "hint", "name", "model", "data", "device"), EVIL)
    run = make_run(state=state, **texts, threads=2)
    dashboard.open_run(run.path)
    run.log_file.write_text(f"{EVIL}\n" * 3)
    run.samples_file.write_text(json.dumps({"step": 1, "prompt": EVIL, "text": EVIL}) + "\n")
    run.events_file.write_text(json.dumps({"n": 1, "kind": "warning", "message": EVIL}) + "\n")
    check(dashboard)


def test_the_folder_of_a_run(tmp_path, make_run, dashboard):
    run = make_run(state="done")
    odd = run.path.rename(run.path.with_name("<img src=x onerror=payload>"))
    dashboard.open_run(odd)
    check(dashboard)


def test_the_runs_folder(dashboard, tmp_path):
    dashboard.service.runs_dir = tmp_path / EVIL.replace("/", "_")
    check(dashboard)


def test_what_a_checkpoint_writes_and_why_it_failed(dashboard, make_run):
    run = make_run(state="done")
    meta = {"metrics": {"val/loss": 2.0}}
    write_checkpoint(run.checkpoints_folder, 20, {"model.safetensors": lambda path: path.touch()}, meta)
    dashboard.open_run(run.path)
    dashboard.generation = Generation(run, run.path, EVIL, text=EVIL, state="writing")
    check(dashboard)
    dashboard.generation.fail(EVIL)
    check(dashboard)


@pytest.mark.parametrize(
    "error", [ValueError(EVIL), SpecError([(EVIL, EVIL), (EVIL, EVIL)], hint=EVIL), SpecError([("a", EVIL)])]
)
def test_the_words_of_an_error(dashboard, error):
    def refuse():
        raise error

    dashboard.act(refuse)
    check(dashboard)


def test_the_words_of_a_beat_that_fails(dashboard, monkeypatch):
    def refuse():
        raise ValueError(EVIL)

    with monkeypatch.context() as patch:
        patch.setattr(dashboard.watch, "refresh", refuse)
        dashboard.on_beat("ready", False)
    assert MARK in html_of(dashboard.page.widget)
    for widget in every_widget(dashboard.page.widget):
        assert "<script>" not in str(getattr(widget, "value", ""))


def test_a_prompt_in_the_playground_stays_in_its_field(dashboard):
    dashboard.show("runs")
    at(dashboard.page.widget, "prompt").value = EVIL
    check(dashboard, seen=False)
