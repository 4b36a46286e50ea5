"""Widgets without looks of their own: theme.css holds them all, so they share one Layout and one style a kind.

Each widget would otherwise bring two more models, that the page has to set up before it shows anything.
"""

from __future__ import annotations

from typing import Any

import ipywidgets
from ipywidgets import Widget
from traitlets import HasTraits, default

__all__ = [
    "HTML",
    "Bare",
    "Box",
    "Button",
    "Checkbox",
    "Dropdown",
    "Text",
    "Textarea",
    "ToggleButton",
    "VBox",
    "Widget",
]

_shared: dict[type[Widget], Widget] = {}


class Bare(HasTraits):
    """Lets a widget share its layout and style with the others of its kernel."""

    @default("layout")
    def _layout(self) -> Widget:
        return _one(ipywidgets.Layout)

    @default("style")
    def _style(self) -> Widget:
        style: Any = self.traits()["style"]
        return _one(style.klass)


def _one(kind: type[Widget]) -> Widget:
    made = _shared.get(kind)
    if made is None or made.comm is None:  # closed, by Widget.close_all()
        made = _shared[kind] = kind()
    return made


class HTML(Bare, ipywidgets.HTML):  # type: ignore[misc]
    """HTML."""


class Button(Bare, ipywidgets.Button):  # type: ignore[misc]
    """A button."""


class ToggleButton(Bare, ipywidgets.ToggleButton):  # type: ignore[misc]
    """A button that stays down."""


class Checkbox(Bare, ipywidgets.Checkbox):  # type: ignore[misc]
    """A box to tick."""


class Text(Bare, ipywidgets.Text):  # type: ignore[misc]
    """One line of text."""


class Textarea(Bare, ipywidgets.Textarea):  # type: ignore[misc]
    """Several lines of text."""


class Dropdown(Bare, ipywidgets.Dropdown):  # type: ignore[misc]
    """A menu."""


class Box(Bare, ipywidgets.Box):  # type: ignore[misc]
    """Widgets in a row."""


class VBox(Bare, ipywidgets.VBox):  # type: ignore[misc]
    """Widgets in a column."""
