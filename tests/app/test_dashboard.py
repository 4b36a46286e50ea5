"""The dashboard without a browser: the heartbeat is called as the page would call it."""

from __future__ import annotations

import logging
import shutil
import threading
import time

import psutil
import pytest

from tb_widgets.app.dashboard import BUSY, IDLE, Dashboard
from tb_widgets.app.steps import STEPS
from tb_widgets.errors import RunError, ServiceError, TbError
from tb_widgets.runs.checkpoints import write_checkpoint
from tb_widgets.service import service as service_module
from tb_widgets.service.generation import Generation

from .conftest import at, every_widget, set_status, shown


def open_page(dashboard, beats=2):
    """Let a page arrive and ask a few times."""
    waits = [dashboard.on_beat("ready", False)]
    return waits + [dashboard.on_beat("tick", True) for _ in range(beats - 1)]


def test_building_starts_no_thread_no_process_and_no_folder(runs_dir, tiny, workers):
    threads, children = threading.active_count(), len(psutil.Process().children())

    made = Dashboard(tiny(), runs_dir=runs_dir)
    for step in STEPS:
        made.show(step)
    made.refresh()

    assert threading.active_count() <= threads
    assert len(psutil.Process().children()) <= children
    assert workers == []
    assert not runs_dir.exists()


def test_once_a_page_is_there_one_worker_waits_for_all_dashboards_of_the_kernel(dashboard, runs_dir, workers):
    open_page(dashboard, beats=5)
    open_page(Dashboard(runs_dir=runs_dir), beats=5)
    assert len(workers) == 1

    dashboard.start()
    assert workers[0].trains is not None
    open_page(dashboard)
    assert len(workers) == 1  # none waits while a run is at work

    set_status(dashboard.watch.run, state="done")
    open_page(dashboard, beats=5)
    assert len(workers) == 2


def test_a_closed_dashboard_ends_what_it_began_and_leaves_its_run_alone(dashboard, make_run, workers):
    open_page(dashboard)
    run = make_run(state="running", step=3)
    dashboard.open_run(run.id)
    for step in STEPS:
        dashboard.show(step)
    probe = dashboard.check_model(1)
    shown_widgets = list(every_widget(dashboard.page.widget))

    dashboard.close()

    assert not workers[-1].is_alive
    assert probe.state == "stopped"
    assert all(widget.comm is None for widget in shown_widgets)
    assert run.status().state == "running"
    assert not list(run.control.folder.glob("*"))


def test_start_makes_a_run_of_what_the_form_holds_and_shows_it(dashboard):
    dashboard.draft.set("training.steps", "33")
    dashboard.show("runs")

    run = dashboard.start()

    assert run.spec.training.steps == 33
    assert dashboard.watch.run.path == run.path
    assert dashboard.step == "train"


def test_start_with_something_missing_says_what(dashboard, runs_dir):
    dashboard.draft.set("training.steps", "-1")
    with pytest.raises(RunError, match=r"can't be started yet. Steps: must be at least 1, not -1"):
        dashboard.start()
    assert not runs_dir.exists()


def test_a_text_that_has_gone_since_is_noticed_by_start(dashboard, tmp_path):
    file = tmp_path / "short-lived.txt"
    file.write_text("words " * 100)
    dashboard.draft.set("data.source", str(file))
    file.unlink()
    with pytest.raises(RunError, match="there is no file"):
        dashboard.start()


def test_a_second_run_waits_and_can_be_taken_back(dashboard):
    first, second = dashboard.start(), dashboard.start()
    assert [run.path for run in dashboard.service.queue] == [second.path]

    assert dashboard.watch.run.path == first.path, "what is in sight stays there"

    dashboard.stop(second)

    assert (first.status().state, second.status().state) == ("queued", "stopped")
    assert dashboard.service.queue == []


def test_a_worker_that_can_not_be_started_leaves_no_run_waiting_for_ever(dashboard, monkeypatch):
    def refuse(*_):
        raise ServiceError("A worker process can't be started: no memory.")

    monkeypatch.setattr(service_module, "WaitingWorker", refuse)
    with pytest.raises(ServiceError):
        dashboard.start()
    assert [entry.status.state for entry in dashboard.service.runs()] == ["failed"]


