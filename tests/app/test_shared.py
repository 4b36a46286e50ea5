"""A Voila server that others can reach: what a visitor may do, and what is refused in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tb_widgets.app.parts.upload import Upload
from tb_widgets.errors import ModelError, PolicyError, RunError, ServiceError
from tb_widgets.runs.status import read_status, write_status
from tb_widgets.service.policy import is_shared
from tb_widgets.spec import RunSpec

from .conftest import at, every_widget, set_status, shown
from .test_model_choice import ID, SUM, files, github, open_dashboard  # noqa: F401  (fixtures)

KEY = "0123456789abcdef" * 3


@pytest.fixture
def listed(github, monkeypatch, tmp_path):  # noqa: F811
    """A shared server with one model on its list; the sha of that model."""
    sha = github.add(ID, files(SUM))
    file = tmp_path / "allowed.txt"
    file.write_text(f"# agreed to\ngist:{ID}@{sha}\n")
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.13")
    monkeypatch.setenv("TB_ALLOWED_MODELS", str(file))
    return sha


@pytest.fixture
def visit(listed, open_dashboard):  # noqa: F811
    """Open the shared page in a browser that has been there before, or in another one."""

    def open_page(spec=None, key=KEY):
        dashboard = open_dashboard(spec)
        dashboard.page.heartbeat._handle_custom_msg({"type": "visitor", "key": key}, [])
        dashboard.on_beat("ready", False)
        for step in ("model", "check", "data", "runs", "train"):
            dashboard.show(step)
        return dashboard

    return open_page


def test_only_voila_pages_that_others_can_reach_are_shared():
    assert is_shared({"SERVER_SOFTWARE": "voila/0.5.13"})
    assert not is_shared({"SERVER_SOFTWARE": "voila/0.5.13", "TB_LOOPBACK_ONLY": "1"})
    assert not is_shared({})


def test_what_is_on_the_list_is_chosen_and_tried_and_nothing_else_is(listed, github, open_dashboard, tmp_path):  # noqa: F811
    for name, text in files(SUM).items():
        (tmp_path / name).write_text(text)
    dashboard = open_dashboard()
    dashboard.show("model")
    box = dashboard.page.boxes["model"]
    for source in (ID, str(tmp_path), "upload:0123456789abcdef"):
        with pytest.raises(PolicyError, match="This shared server only"):
            dashboard.load_model(source)
    with pytest.raises(PolicyError, match="visitors can't send files"):
        dashboard.upload_model({})
    assert github.seen == []

    at(box, "model-source-choice").value = f"gist:{ID}@{listed}"
    assert dashboard.wait_for_model().state == "ready"
    assert dashboard.draft.blockers == []

    other = open_dashboard(RunSpec().with_values({"model.source": str(tmp_path)}))
    other.on_beat("ready", False)
    assert other.choice.state == "failed"
    assert other.draft.blockers


def test_a_list_that_pins_nothing_is_refused(listed, tmp_path, open_dashboard):  # noqa: F811
    (tmp_path / "allowed.txt").write_text(f"gist:{ID}\n")
    with pytest.raises(ModelError, match="is not a pinned revision"):
        open_dashboard().load_model(ID)


def test_the_page_s_own_address_loads_a_gist_once(github, open_dashboard):  # noqa: F811
    github.add(ID, files(SUM))
    dashboard = open_dashboard()
    for _ in range(2):
        dashboard.page.heartbeat._handle_custom_msg({"type": "address", "text": f"?gist_id={ID}"}, [])
    assert dashboard.step == "model"
    assert dashboard.wait_for_model().state == "asking"
    assert len(github.seen) == 1


def test_data_are_ours_or_those_that_are_offered(visit, text_file):
    page = visit()
    for source in (str(text_file), "https://example.com/a.txt", "hub:somebody/else", "/", "~", "*.txt"):
        with pytest.raises(PolicyError, match="the datasets it offers"):
            page.data.choose(source)
    page.data.choose("python-source")
    assert page.draft.spec.data.source == "python-source"
    for refused in (page.data.clear_cache, page.data.get_tokenizer, lambda: page.data.find("poems")):
        with pytest.raises(PolicyError, match="visitors can't"):
            refused()


def test_what_a_visitor_may_not_use_is_not_on_the_page(visit, open_dashboard, monkeypatch):  # noqa: F811
    page = visit()
    made = [*every_widget(page.page.widget)]
    assert not [widget for widget in made if isinstance(widget, Upload)]
    places = {name for widget in made for name in widget._dom_classes if name.startswith("tbw-at-")}
    absent = {"model-address", "model-config", "data-source", "data-search", "tokenizer-file", "clear-cache"}
    assert places.isdisjoint({f"tbw-at-{name}" for name in absent})
    assert str(page.service.runs_dir) not in shown(page.page.widget)
    assert str(page.service.runs_dir) not in page.code()
    monkeypatch.delenv("SERVER_SOFTWARE")
    owner = open_dashboard()
    for step in ("model", "data"):
        owner.show(step)
    mine = {name for widget in every_widget(owner.page.widget) for name in widget._dom_classes}
    assert {f"tbw-at-{name}" for name in absent} <= mine


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("checkpoints.mirror", "/tmp/elsewhere"),
        ("checkpoints.keep_last", 1000),
        ("tokenizer.file", "/etc/passwd"),
        ("hardware.backend", "kernel"),
        ("hardware.threads", 64),
        ("model.config", {"n_layer": 10_000}),
        ("tracking.tags", ["mine"]),
        ("training.steps", 10_000_000),
        ("training.batch_size", 60_000),
        ("data.context_length", 131_072),
    ],
)
def test_fields_that_are_not_a_visitors_are_refused_whatever_the_page_shows(visit, field, value):
    page = visit()
    page.draft.set(field, value)
    assert "shared page" in page.draft.errors[field]
    for refused in (page.start, page.preflight):
        with pytest.raises((PolicyError, RunError), match=r"shared page"):
            refused()
    assert not page.service.runs_dir.exists()


def test_what_the_operator_has_set_is_no_visitors_fault(visit, text_file, tiny):
    own = {
        "checkpoints.keep_last": 7,
        "training.steps": 50_000,
        "model.config": {"n_layer": 1, "n_embd": 16, "n_head": 2},
    }
    page = visit(tiny(own))
    assert page.draft.spec.data.source == str(text_file)
    assert not page.draft.errors
    assert page.start().status().visitor


def test_a_visitor_sees_and_steers_his_own_runs_only(visit, make_run, workers):
    operators = make_run(state="running")
    page = visit()
    assert page.watch.run is None
    assert operators.id not in shown(page.page.widget)
    own = page.start()
    assert page.watch.run.path == own.path
    other = visit(key=KEY[::-1])
    assert other.watch.run is None
    for name in (own.id, operators.id, own.id[-4:], str(operators.path), "latest", f"../{own.id}"):
        with pytest.raises(RunError, match="no run of yours"):
            other.open_run(name)
    # Who comes again in the same browser finds it again, and only the operator may see all.
    again = visit()
    assert again.watch.run.path == own.path
    again.stop()


def test_a_run_that_the_operator_shows_is_not_steered(listed, open_dashboard, make_run):  # noqa: F811
    run = make_run(state="paused")
    page = open_dashboard(run=run.id)
    for refused in (page.resume, page.stop, page.pause, page.save_now):
        with pytest.raises(PolicyError, match="is not your run"):
            refused()
    assert not [*run.control.folder.iterdir()]


def test_a_visitor_agrees_to_no_code(visit, make_run):
    page = visit()
    page.untrusted = make_run(state="stopped")
    with pytest.raises(PolicyError, match="visitors can't agree to run code"):
        page.trust_run()


def test_visitors_train_one_at_a_time_and_only_while_there_is_room(visit, monkeypatch):
    page = visit()
    run = page.start()
    with pytest.raises(PolicyError, match=r"Your run .* is still"):
        page.start()
    set_status(run, state="stopped")
    monkeypatch.setenv("TB_VISITORS_GB", "0.000001")
    for refused in (page.start, page.resume, visit(key="z" * 40).start):
        with pytest.raises(PolicyError, match=r"for visitors of this shared server \(1 kB\) is used up"):
            refused()
    monkeypatch.setenv("TB_VISITORS_GB", "much")
    with pytest.raises(ServiceError, match="TB_VISITORS_GB is 'much'"):
        page.start()


def test_ten_runs_may_wait_and_no_more(visit, make_run):
    for number in range(11):  # the first one's turn comes at once
        run = make_run()
        status = replace(read_status(run.status_file), queued_at=float(number + 1), visitor=str(number))
        write_status(run.status_file, status)
    with pytest.raises(PolicyError, match="10 runs are already queued"):
        visit().start()


def test_a_page_that_says_nothing_of_itself_or_too_little_sees_nothing(visit, listed, make_run, open_dashboard):  # noqa: F811
    make_run(state="done")
    for key in ("", "short"):
        page = visit(key=key)
        assert page.watch.run is None
        assert len(page.policy.visitor) == 32
    page = visit()
    page.page.heartbeat._handle_custom_msg({"type": "visitor", "key": KEY[::-1]}, [])
    assert page.policy.visitor == visit().policy.visitor  # said once, it stands


def test_a_visitor_does_not_jump_the_queue_and_leaves_no_choices_behind(visit, make_run, runs_dir):
    mine = visit(RunSpec())
    run = make_run(state="queued", queued_at=5.0, visitor=mine.policy.visitor)
    with pytest.raises(PolicyError, match="order of the queue"):
        mine.put_first(run)
    mine.draft.set("training.steps", "77")
    mine.on_beat("tick", False)
    assert not [*mine.service.runs_dir.glob(".page.json")]
    assert visit().draft.spec.training.steps != 77


def test_a_visitor_s_run_is_not_extended_beyond_what_a_visitor_may_start(visit, make_run):
    mine = visit(RunSpec())
    run = make_run({"training.steps": 15_000}, state="done", step=15_000, total=15_000, visitor=mine.policy.visitor)
    mine.open_run(run.id)
    with pytest.raises(PolicyError, match="at most 20,000"):
        mine.extend()
    assert run.status().state == "done"
