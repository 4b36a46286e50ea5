"""Widgets that share what never differs."""

from __future__ import annotations

from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.step_bar import StepBar

from .conftest import every_widget


def test_looks_are_shared_by_all_of_a_kind():
    ours = [widgets.HTML("a"), widgets.HTML("b"), widgets.VBox(), widgets.Button(), StepBar()]

    assert len({id(widget.layout) for widget in ours}) == 1
    assert ours[0].style is ours[1].style


def test_no_widget_of_the_page_has_a_layout_of_its_own(dashboard):
    assert len({id(widget.layout) for widget in every_widget(dashboard.page.widget)}) == 1


def test_looks_that_were_closed_are_made_anew():
    widgets.HTML().layout.close()

    assert widgets.HTML().layout.comm is not None