@pytest.mark.parametrize("name", ["pause", "resume", "stop", "save_now", "use_settings_of_run"])
def test_without_a_run_each_command_says_so(dashboard, name):
    with pytest.raises(RunError, match=r"No run is open. Press Start, or choose one under Runs."):
        getattr(dashboard, name)()


def test_the_newest_run_at_work_is_opened_with_the_page_and_not_before(make_run, runs_dir):
    make_run(state="done")
    working = make_run(state="running")
    dashboard = Dashboard(runs_dir=runs_dir)
    assert dashboard.watch.run is None
    open_page(dashboard)
    assert dashboard.watch.run.path == working.path


def test_a_run_that_was_named_is_opened(make_run, runs_dir):
    named, _ = make_run(state="done"), make_run(state="running")
    dashboard = Dashboard(runs_dir=runs_dir, run=named.id)
    open_page(dashboard)
    assert dashboard.watch.run.path == named.path


def test_the_settings_of_a_run_fill_the_form(dashboard, make_run):
    dashboard.open_run(make_run({"training.steps": 77}, state="done").id)
    dashboard.use_settings_of_run()
    dashboard.refresh()
    assert dashboard.draft.spec.training.steps == 77
    assert at(dashboard.page.widget, "training-steps").value == "77"
    assert at(dashboard.page.widget, "preset").value == ""


def test_a_setting_without_effect_is_not_shown(dashboard):
    page = dashboard.page.widget
    next(each for each in every_widget(page) if getattr(each, "description", "") == "More settings").value = True
    place = "training-cooldown"
    (box,) = (each for each in every_widget(page) if "tbw-field" in each._dom_classes and inputs_at(each, place))
    for schedule, is_hidden in (("cosine", True), ("wsd", False), ("linear", True)):
        at(page, "training-schedule").value = schedule
        dashboard.refresh()
        assert ("tbw-hidden" in box._dom_classes) == is_hidden, schedule


def test_a_field_that_is_folded_away_and_keeps_a_run_from_starting_is_shown(dashboard):
    dashboard.refresh()
    assert not inputs_at(dashboard.page.widget, "hardware-device")
    dashboard.draft.set("hardware.device", "cuda")
    dashboard.refresh()
    assert inputs_at(dashboard.page.widget, "hardware-device")
    assert "this machine has no NVIDIA GPU" in shown(dashboard.page.widget)
    dashboard.draft.set("training.relative_rates", {"embeding": 2})
    dashboard.refresh()
    assert "embeding must be matrix, other, head, embedding or vector" in shown(dashboard.page.widget)


def inputs_at(root, place):
    return [each for each in every_widget(root) if f"tbw-at-{place}" in each._dom_classes]


def test_the_page_is_asked_to_hurry_while_something_moves(dashboard, make_run):
    assert dashboard.on_beat("ready", False) == BUSY  # until the figure stands there
    dashboard.data.wait()
    assert open_page(dashboard, beats=3) == [BUSY, IDLE, IDLE]
    dashboard.open_run(make_run(state="running").path)
    assert dashboard.on_beat("tick", True) == BUSY


def test_every_step_can_be_shown_and_no_other(dashboard):
    for step in STEPS:
        dashboard.show(step)
        dashboard.refresh()
        assert [name for name, box in dashboard.page.boxes.items() if "tbw-hidden" not in box._dom_classes] == [step]
    with pytest.raises(RunError, match="no step 'tuning'"):
        dashboard.show("tuning")


def test_a_click_on_a_step_shows_it(dashboard):
    dashboard.page.steps.selected = "runs"
    assert dashboard.step == "runs"


def test_the_code_follows_the_form(dashboard):
    dashboard.draft.set("training.steps", "1234")
    assert "'training.steps': 1234" in dashboard.code()
    assert "--set training.steps=1234" in dashboard.code()


