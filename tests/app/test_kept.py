"""What was chosen outlives its page: a reload, a second tab, a new kernel."""

from __future__ import annotations

import json
import time

import pytest

from tb_widgets.app.dashboard import Dashboard

from .conftest import at, shown


@pytest.fixture
def new_page(runs_dir):
    """Open a dashboard as a page does: nothing is given, and a beat arrives."""

    def open_page():
        dashboard = Dashboard(runs_dir=runs_dir)
        dashboard.on_beat("ready", False)
        return dashboard

    return open_page


@pytest.fixture
def model_file(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Model(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.table = nn.Embedding(300, 300)\n\n"
        "    def forward(self, tokens):\n        return self.table(tokens)\n"
    )
    return folder


def test_model_data_settings_and_step_are_as_they_were(new_page, tmp_path, runs_dir):
    text = tmp_path / "mine.txt"
    text.write_text("a few words of mine\n" * 200)
    first = new_page()
    first.use_preset("standard")
    first.draft.set("training.steps", "777")
    first.draft.set("data.source", str(text))
    first.show("data")
    first.on_beat("tick", False)

    second = new_page()

    assert second.step == "data"
    assert second.draft.preset == "standard"
    assert second.draft.spec.training.steps == 777
    assert second.draft.spec.data.source == str(text)
    assert (second.draft.keep(), second.code()) == (first.draft.keep(), first.code())


def test_what_is_wrong_in_the_form_is_kept_too(new_page):
    new_page().draft.set("training.steps", "-1")
    first = new_page()
    first.draft.set("training.steps", "-1")
    first.on_beat("tick", False)
    assert new_page().draft.errors == {"training.steps": "must be at least 1, not -1."}


def test_results_of_checks_are_kept_for_the_model_that_they_are_of(new_page):
    first = new_page()
    first.check_model(1).wait(120)
    first.on_beat("tick", False)

    second = new_page()
    assert [result.id for result in second.choice.checks.results] == [r.id for r in first.choice.checks.results]
    assert "not checked yet" not in second.page.steps.steps[1]["summary"]

    first.draft.set("model.preset", "small")
    first.on_beat("tick", False)
    assert new_page().choice.checks is None


def test_the_run_that_was_open_is_open_again(new_page, make_run):
    run = make_run(state="done")
    new_page()
    first = new_page()
    assert first.watch.run is None, "nobody has opened it"
    first.open_run(run.id)
    first.on_beat("tick", False)
    assert new_page().watch.run.path == run.path


def test_a_model_of_a_path_is_not_run_because_a_file_names_it(new_page, model_file, runs_dir, until):
    """The runs folder may have come from anywhere, and what it keeps is nobody's consent."""
    first = new_page()
    first.load_model(str(model_file))
    first.wait_for_model()
    assert first.choice.state == "ready"
    first.on_beat("tick", False)
    again = new_page()
    again.on_beat("tick", False)
    assert again.wait_for_model().state == "ready", "these very files were typed here before"

    (model_file / "model.py").write_text((model_file / "model.py").read_text() + "\n\nprint('other code')\n")
    third = new_page()
    third.on_beat("tick", False)
    assert third.choice.state == "asking"
    assert third.choice.trial is None
    third.trust_model()
    assert third.wait_for_model().state == "ready"


def test_a_spec_that_a_script_gives_is_what_the_form_holds(new_page, runs_dir, tiny):
    first = new_page()
    first.draft.set("training.steps", "777")
    first.on_beat("tick", False)
    given = Dashboard(tiny(), runs_dir=runs_dir)
    given.on_beat("ready", False)
    given.draft.set("training.steps", "5")
    given.on_beat("tick", False)
    assert new_page().draft.spec.training.steps == 777


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"draft": {"values": 3}}', '{"draft": 5}', '{"step": []}', "\x00" * 99]
)
def test_a_damaged_file_is_set_aside_and_told(new_page, runs_dir, content):
    runs_dir.mkdir()
    (runs_dir / ".page.json").write_text(content)
    dashboard = new_page()
    assert dashboard.draft.is_usual
    assert "damaged" in dashboard.message.text
    assert (runs_dir / ".page.json.damaged").read_text() == content


def test_nothing_is_written_before_a_page_is_there(runs_dir):
    Dashboard(runs_dir=runs_dir).refresh()
    assert not runs_dir.exists()


def test_a_file_that_does_not_change_is_not_written_again(new_page, runs_dir):
    dashboard = new_page()
    assert not runs_dir.exists(), "nothing was chosen"
    dashboard.draft.set("training.steps", "7")
    dashboard.on_beat("tick", False)
    before = (runs_dir / ".page.json").stat().st_mtime_ns
    time.sleep(0.02)
    dashboard.on_beat("tick", False)
    assert (runs_dir / ".page.json").stat().st_mtime_ns == before


def test_the_defaults_are_one_click_away(new_page):
    dashboard = new_page()
    button = at(dashboard.page.bar.widget, "use-defaults")
    assert "tbw-hidden" in button._dom_classes
    dashboard.draft.set("training.steps", "777")
    dashboard.refresh()
    button.click()
    assert dashboard.draft.spec.training.steps == 600
    assert "777" not in shown(dashboard.page.bar.widget)
    assert "tbw-hidden" in button._dom_classes


def test_no_secret_and_no_consent_is_kept(new_page, runs_dir):
    dashboard = new_page()
    dashboard.show("data")
    dashboard.on_beat("tick", False)
    assert set(json.loads((runs_dir / ".page.json").read_text())) == {"step", "run", "draft", "checks", "saved"}


def test_two_open_pages_hold_the_same_form(new_page):
    first, second = new_page(), new_page()
    second.draft.set("training.steps", "25")
    second.on_beat("tick", False)
    first.on_beat("tick", False)
    assert first.draft.spec.training.steps == 25
    first.draft.set("tokenizer.kind", "byte")
    first.on_beat("tick", False)
    second.on_beat("tick", False)
    assert (second.draft.spec.tokenizer.kind, second.draft.spec.training.steps) == ("byte", 25)
    before = first._kept.file.stat().st_mtime_ns
    for _ in range(3):  # they are of one mind, and leave the file alone
        first.on_beat("tick", False)
        second.on_beat("tick", False)
    assert first._kept.file.stat().st_mtime_ns == before
