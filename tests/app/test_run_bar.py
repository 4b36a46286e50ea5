"""The run bar in every state: what it says, which buttons it shows, and which one of them is filled."""

from __future__ import annotations

import json

import pytest

from tb_widgets.errors import RunError
from tb_widgets.models.source import write_source
from tb_widgets.models.sources.resolve import resolve
from tb_widgets.runs import ACTIVE, RunDirectory
from tb_widgets.runs.checkpoints import checkpoint_name
from tb_widgets.service.generation import Generation

from .conftest import at, every_widget, set_status, shown

BUTTONS = ("start", "resume", "pause", "save", "stop", "try-it", "extend", "start-again")
# state: (the word of its chip, the buttons that show, the filled one)
STATES = {
    "queued": ("Starting", {"start", "stop"}, None),
    "preparing": ("Preparing", {"start", "pause", "stop"}, None),
    "running": ("Running", {"start", "pause", "save", "stop"}, None),
    "paused": ("Paused", {"start", "resume", "save", "stop"}, "resume"),
    "stopping": ("Stopping", {"start", "stop"}, None),
    "done": ("Done", {"start"}, "start"),
    "stopped": ("Stopped", {"start", "resume"}, "resume"),
    "failed": ("Failed", {"start"}, "start"),
    "interrupted": ("Interrupted", {"start", "resume"}, "resume"),
}


def bar(dashboard):
    return dashboard.page.bar.widget


def has(row, name):
    return any(f"tbw-at-{name}" in getattr(widget, "_dom_classes", ()) for widget in every_widget(row))


def visible(dashboard):
    """The buttons that show, by name."""
    rows = [row for row in bar(dashboard).children if "tbw-hidden" not in row._dom_classes]
    found = {name: at(row, name) for row in rows for name in BUTTONS if has(row, name)}
    return {name: button for name, button in found.items() if "tbw-hidden" not in button._dom_classes}


def filled(dashboard):
    return [name for name, button in visible(dashboard).items() if "tbw-primary" in button._dom_classes]


def saved(run, step):
    """Let a run have a checkpoint."""
    folder = run.checkpoints_folder / checkpoint_name(step)
    folder.mkdir()
    meta = {"step": step, "time": 0.0, "metrics": {}}
    (folder / "meta.json").write_text(json.dumps(meta))
    (folder / "MANIFEST.json").write_text(json.dumps({"files": {}}))
    with run.events_file.open("a") as file:
        file.write(json.dumps({"kind": "checkpoint", "step": step}) + "\n")


def remember(run):
    """Let the code of a run be one that this machine has agreed to."""
    run.model_folder.mkdir()
    write_source(resolve(run.spec.model, vocab_size=300, context_length=8, online=False), run.model_folder)


@pytest.fixture
def opened(dashboard, make_run):
    """A dashboard on a run, and that run."""
    run = make_run(state="running", step=5, total=20)
    dashboard.open_run(run.path)
    dashboard.refresh()
    return dashboard, run


def test_without_a_run_it_says_what_start_would_do(dashboard):
    said = shown(bar(dashboard))
    assert "Next run" in said
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
    set_status(run, state="queued", phase="Waiting for its turn", queued_at=2.0)
    dashboard.work.refresh(now=True)
    dashboard.refresh()

    assert ">Waiting</span>" in shown(bar(dashboard))
    assert "Waits." in shown(bar(dashboard))
    assert visible(dashboard)["stop"].description == "Take out of the queue"


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
    assert (visible(dashboard)["save"].description, visible(dashboard)["save"].disabled) == ("Saving …", True)

    saved(run, 5)
    dashboard.refresh()
    assert (visible(dashboard)["save"].description, visible(dashboard)["save"].disabled) == ("Save now", False)
    assert "saved at step" in shown(bar(dashboard))


def test_a_done_run_says_how_good_it_became_and_is_tried_next(opened):
    dashboard, run = opened
    run.metrics_file.write_text('{"step": 0, "val/loss": 7.1}\n{"step": 20, "val/loss": 3.36}\n')
    saved(run, 20)
    best = {"step": 20, "monitor": "val/loss", "value": 3.36}
    set_status(run, state="done", step=20, total=20, elapsed=75.0, best=best)
    dashboard.refresh()

    assert 'best validation loss <b class="tbw-number">3.360</b>, from 7.100, at step 20' in shown(bar(dashboard))
    assert set(visible(dashboard)) == {"start", "try-it", "extend"}
    assert filled(dashboard) == ["try-it"]
    assert at(bar(dashboard), "more-steps").value == "20"
    visible(dashboard)["try-it"].click()
    assert dashboard.step == "runs"


