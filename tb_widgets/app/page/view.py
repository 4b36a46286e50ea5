"""The page: title, steps, run bar, message, and the cards of the chosen step."""

from __future__ import annotations

import os
from collections.abc import Callable
from html import escape
from typing import Any

import psutil

from tb_widgets.app import words
from tb_widgets.app.assets import read_asset
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import button, card, close, row, show
from tb_widgets.app.parts.form import place_of
from tb_widgets.app.parts.heartbeat import Heartbeat
from tb_widgets.app.parts.run_bar import RunBar
from tb_widgets.app.parts.run_consent import RunConsent
from tb_widgets.app.parts.step_bar import StepBar
from tb_widgets.app.registry import Panel, panels_of
from tb_widgets.app.session import Session
from tb_widgets.app.steps import STEPS
from tb_widgets.wording import size_in_words

# Where these are typed: they have a card of their own.
PLACES = {"model.source": "model-address", "playground": "prompt"}


class PageView:
    """Everything that can be seen, put together once and brought up to date on every beat.

    Parameters
    ----------
    session
        What is shown, and whose methods the buttons call.
    heartbeat
        Ticks in the page.
    """

    def __init__(self, session: Session, heartbeat: Heartbeat) -> None:
        self._session = session
        self.heartbeat = heartbeat
        self.panels: dict[str, list[Panel]] = {}
        self.boxes: dict[str, widgets.Box] = {}
        style = widgets.HTML(f"<style>{read_asset('theme.css')}</style>")
        style.add_class("tbw-silent")
        self._title = widgets.HTML()
        self._machine = widgets.HTML()
        self._machine.add_class("tbw-right")
        self._toggle = button("Show the code", lambda: session.act(self.toggle_code), tooltip="The Python behind Start")
        self.steps = StepBar(selected=session.step)
        self.steps.observe(self._chosen, "selected")
        self.bar = RunBar(session)
        self.message = widgets.HTML()
        self._consent = RunConsent(session)
        self._code = widgets.HTML()
        self._code_card = card("The code of the next run", [self._code])
        self._code_is_open = False
        show(self._code_card, False)
        self._body = widgets.VBox()
        self._body.add_class("tbw-column")
        top = row([self._title, self._machine, self._toggle], "tbw-top")
        app = widgets.VBox(
            [top, self.steps, self.bar.widget, self.message, self._consent.widget, self._code_card, self._body]
        )
        app.add_class("tbw-app")
        self.widget = widgets.VBox([style, self.heartbeat, app])
        self.widget.add_class("tbw")
        session.observe(self._follow, ("message", "step", "field"))
        self._say(session.message)
        self._show_step(session.step)

    def _follow(self, change: dict[str, Any]) -> None:
        follow: dict[str, Callable[[Any], None]] = {
            "message": self._say,
            "step": self._show_step,
            "field": self._show_field,
        }
        follow[change["name"]](change["new"])

    def _show_field(self, path: str) -> None:
        """Let the page go to a field, once."""
        if path:
            size = self._session.draft.wrong_size if path == "model.config" else ""
            self.heartbeat.show_field(f"size-{place_of(size)}" if size else PLACES.get(path) or place_of(path))
            self._session.field = ""

    def _say(self, message: words.Message | None) -> None:
        """Show a message below the run bar, or take it away."""
        self.message.value = message.html if message is not None else ""
        show(self.message, message is not None)

    def _show_step(self, step: str) -> None:
        """Show the cards of a step, which are built at its first visit."""
        if self.steps.selected != step:
            self.steps.selected = step
        if step not in self.panels:
            self._build_step(step)
        for name, box in self.boxes.items():
            show(box, name == step)
        self.heartbeat.show_top()

    def toggle_code(self) -> None:
        """Show or hide the code of what Start does."""
        self._code_is_open = not self._code_is_open
        self._toggle.description = "Hide the code" if self._code_is_open else "Show the code"
        show(self._code_card, self._code_is_open)

    def refresh(self) -> None:
        """Show what has changed.

        A panel that can't be drawn keeps no other from that; its error is raised at the end.
        """
        self.bar.refresh()
        self._consent.refresh()
        failures = []
        for panel in self.panels[self._session.step]:
            try:
                panel.refresh()
            except Exception as error:  # noqa: BLE001 - it is raised below, once the other panels have been drawn
                failures.append(error)
        name = self._session.watch.name or "no run open"
        brand = '<h1 class="tbw-brand">Transformer Builder</h1>'
        self._title.value = f'{brand}<span class="tbw-muted">{escape(name)}</span>'
        memory = psutil.virtual_memory()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        free = f"{size_in_words(memory.available)} free of {size_in_words(memory.total)}"
        self._machine.value = words.chip(f"{cores} cores · {free}")
        if self._code_is_open:
            self._code.value = words.copied(self._session.code())
        lines = {name: step.line(self._session) for name, step in STEPS.items()}
        self.steps.steps = [
            {"id": name, "title": STEPS[name].title, "summary": line, "mark": mark}
            for name, (line, mark) in lines.items()
        ]
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise RuntimeError("; ".join(map(repr, failures))) from failures[0]

    def close(self) -> None:
        """Take everything off the page; what is drawn by it answers no more."""
        self._session.unobserve(self._follow, ("message", "step", "field"))
        close(self.widget)

    def _chosen(self, change: dict[str, str]) -> None:
        session = self._session
        if change["new"] != session.step:  # else it was us who chose it, and no click, which would clear the message
            session.act(lambda: session.show(change["new"]))

    def _build_step(self, step: str) -> None:
        panels: list[Panel] = []
        columns: dict[str, list[widgets.Widget]] = {"main": [], "side": []}
        for entry in panels_of(step, for_visitor=not self._session.policy.is_owner):
            panel = entry.make(self._session)
            columns[entry.column].append(panel.render())
            panels.append(panel)
        boxes = []
        for children in filter(None, columns.values()):
            column = widgets.VBox(children)
            column.add_class("tbw-column")
            boxes.append(column)
        box = widgets.Box(boxes)
        box.add_class("tbw-step")
        box.add_class(f"tbw-of-{step}")
        if len(boxes) == 1:
            box.add_class("is-one")
        self.boxes[step] = box
        self.panels[step] = panels
        self._body.children = tuple(self.boxes.values())
