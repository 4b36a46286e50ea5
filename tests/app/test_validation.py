"""What the notebook shows of a model before and after it may run. No process is started here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tb_widgets import Validation
from tb_widgets.app.notebook.validation import cell, shown_results
from tb_widgets.app.parts.check_results import result_pictures
from tb_widgets.checks.result import CheckResult
from tb_widgets.errors import ModelError
from tests.models.broken import UNDECLARED
from tests.models.github import ID, GitHub

CODE = """import os
from torch import nn

TITLE = "<script>alert(1)</script> \u202e"

class Model(nn.Module):
    def forward(self, input_ids):
        return input_ids
"""


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    monkeypatch.setenv("TB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("TB_CACHE_DIR", str(tmp_path / "cache"))
    with GitHub() as server:
        monkeypatch.setenv("GITHUB_API_URL", server.url)
        yield server


def files(code: str = CODE) -> dict[str, str]:
    return {"model.py": code, "config.json": '{"vocab_size": 7}'}


def pressed(validation: Validation, title: str) -> str:
    """Show a model as a notebook does, press a button below it, and return what is said then."""
    shown: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("IPython.display.display", shown.append)
        validation._ipython_display_()
    buttons, said = shown[-1].children
    button = next(button for button in buttons.children if button.description == title)
    button.click()
    return str(said.value)


def test_a_press_is_consent_to_what_was_shown_and_no_press_is_none(github):
    sha = github.add(ID, files())
    validation = Validation(ID)
    assert validation.check() == []
    assert "press Trust this revision, then run the cells below" in validation._repr_html_()
    changed = github.add(ID, files(CODE + "\nunseen = 1\n"))  # between the look and the press
    assert "Trust this revision: done." in pressed(validation, "Trust this revision")
    assert validation.may_run
    assert Validation(f"{ID}@{sha[:10]}").may_run
    assert not Validation(f"{ID}@{changed}").may_run


def test_an_old_consent_is_none_to_a_changed_gist(github):
    first = github.add(ID, files())
    Validation(f"{ID}@{first}").agree()
    github.add(ID, files(CODE + "\nchanged = 1\n"))

    validation = Validation(ID)

    assert not validation.may_run
    html = validation._repr_html_()
    assert "+changed" in html.replace("<span></span>", "")
    assert "It has changed since you agreed to it." in html
    validation.agree()
    assert Validation(ID).may_run


def test_a_consent_that_can_not_be_remembered_is_told_below_the_button(github, tmp_path, monkeypatch):
    github.add(ID, files())
    validation = Validation(ID)
    (tmp_path / "file").touch()
    monkeypatch.setenv("TB_CONFIG_DIR", str(tmp_path / "file"))
    assert "So no code is trusted." in pressed(validation, "Trust this revision")
    assert not validation.may_run


def test_known_faults_are_mended_on_request_and_shown_first(tmp_path):
    (tmp_path / "model.py").write_text(UNDECLARED)
    validation = Validation(str(tmp_path))
    assert "offered</span>" in validation._repr_html_()
    assert validation.applied == []
    assert "Apply the repairs: done." in pressed(validation, "Apply the repairs")
    # The causal mask waits for what the checks find.
    assert validation.applied == ["undeclared-input"]


def test_a_model_that_may_run_and_has_no_fault_shows_no_button(tmp_path, monkeypatch):
    shown: list[Any] = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    Validation("zoo:gpt")._ipython_display_()
    assert len(shown) == 1


def test_what_somebody_wrote_is_shown_and_never_becomes_a_part_of_the_page(github):
    evil = "<img src=x onerror=alert(1)>"
    github.add(ID, files(), owner=evil, description=evil)
    html = Validation(ID)._repr_html_()
    assert "<img" not in html
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "\u202e" not in html
    assert "⟨U+202E⟩" in html
    assert "<td>line 1</td>" in html
    assert "<b>imports os</b>" in html


def test_results_are_escaped_and_a_leak_is_said_in_plain_words():
    evil = "<img src=x>"
    bars = {"kind": "bars", "title": evil, "labels": [evil, "b"], "values": [1.0, 0.0]}
    heat = {"kind": "heatmap", "title": evil, "rows": evil, "columns": evil, "values": [[0.0, 2.0], [0.0, 0.0]]}
    results = [
        CheckResult("causality", evil, 1, "fail", evil, 1.5, evil, evil, evil, heat),
        CheckResult("gradients", evil, 1, "pass", evil, picture=bars),
    ]
    html = cell(shown_results(results), result_pictures(results))
    assert "<img" not in html
    assert "This model sees the answers." in html
    assert "✕ failed" in html
    assert "1.5 &lt;img" in html
    assert html.count("<figure") == 2
    assert "sees the answers" not in shown_results(results[1:])


def test_a_gist_that_is_not_there_is_an_error_in_one_sentence(github):
    with pytest.raises(ModelError) as caught:
        Validation(ID)
    assert caught.value._render_traceback_() == [str(caught.value)]