def test_a_run_that_stopped_early_is_done_and_says_where(dashboard, make_run):
    run = make_run({"evaluation.patience": 2})
    dashboard.open_run(run.path)
    early = "Stopped early at step 8 of 20: validation loss no better since step 4."
    set_status(run, state="done", step=8, total=20, message=early)
    dashboard.refresh()
    assert 'aria-valuenow="100"' in shown(bar(dashboard))
    assert early in shown(bar(dashboard))
    saved(run, 8)
    dashboard.refresh()
    assert at(bar(dashboard), "more-steps").value == "12", "the steps that it had left"
    assert "12 more steps: the learning rate goes on falling" in shown(bar(dashboard))
    assert "It stops early after 2 evaluations without improvement." in shown(bar(dashboard))
    dashboard.show("runs")
    dashboard.refresh()
    assert f'is-on" role="status"><span>●</span><p>{early}' in shown(dashboard.page.boxes["runs"]), "nothing went wrong"


def test_a_done_run_goes_on_for_more_steps(opened, workers):
    dashboard, run = opened
    saved(run, 20)
    set_status(run, state="done", step=20, total=20)
    remember(run)
    dashboard.refresh()

    more = at(bar(dashboard), "more-steps")
    told = (
        "20 more steps: the schedule is stretched to 40 steps, so the learning rate rises again, from 0.0001 to 0.000"
    )
    assert told in shown(bar(dashboard))

    more.value = "<b>"
    dashboard.refresh()
    assert "More steps must be a whole number from 1 to 99,999,980, not &#x27;&lt;b&gt;" in shown(bar(dashboard))
    assert visible(dashboard)["extend"].disabled
    with pytest.raises(RunError, match="Enter how many more steps to train"):
        dashboard.extend("")

    more.value = "1,000"
    dashboard.refresh()
    assert more.value == "1,000", "it stays as it was typed"
    assert "stretched to 1,020 steps" in shown(bar(dashboard))
    visible(dashboard)["extend"].click()

    assert dashboard.message is None
    status = run.status()
    assert (status.state, status.total) == ("queued", 1020)
    assert RunDirectory(run.path).spec.training.steps == 1020
    assert workers[-1].trains == run.path


def test_a_run_that_diverged_starts_again_with_a_lower_rate(opened):
    dashboard, run = opened
    dashboard.draft.set("training.steps", "77")
    set_status(run, state="failed", message="The loss became NaN.", remedy={"training.learning_rate": 0.0003})
    dashboard.refresh()

    again = visible(dashboard)["start-again"]
    assert again.description == "Start again with learning rate 0.0003"
    assert filled(dashboard) == ["start-again"]
    assert "resume" not in visible(dashboard), "it would fail again, and there is nothing to go on from"
    again.click()

    new = dashboard.watch.run
    assert new.path != run.path
    assert new.spec.training.learning_rate == 0.0003
    assert new.spec.training.steps == run.spec.training.steps, "its own settings, not those of the form"


def test_starting_again_chooses_nothing_but_the_lower_rate(dashboard):
    dashboard.draft.use_preset("quick")
    dashboard.refresh()
    dashboard.draft.set("training.learning_rate", "9")
    run = dashboard.start()
    set_status(run, state="failed", remedy={"training.learning_rate": 0.001})
    dashboard.refresh()
    again = dashboard.start_again()

    assert again.spec.training.learning_rate == 0.001
    assert dashboard.draft.preset == "quick"
    assert dashboard.draft.changed_settings == ["learning rate"]


def test_with_a_checkpoint_it_can_be_resumed_too(opened):
    dashboard, run = opened
    saved(run, 10)
    set_status(run, state="failed", remedy={"training.learning_rate": 0.0003})
    dashboard.refresh()
    assert visible(dashboard)["resume"].description == "Resume from step 10"
    assert filled(dashboard) == ["start-again"]


def test_the_run_at_work_stays_in_sight_when_another_one_is_opened(opened, make_run):
    dashboard, run = opened
    other = make_run(state="done")
    dashboard.open_run(other.id)
    dashboard.refresh()

    assert f'data-run="{run.id}"' in shown(bar(dashboard))
    dashboard.show("train")
    dashboard.refresh()
    assert f"These are the curves of {dashboard.watch.name}." in shown(dashboard.page.boxes["train"])
    assert "pause" in visible(dashboard)
    visible(dashboard)["pause"].click()
    assert run.control.is_requested("pause")
    at(bar(dashboard), "show-it").click()
    assert dashboard.watch.run.path == run.path
    dashboard.refresh()
    assert "These are the curves of" not in shown(dashboard.page.boxes["train"])


