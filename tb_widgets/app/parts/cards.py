"""Cards: one idea each."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from tb_widgets.app.parts import widgets
from tb_widgets.app.words import heading


def card(title: str, children: list[widgets.Widget], *, aside: str = "") -> widgets.VBox:
    """Return a card with a heading."""
    box = widgets.VBox([widgets.HTML(heading(title, aside)), *children])
    box.add_class("tbw-card")
    return box


def row(children: list[widgets.Widget], *classes: str) -> widgets.Box:
    """Return widgets beside each other, wrapping where there is no room."""
    box = widgets.Box(children)
    for name in ("tbw-row", *classes):
        box.add_class(name)
    return box


def framed(*children: widgets.Widget) -> widgets.Box:
    """Return the frame of an input, with its unit beside it."""
    box = widgets.Box(children)
    box.add_class("tbw-input")
    return box


def labelled(label: str, *children: widgets.Widget, hidden: bool = False) -> widgets.VBox:
    """Return inputs below the words that say what they are; ``hidden`` words are only read aloud."""
    kind = "tbw-label tbw-unseen" if hidden else "tbw-label"
    box = widgets.VBox([widgets.HTML(f'<span class="{kind}">{escape(label)}</span>'), *children])
    box.add_class("tbw-field")
    return box


def button(label: str, on_click: Callable[[], None], *classes: str, tooltip: str = "") -> widgets.Button:
    """Return a button. ``on_click`` runs without arguments."""
    made = widgets.Button(description=label, tooltip=tooltip or label)
    for name in classes:
        made.add_class(name)
    made.on_click(lambda _: on_click())
    return made


def fold(label: str, opened: str, on_change: Callable[[bool], None]) -> widgets.ToggleButton:
    """Return a button that shows and hides something; its label says what the next press does."""
    made = widgets.ToggleButton(description=label, tooltip="")

    def changed(change: dict[str, Any]) -> None:
        made.description = opened if change["new"] else label
        on_change(change["new"])

    made.observe(changed, "value")
    return made


def close(widget: widgets.Widget) -> None:
    """Close a widget after everything in it: closing a box alone leaves its children to the kernel for ever."""
    for child in getattr(widget, "children", ()):
        close(child)
    widget.close()


def show(widget: widgets.Widget, visible: bool) -> None:
    """Show or hide a widget without moving it out of the page."""
    (widget.remove_class if visible else widget.add_class)("tbw-hidden")
