"""The page: title, steps, run bar, message, and the cards of the chosen step."""

from __future__ import annotations

import os
from html import escape
from typing import TYPE_CHECKING

import ipywidgets as widgets
import psutil

from tb_widgets.app import words
from tb_widgets.app.assets import read_asset
from tb_widgets.app.panels.check.checks import summary
from tb_widgets.app.parts.cards import button, card, row, show
from tb_widgets.app.parts.heartbeat import Heartbeat
from tb_widgets.app.parts.run_bar import RunBar
from tb_widgets.app.parts.run_consent import RunConsent
from tb_widgets.app.parts.step_bar import StepBar
from tb_widgets.app.registry import STEPS, Panel, panels_of

if TYPE_CHECKING:
    from tb_widgets.app.dashboard import Dashboard

WAITING = {"fetching": "being fetched …", "asking": "waits for your consent", "trying": "being tried …"}
TOKENS = ("data", "tokenizer")


class PageView:
    """Everything that can be seen, put together once and brought up to date on every beat.

    Parameters
    ----------
    dashboard
        Whose models are shown, and whose methods the buttons call.
    step
        The step that is shown first.
    """

    def __init__(self, dashboard: Dashboard, step: str) -> None:
        self._dashboard = dashboard
        self.step = step
        self.panels: dict[str, list[Panel]] = {}
        self.boxes: dict[str, widgets.Box] = {}
        style = widgets.HTML(f"<style>{read_asset('theme.css')}</style>")
        style.add_class("tbw-silent")
        policy = dashboard.policy
        self.heartbeat = Heartbeat(
            dashboard.on_beat, dashboard.on_address, on_visitor=None if policy.is_owner else policy.meet
        )
        self._title = widgets.HTML()
        self._machine = widgets.HTML()
        self._machine.add_class("tbw-right")
        toggle = button("Show the code", lambda: dashboard.act(self.toggle_code), tooltip="The Python behind Start")
        self.steps = StepBar(selected=step)
        self.steps.observe(self._chosen, "selected")
        self.bar = RunBar(dashboard)
        self.message = widgets.HTML()
        self._consent = RunConsent(dashboard)
        self._code = widgets.HTML()
        self._code_card = card("The code of this run", [self._code])
        self._code_is_open = False
        show(self._code_card, False)
        self._body = widgets.VBox()
        self._body.add_class("tbw-column")
        top = row([self._title, self._machine, toggle], "tbw-top")
        app = widgets.VBox(
            [top, self.steps, self.bar.widget, self.message, self._consent.widget, self._code_card, self._body]
        )
        app.add_class("tbw-app")
        self.widget = widgets.VBox([style, self.heartbeat, app])
        self.widget.add_class("tbw")
        self.say("")

    def say(self, html: str) -> None:
        """Show a message below the run bar; an empty one takes it away."""
        self.message.value = html
        show(self.message, bool(html))

    def show_step(self, step: str) -> None:
        """Show the cards of a step, which are built at its first visit."""
        self.step = step
        if self.steps.selected != step:
            self.steps.selected = step
        if step not in self.panels:
            self._build_step(step)
        for name, box in self.boxes.items():
            show(box, name == step)

    def toggle_code(self) -> None:
        """Show or hide the code of what Start does."""
        self._code_is_open = not self._code_is_open
        show(self._code_card, self._code_is_open)

    def refresh(self) -> None:
        """Show what has changed."""
        self.bar.refresh()
        self._consent.refresh()
        for panel in self.panels.get(self.step, []):
            panel.refresh()
        watch = self._dashboard.watch
        name = watch.run.id if watch.run else "no run open"
        brand = '<span class="tbw-brand">Transformer Builder</span>'
        self._title.value = f'{brand}<span class="tbw-muted">{escape(name)}</span>'
        memory = psutil.virtual_memory()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        free = f"{memory.available / 1e9:.0f} GB free of {memory.total / 1e9:.0f}"
        self._machine.value = words.chip(f"{cores} cores · {free}")
        if self._code_is_open:
            self._code.value = f'<pre class="tbw-text">{escape(self._dashboard.code())}</pre>'
        self.steps.steps = [
            {"id": step, "title": title, **dict(zip(("summary", "mark"), self._summary(step), strict=True))}
            for step, title in STEPS.items()
        ]

    def close(self) -> None:
        """Take everything off the page; what is drawn by it answers no more."""
        _close(self.widget)

    def _chosen(self, change: dict[str, str]) -> None:
        if change["new"] != self.step:  # else it was us who chose it, and no click, which would clear the message
            self._dashboard.act(lambda: self._dashboard.show(change["new"]))

    def _build_step(self, step: str) -> None:
        panels: list[Panel] = []
        columns: dict[str, list[widgets.Widget]] = {"main": [], "side": []}
        for entry in panels_of(step, for_visitor=not self._dashboard.policy.is_owner):
            panel = entry.make(self._dashboard)
            columns[entry.column].append(panel.render())
            panels.append(panel)
        boxes = []
        for children in filter(None, columns.values()):
            column = widgets.VBox(children)
            column.add_class("tbw-column")
            boxes.append(column)
        box = widgets.Box(boxes)
        box.add_class("tbw-step")
        if len(boxes) == 1:
            box.add_class("is-one")
        self.boxes[step] = box
        self.panels[step] = panels
        self._body.children = tuple(self.boxes.values())

    def _summary(self, step: str) -> tuple[str, str]:
        """Return a step's state in one line, and its mark: ticked off, in need of a look, or neither."""
        draft = self._dashboard.draft
        wrong = {path.split(".")[0] for path in draft.errors}
        if step == "model":
            return self._chosen_model("model" in wrong)
        if step == "check":
            return self._checked()
        if step == "data":
            return self._chosen_data(bool(wrong & {*TOKENS}))
        if step == "train":
            return self._trained(wrong)
        return "open, resume, generate", ""

    def _chosen_data(self, wrong: bool) -> tuple[str, str]:
        data = self._dashboard.data
        if data.wanted is not None and data.wanted.job is not None:
            return "on its way …", ""
        text = words.short_source(self._dashboard.draft.spec.data.source) or "choose a text"
        if data.look is not None and data.look.preview is not None and data.look.preview.tokens:
            text += f" · {words.short_count(data.look.preview.tokens)} tokens"
        if wrong:
            return text, "!"
        return (f"▲ {text}", "") if data.warnings else (text, "✓")

    def _chosen_model(self, wrong: bool) -> tuple[str, str]:
        choice, model = self._dashboard.choice, self._dashboard.draft.model
        if choice.state in WAITING:
            return WAITING[choice.state], ""
        if choice.state == "failed" or model is None:
            return "needs a look" if choice.state == "failed" else "choose a model", "!"
        count = choice.answer.get("parameters", model.parameters)
        parameters = f" · {words.short_count(count)} parameters" if count else ""
        return f"{model.title}{parameters}", "!" if wrong else "✓"

    def _trained(self, wrong: set[str]) -> tuple[str, str]:
        status = self._dashboard.watch.status
        if status is not None and (status.is_active or not wrong):
            share = 100 * status.step / max(1, status.total)
            return f"{status.state} · {share:.0f} %", {"done": "✓", "failed": "!"}.get(status.state, "")
        if wrong:
            return "needs a look" if wrong - {"model", *TOKENS} else "waits for the steps before", ""
        return "ready", ""

    def _checked(self) -> tuple[str, str]:
        probe = self._dashboard.choice.checks
        if probe is None:
            return "not checked yet", ""
        if probe.state == "working":
            return "checking …", ""
        text, tone = summary(probe.results) if probe.state == "done" else (probe.state, "bad")
        return text, {"ok": "✓", "warn": "✓"}.get(tone, "!")


def _close(widget: widgets.Widget) -> None:
    """Close a widget after everything in it: closing a box alone leaves its children to the kernel for ever."""
    for child in getattr(widget, "children", ()):
        _close(child)
    widget.close()