def test_a_rate_that_is_not_typical_stands_beside_start(dashboard):
    dashboard.draft.set("training.learning_rate", "9")
    dashboard.refresh()

    assert "▲ Learning rate 9 is far above what is typical for AdamW" in shown(bar(dashboard))


def test_a_question_without_a_word_is_refused(opened):
    dashboard, run = opened
    set_status(run, task="seq2seq")
    dashboard.refresh()
    dashboard.act(lambda: dashboard.generate("  "))

    assert "The prompt is empty." in dashboard.message.text


def test_while_a_run_is_at_work_any_number_is_queued(dashboard, monkeypatch):
    dashboard.start()
    for _ in range(3):
        monkeypatch.setattr(dashboard, "_started_at", 0.0)  # no double click: a while has passed
        dashboard.refresh()
        start = visible(dashboard)["start"]
        assert (start.description, start.disabled) == ("Add to the queue", False)
        start.click()
    assert len(dashboard.service.queue) == 3
    assert "3 runs wait before it" in shown(bar(dashboard))

    last = dashboard.service.queue[-1]
    dashboard.put_first(last)
    assert dashboard.service.queue[0].path == last.path


def test_two_runs_on_the_same_cores_are_told(opened, make_run):
    dashboard, _ = opened
    make_run(state="running")
    dashboard.work.refresh(now=True)
    dashboard.refresh()
    assert "2 runs share this machine" in shown(bar(dashboard))


def test_the_first_reason_stands_in_the_bar_and_leads_to_its_field(dashboard):
    dashboard.draft.set("training.steps", "-1")
    dashboard.draft.set("training.batch_size", "0")
    dashboard.refresh()
    said = shown(bar(dashboard))
    assert "✕ Steps: must be at least 1, not -1." in said
    assert "and 1 more" in said
    sent = []
    dashboard.page.heartbeat.send = sent.append
    at(bar(dashboard), "show-field").click()
    assert {"type": "field", "place": "training-steps"} in sent


def test_resuming_goes_on_at_once_after_a_pause(opened):
    dashboard, run = opened
    run.control.request("pause")
    set_status(run, state="paused")
    dashboard.refresh()

    visible(dashboard)["resume"].click()

    assert not run.control.is_requested("pause")


def test_a_run_that_waits_for_room_says_what_could_be_freed(opened):
    dashboard, run = opened
    set_status(run, state="paused", message="The disk is full: 0 bytes free.", hint="Delete <b>something</b>.")
    dashboard.refresh()
    assert "The disk is full: 0 bytes free. Delete &lt;b&gt;something&lt;/b&gt;." in shown(bar(dashboard))
    assert "Paused: The disk is full: 0 bytes free." in shown(dashboard.page.widget)
    assert filled(dashboard) == ["resume"]


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


def test_an_opened_run_shows_its_own_settings_and_its_own_code(dashboard, make_run):
    run = make_run({"training.learning_rate": 0.123, "training.steps": 33}, state="done")
    dashboard.draft.set("training.steps", "77")
    dashboard.open_run(run.id)
    dashboard.show("runs")
    dashboard.refresh()
    box = dashboard.page.boxes["runs"]
    assert "<b>0.123</b>" in shown(box), "what is not the default stands out"
    at(box, "run-code").value = True
    assert "training.learning_rate&#x27;: 0.123" in shown(box)
    assert "33" in shown(box)
    assert "77" not in shown(box)


def test_a_pasted_megabyte_is_cut(dashboard):
    dashboard.show("model")
    dashboard.act(lambda: dashboard.load_model("x" * 1_000_000))
    dashboard.wait_for_model()
    assert max(map(len, (shown(box) for box in dashboard.page.boxes.values()))) < 100_000
    assert len(shown(dashboard.page.message)) < 5000


def test_what_one_run_generated_does_not_stand_under_the_next(opened):
    dashboard, run = opened
    set_status(run, state="done")
    dashboard.refresh()
    dashboard.generation = Generation(run, run.path, "The ")
    dashboard.generation.finished.set()
    dashboard.start()
    assert dashboard.generation is None


def test_a_run_that_ends_out_of_sight_is_told(opened, make_run):
    dashboard, run = opened
    other = make_run(state="done")
    dashboard.open_run(other.id)
    set_status(run, state="done")
    dashboard.work.runs.refresh(now=True)
    dashboard.refresh()
    assert f"{run.id[-4:]} is done." in shown(dashboard.page.message)