def test_the_code_names_the_runs_folder_where_it_is_not_the_usual_one(dashboard, monkeypatch):
    folder = dashboard.service.runs_dir
    assert f"runs_dir={str(folder)!r}" in dashboard.code()
    assert f"--runs-dir {folder}" in dashboard.code()
    monkeypatch.chdir(folder.parent)
    dashboard.service.runs_dir = folder.parent / "runs"
    assert "runs_dir" not in dashboard.code()


def test_a_handler_that_fails_is_told_in_words_and_logged_with_its_traceback(dashboard, caplog):
    def explode():
        raise ZeroDivisionError("<b>boom</b>")

    with caplog.at_level(logging.INFO):
        dashboard.act(explode)

    assert "Something in tb_widgets failed: ZeroDivisionError: &lt;b&gt;boom&lt;/b&gt;" in shown(dashboard.page.widget)
    assert "in explode" in caplog.text

    dashboard.act(lambda: None)
    assert "boom" not in shown(dashboard.page.widget)


def test_an_error_for_people_is_shown_with_its_way_out(dashboard, caplog):
    with caplog.at_level(logging.INFO):
        dashboard.act(lambda: dashboard.open_run("nothing-like-this"))
    assert "There is no run" in shown(dashboard.page.widget)
    assert "List them with" in shown(dashboard.page.widget)
    assert "Traceback" in caplog.text


def test_a_beat_that_fails_ends_nothing_and_is_taken_back_when_it_is_over(dashboard, monkeypatch, caplog):
    open_page(dashboard)
    dashboard.data.wait()
    with monkeypatch.context() as patch:
        patch.setattr(dashboard.watch, "refresh", lambda: 1 / 0)
        assert [dashboard.on_beat("tick", True) for _ in range(20)] == [IDLE] * 20
        assert "could not be brought up to date" in shown(dashboard.page.widget)
        assert caplog.text.count("Traceback") == 1  # not one each beat, for hours

    dashboard.on_beat("tick", True)
    assert "could not be brought up to date" not in shown(dashboard.page.widget)


def test_a_first_beat_that_fails_is_answered_too(dashboard, monkeypatch):
    def refuse():
        raise RunError("The runs folder can't be read.")

    monkeypatch.setattr(dashboard.service, "runs", refuse)
    assert dashboard.on_beat("ready", False) == BUSY
    assert "The runs folder can&#x27;t be read." in shown(dashboard.page.widget)


def test_a_click_whose_refresh_fails_does_not_raise(dashboard, monkeypatch):
    monkeypatch.setattr(dashboard.watch, "refresh", lambda: 1 / 0)
    dashboard.act(lambda: None)
    assert "could not be brought up to date" in shown(dashboard.page.widget)


