"""A stranger's panel, from a file outside the package, on the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from .page import DashboardPage
from .test_dashboard import tab

STRANGER = '''
import ipywidgets as widgets

from tb_widgets.app.parts.cards import card
from tb_widgets.app.registry import Panel, panel


@panel("weather", step="data", column="side", order=20)
class WeatherPanel(Panel):
    """How many steps the next run has, told by a stranger."""

    watches = ("draft",)

    def render(self):
        self._text = widgets.HTML()
        return card("Weather", [self._text])

    def draw(self):
        self._text.value = f"<p>The next run has {self.session.draft.spec.training.steps} steps.</p>"
'''


def test_it_stands_on_its_step_and_follows_the_form(
    open_dashboard: Callable[..., DashboardPage], tmp_path: Path
) -> None:
    (tmp_path / "weather_panel.py").write_text(STRANGER)
    source = (
        f"import os, sys\n\nsys.path.insert(0, {str(tmp_path)!r})\nos.environ['TB_PANELS'] = 'weather_panel'\n"
        "import tb_widgets\n\ntb_widgets.Dashboard()"
    )
    page = open_dashboard("voila", runs_dir=tmp_path / "runs", source=source).page
    steps = page.locator(".tbw-at-training-steps input")
    steps.fill("77")
    steps.press("Enter")
    tab(page, "Data").click()
    expect(page.get_by_role("heading", name="Weather")).to_be_visible()
    expect(page.get_by_text("The next run has 77 steps.")).to_be_visible()
