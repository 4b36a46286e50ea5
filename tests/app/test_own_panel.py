"""A panel that somebody writes in one file of their own, outside the package."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from tb_widgets.app import registry
from tb_widgets.app.dashboard import Dashboard
from tb_widgets.errors import ServiceError

from .conftest import at, shown

PANEL = '''
import ipywidgets as widgets

from tb_widgets.app.registry import Panel, panel


@panel("budget", step="train", column="side", order=20)
class Budget(Panel):
    """What the run would cost."""

    watches = ("draft",)

    def render(self):
        self.drawn = 0
        self.text = widgets.HTML()
        self.halve = widgets.Button(description="Halve it")
        self.halve.add_class("tbw-at-halve")
        self.halve.on_click(lambda _: self.act(self.press))
        return widgets.VBox([self.text, self.halve])

    def press(self):
        self.session.draft.set("training.steps", self.session.draft.spec.training.steps // 2)

    def draw(self):
        self.drawn += 1
        self.text.value = f"{self.session.draft.spec.training.steps} steps to pay for, drawn {self.drawn} times"
'''


@pytest.fixture
def own_panel(monkeypatch, tmp_path):
    """The name of the module that holds it."""
    registry.find_panels()  # ours are registered once, and not in the copy that goes
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    (tmp_path / "my_budget.py").write_text(PANEL)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_budget"
    sys.modules.pop("my_budget", None)


@pytest.fixture(params=["environment", "entry point"])
def named(request, own_panel, monkeypatch):
    """That module, named in one of the two ways."""
    if request.param == "environment":
        monkeypatch.setenv("TB_PANELS", f" {own_panel},")
    else:
        found = EntryPoint("budget", f"{own_panel}:Budget", "tb_widgets.panels")
        monkeypatch.setattr(registry, "entry_points", lambda *, group: [found] if group == found.group else [])


def test_it_stands_on_the_page_follows_the_form_and_its_button_works(named, tiny, runs_dir):
    dashboard = Dashboard(tiny({"training.steps": 40}), runs_dir=runs_dir)
    for _ in range(3):
        dashboard.refresh()
    assert "40 steps to pay for, drawn 1 times" in shown(dashboard.page.widget)

    at(dashboard.page.widget, "halve").click()

    assert "20 steps to pay for, drawn 2 times" in shown(dashboard.page.widget)


def test_one_that_fails_keeps_no_other_panel_from_being_drawn(own_panel, monkeypatch, tiny, runs_dir, caplog):
    monkeypatch.setenv("TB_PANELS", own_panel)
    dashboard = Dashboard(tiny({"training.steps": 40}), runs_dir=runs_dir)
    broken = next(panel for panel in dashboard.page.panels["train"] if hasattr(panel, "halve"))
    with monkeypatch.context() as patch:
        patch.setattr(broken, "draw", lambda: 1 / 0)
        for steps in ("30", "20"):
            dashboard.act(lambda steps=steps: dashboard.draft.set("training.steps", steps))
            assert at(dashboard.page.widget, "training-steps").value == steps
            assert "could not be brought up to date" in shown(dashboard.page.widget)
    assert caplog.text.count("Traceback") == 1

    dashboard.bring_up_to_date()
    assert "20 steps to pay for" in shown(dashboard.page.widget)
    assert dashboard.message is None


def test_a_module_that_can_not_be_imported_is_named(monkeypatch, tmp_path):
    (tmp_path / "broken_panel.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TB_PANELS", "broken_panel")
    with pytest.raises(ServiceError, match=r"TB_PANELS names the module broken_panel.*ZeroDivisionError"):
        registry.find_panels()


def test_a_cell_that_runs_again_replaces_its_panel(own_panel, monkeypatch):
    for _ in range(2):
        sys.modules.pop(own_panel, None)
        registry._import(own_panel, "a cell")
    assert [entry.name for entry in registry.panels_of("train")].count("budget") == 1