def test_clicks_from_several_threads_come_one_after_the_other(dashboard):
    inside, most = [], []

    def click():
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.005)
        inside.pop()

    jobs = [
        lambda: dashboard.act(click),
        lambda: dashboard.on_beat("tick", True),
        lambda: dashboard.show("runs"),
    ]
    threads = [threading.Thread(target=job) for job in jobs * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == [1] * 5


def test_a_script_and_a_beat_come_one_after_the_other(dashboard, make_run, monkeypatch):
    run, entered, leave = make_run(state="done"), threading.Event(), threading.Event()

    def slow_refresh():
        entered.set()
        leave.wait(10)

    monkeypatch.setattr(dashboard.watch, "refresh", slow_refresh)
    beat = threading.Thread(target=lambda: dashboard.on_beat("tick", True))
    beat.start()
    entered.wait(10)
    script = threading.Thread(target=lambda: dashboard.open_run(run.path))
    script.start()
    script.join(0.1)
    assert script.is_alive()  # it waits for the beat
    assert dashboard.watch.run is None

    leave.set()
    beat.join(10)
    script.join(10)
    assert dashboard.watch.run.path == run.path


def test_two_dashboards_on_one_folder_see_and_steer_the_same_run(dashboard, runs_dir):
    run = dashboard.start()
    other = Dashboard(runs_dir=runs_dir)
    open_page(other)
    assert other.watch.run.path == run.path

    set_status(run, state="running")
    other.pause()
    set_status(run, state="paused")
    dashboard.refresh()

    assert dashboard.watch.status.state == "paused"
    assert run.control.is_requested("pause")


def test_a_thousand_runs_are_listed_in_part(dashboard, make_run, runs_dir):
    one = make_run(state="done")
    for number in range(1000):
        folder = runs_dir / f"run-{number:04}"
        folder.mkdir()
        for file in (one.status_file, one.spec_file):
            shutil.copy(file, folder)
    dashboard.show("runs")

    began = time.process_time()
    waits = open_page(dashboard, beats=10)
    took = time.process_time() - began

    assert len(waits) == 10
    assert "The newest 50 of 1,001 runs." in shown(dashboard.page.widget)
    assert took < 5.0  # reading all of them at each beat takes several times as long


def test_a_runs_folder_that_goes_away_is_no_error(dashboard, make_run, runs_dir, until):
    dashboard.open_run(make_run(state="running").path)
    dashboard.show("runs")
    dashboard.refresh()
    shutil.rmtree(runs_dir)

    # A look that took long is not repeated at the very next beat.
    until(lambda: dashboard.on_beat("tick", True) and "No runs yet" in shown(dashboard.page.widget), within=20)
    dashboard.show("train")
    dashboard.on_beat("tick", True)

    assert "The folder of this run is gone" in shown(dashboard.page.widget)
    at(dashboard.page.widget, "resume").click()
    assert "tbw-note is-bad" in dashboard.page.message.value


def test_a_click_in_the_table_opens_the_run(dashboard, make_run):
    first, second = make_run(state="done"), make_run(state="failed")
    dashboard.open_run(first.path)
    dashboard.show("runs")
    dashboard.refresh()
    table = next(panel for panel in dashboard.page.panels["runs"] if hasattr(panel, "_table"))._table
    assert table.selected == first.id

    table.selected = second.id
    assert dashboard.watch.run.path == second.path

    shutil.rmtree(first.path)
    table.selected = first.id
    assert "There is no run" in shown(dashboard.page.widget)
    assert table.selected == second.id


class PretendedWriter:
    """A writer that never ends a text by itself."""

    def __init__(self):
        self.asked, self.stopped = [], 0

    def generate(self, run, checkpoint, prompt, **options):
        self.asked.append((checkpoint.name, prompt, options))
        return Generation(run, checkpoint, prompt)

    def stop(self):
        self.stopped += 1


@pytest.fixture
def writing(dashboard, make_run):
    """A dashboard on a run with a checkpoint."""
    run = make_run(state="done")
    meta = {"metrics": {"val/loss": 2.0}}
    write_checkpoint(run.checkpoints_folder, 20, {"model.safetensors": lambda path: path.touch()}, meta)
    dashboard.writer = PretendedWriter()
    dashboard.open_run(run.path)
    return dashboard


def test_a_checkpoint_writes_with_what_was_typed(writing):
    text = writing.generate("The ", temperature="0.5", top_k="", length="12")
    assert writing.writer.asked == [
        ("step-00000020", "The ", {"temperature": 0.5, "top_k": None, "length": 12, "seed": 0})
    ]
    assert writing.is_writing
    assert writing.on_beat("tick", True) == BUSY

    writing.show("runs")
    text.text, text.state = "import", "done"
    text.finished.set()
    writing.refresh()
    assert "<mark>The </mark>import" in shown(writing.page.widget)
    assert not writing.is_writing


@pytest.mark.parametrize(
    "given", [{"temperature": "hot"}, {"top_k": "0"}, {"length": ""}, {"length": "nan"}, {"checkpoint": "7"}]
)
def test_a_wrong_number_is_told_before_anything_is_written(writing, given):
    with pytest.raises(TbError, match=r"must be a number from|has no checkpoint of step 7"):
        writing.generate("The ", **given)
    assert writing.writer.asked == []


def test_opening_another_run_ends_the_text_of_the_first(writing, make_run):
    writing.generate("The ")
    writing.open_run(make_run(state="done").path)
    assert writing.writer.stopped == 1
    assert writing.generation is None
