"""A session without a page: commands, what they say, and what has changed."""

from __future__ import annotations

import pytest

from tb_widgets.app.session import Session
from tb_widgets.errors import RunError

from .conftest import set_status


@pytest.fixture
def session(runs_dir, tiny):
    """A session whose form holds a tiny run; nothing shows it."""
    return Session(tiny(), runs_dir=runs_dir)


def test_a_run_is_started_saved_and_stopped_without_a_page(session):
    session.step = "runs"
    run = session.start()
    assert session.step == "train"
    assert session.watch.run.path == run.path

    set_status(run, state="running")
    session.refresh()
    session.save_now()
    assert session.work.asked(session.watch.run) == "save"
    session.stop()
    assert session.work.asked(session.watch.run) == "stop"

    set_status(run, state="stopped")
    session.refresh()
    assert session.work.asked(session.watch.run) == ""
    session.close()


def test_a_page_hears_of_each_message_and_step(session):
    heard = []
    session.observe(lambda change: heard.append(change["new"]), ("message", "step"))
    session.act(session.pause)
    session.act(lambda: session.show("data"))
    assert [getattr(item, "text", item) for item in heard] == ["No run is open.", None, "data"]


def test_a_command_that_a_script_gives_raises_and_says_nothing(session):
    with pytest.raises(RunError):
        session.pause()
    assert session.message is None


def test_a_change_shows_in_the_version_of_its_part_and_in_no_other(session, make_run):
    def changed(do):
        before = dict(session.versions)
        do()
        return {name for name, version in session.versions.items() if version != before[name]}

    session.refresh()
    assert changed(session.refresh) == set()
    assert changed(lambda: session.draft.set("training.steps", "7")) == {"draft"}
    assert changed(lambda: session.open_run(make_run(state="done").id)) == {"run", "runs"}
    assert changed(session.data.look_at_cache) == {"data"}
    assert changed(lambda: setattr(session, "has_page", True)) == {"page"}
