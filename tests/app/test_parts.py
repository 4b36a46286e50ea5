"""The heartbeat, and which panels may stand on the page."""

from __future__ import annotations

import pytest

from tb_widgets.app import registry
from tb_widgets.app.parts.entry import Entry
from tb_widgets.app.parts.heartbeat import Heartbeat
from tb_widgets.app.registry import panel, panels_of
from tb_widgets.app.steps import STEPS


@pytest.fixture
def beating(monkeypatch):
    """A heartbeat, what it was asked, and what it answered."""
    asked, answered = [], []

    def answer(*beat):
        asked.append(beat)
        return 700

    heart = Heartbeat(answer)
    monkeypatch.setattr(heart, "send", answered.append)
    return heart, asked, answered


def test_a_beat_is_answered_inside_its_message(beating):
    heart, asked, answered = beating
    heart._handle_custom_msg({"type": "ready"}, [])
    heart._handle_custom_msg({"type": "tick", "figure": True, "narrow": True}, [])
    assert asked == [("ready", False, None), ("tick", True, True)]
    assert answered == [{"type": "tock", "wait": 700}] * 2


@pytest.mark.parametrize("message", [{}, {"type": "other"}, {"type": None}])
def test_other_messages_are_not_answered(beating, message):
    heart, asked, answered = beating
    heart._handle_custom_msg(message, [])
    assert (asked, answered) == ([], [])


def test_an_entered_line_is_the_one_of_its_message():
    entered, pasted = [], []
    line = Entry("somewhere", "Load", "An address", entered.append, pasted.append)
    line._handle_custom_msg({"event": "enter", "text": "zoo:gpt"}, [])
    line._handle_custom_msg({"event": "paste", "text": "zoo:"}, [])
    for nonsense in ({}, {"event": "enter"}, {"event": "enter", "text": 3}, {"event": "close", "text": "x"}):
        line._handle_custom_msg(nonsense, [])
    assert (entered, pasted, line.text) == (["zoo:gpt"], ["zoo:"], "zoo:")


@pytest.fixture
def entries(monkeypatch):
    """A registry of the test's own."""
    monkeypatch.setattr(registry, "_entries", {})


def test_panels_come_in_their_order(entries):
    @panel("second", step="train", column="side", order=2)
    class Second: ...

    @panel("first", step="train", column="main", order=1)
    class First: ...

    @panel("elsewhere", step="runs", column="main", order=0)
    class Elsewhere: ...

    assert [entry.make for entry in panels_of("train")] == [First, Second]


def test_a_name_is_taken_once(entries):
    panel("live", step="train", column="main", order=1)(int)
    with pytest.raises(ValueError, match=r"already a panel 'live': builtins\.int"):
        panel("live", step="runs", column="main", order=1)(str)
    assert panels_of("runs") == []


def test_a_step_must_exist(entries):
    with pytest.raises(ValueError, match=f"no step 'tuning'; there are {', '.join(STEPS)}"):
        panel("tune", step="tuning", column="main", order=1)(int)
    assert all(panels_of(step) == [] for step in [*STEPS, "tuning"])
