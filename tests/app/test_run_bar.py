"""The run bar in every state: what it says, which buttons it shows, and which one of them is filled."""

from __future__ import annotations

import pytest

from tb_widgets.runs import ACTIVE

from .conftest import at, every_widget, set_status, shown

BUTTONS = ("start", "resume", "pause", "save", "stop")
# state: (the word of its chip, the buttons that show, the filled one)
STATES = {
    "queued": ("Starting", {"start", "stop"}, "start"),
    "preparing": ("Preparing", {"pause", "stop"}, None),
    "running": ("Running", {"pause", "save", "stop"}, None),
    "paused": ("Paused", {"resume", "save", "stop"}, "resume"),
    "stopping": ("Stopping", {"stop"}, None),
    "done": ("Done", {"start"}, "start"),
    "stopped": ("Stopped", {"start", "resume"}, "resume"),
    "failed": ("Failed", {"start", "resume"}, "resume"),
    "interrupted": ("Interrupted", {"start", "resume"}, "resume"),
}


def bar(dashboard):
    return dashboard.page.bar.widget


def visible(dashboard):
    """The buttons that show, by name."""
    found = {name: at(bar(dashboard), name) for name in BUTTONS}
    return {name: button for name, button in found.items() if "tbw-hidden" not in button._dom_classes}


def filled(dashboard):
    return [name for name, button in visible(dashboard).items() if "tbw-primary" in button._dom_classes]


@pytest.fixture
def opened(dashboard, make_run):
    """A dashboard on a run, and that run."""
    run = make_run(state="running", step=5, total=20)
    dashboard.open_run(run.path)
    dashboard.refresh()
    return dashboard, run


def test_without_a_run_it_says_what_start_would_do(dashboard):
    said = shown(bar(dashboard))
    assert "Ready" in said
    assert "<b class='tbw-number'>20</b> steps" in said
    assert "<b class='tbw-number'>64</b> tokens a step" in said
    assert list(visible(dashboard)) == filled(dashboard) == ["start"]
    assert not visible(dashboard)["start"].disabled


def test_what_is_missing_stands_where_start_would_be(dashboard):
    dashboard.draft.set("data.source", "/nowhere.txt")
    dashboard.refresh()
    assert "Not ready" in shown(bar(dashboard))
    assert "Data: there is no file" in shown(bar(dashboard))
    assert visible(dashboard)["start"].disabled


def test_what_is_missing_is_said_beside_an_ended_run_too(opened):
    dashboard, run = opened
    set_status(run, state="done")
    dashboard.draft.set("training.steps", "<b>")
    dashboard.refresh()

    assert "Steps: must be a whole number, not &#x27;&lt;b&gt;&#x27;." in shown(bar(dashboard))
    assert visible(dashboard)["start"].disabled


def test_a_run_behind_another_one_waits_for_its_turn(opened):
    dashboard, run = opened
    set_status(run, state="queued", phase="Waiting for its turn")
    dashboard.refresh()

    assert ">Waiting</span>" in shown(bar(dashboard))
    assert "Waiting for its turn …" in shown(bar(dashboard))


@pytest.mark.parametrize("state", STATES)
def test_each_state_has_its_word_and_its_buttons(opened, state):
    dashboard, run = opened
    word, buttons, primary = STATES[state]
    set_status(run, state=state)
    dashboard.refresh()

    assert f">{word}</span>" in shown(bar(dashboard))
    assert set(visible(dashboard)) == buttons
    assert filled(dashboard) == ([primary] if primary else [])
    assert ("stop" in buttons) == (state in ACTIVE)


def test_progress_is_the_share_of_steps(opened):
    dashboard, run = opened
    set_status(run, tokens_per_second=1234.5, eta=75.0, elapsed=3725.0)
    dashboard.refresh()
    said = shown(bar(dashboard))
    assert 'aria-valuenow="25"' in said
    for fact in ("1,234</b> tokens/s", "1:15", "1:02:05", "of 20"):
        assert fact in said


def test_images_are_counted_where_there_are_no_tokens(opened):
    dashboard, run = opened
    set_status(run, tokens_per_second=None, examples_per_second=210.0)
    dashboard.refresh()
    assert "210</b> examples/s" in shown(bar(dashboard))


def test_while_it_prepares_progress_is_that_of_the_phase(opened):
    dashboard, run = opened
    set_status(run, state="preparing", phase="Learning the vocabulary", progress=0.4)
    dashboard.refresh()
    assert 'aria-valuenow="40"' in shown(bar(dashboard))
    assert "Learning the vocabulary …" in shown(bar(dashboard))

    set_status(run, state="preparing", progress=None)
    dashboard.refresh()
    assert "is-waiting" in shown(bar(dashboard))


def test_a_run_of_no_steps_is_no_error(opened):
    dashboard, run = opened
    set_status(run, step=0, total=0)
    dashboard.refresh()
    assert 'aria-valuenow="0"' in shown(bar(dashboard))


def test_why_it_ended_badly_stands_in_the_bar(opened):
    dashboard, run = opened
    set_status(run, state="failed", message="The loss is <not> a number.")
    dashboard.refresh()
    assert "The loss is &lt;not&gt; a number." in shown(bar(dashboard))


@pytest.mark.parametrize(("click", "word", "then"), [("pause", "Pausing …", "paused"), ("stop", "Stopping …", "done")])
def test_what_was_asked_shows_until_the_run_answers(opened, click, word, then):
    dashboard, run = opened
    visible(dashboard)[click].click()

    assert run.control.is_requested(click)
    assert word in shown(bar(dashboard))
    assert visible(dashboard)[click].disabled
    dashboard.refresh()
    assert visible(dashboard)[click].disabled  # it has not answered yet

    set_status(run, state=then)
    dashboard.refresh()
    assert word not in shown(bar(dashboard))
    assert not any(button.disabled for button in visible(dashboard).values())


def test_what_was_asked_of_one_run_is_not_asked_of_another(opened, make_run):
    dashboard, _ = opened
    visible(dashboard)["pause"].click()

    dashboard.open_run(make_run(state="running").path)
    dashboard.refresh()

    assert "Pausing" not in shown(bar(dashboard))
    assert not visible(dashboard)["pause"].disabled


def test_save_now_says_that_it_was_heard(opened):
    dashboard, run = opened
    visible(dashboard)["save"].click()
    assert run.control.is_requested("save-now")
    assert "A checkpoint is saved after the current step." in shown(dashboard.page.widget)


def test_resuming_goes_on_at_once_after_a_pause(opened):
    dashboard, run = opened
    run.control.request("pause")
    set_status(run, state="paused")
    dashboard.refresh()

    visible(dashboard)["resume"].click()

    assert not run.control.is_requested("pause")


def test_a_double_click_starts_one_run(dashboard):
    start = visible(dashboard)["start"]
    start.click()
    start.click()
    assert len(dashboard.service.runs()) == 1
    assert dashboard.service.queue == []


def test_a_refused_click_says_why(opened):
    dashboard, run = opened
    set_status(run, state="done")  # after the page was drawn
    at(bar(dashboard), "pause").click()
    assert "can&#x27;t be paused: it is done." in shown(dashboard.page.widget)


def test_every_button_says_what_it_does(dashboard):
    assert all(widget.tooltip for widget in every_widget(bar(dashboard)) if hasattr(widget, "on_click"))
