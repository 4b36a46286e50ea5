"""The Runs step: every run of the folder, whoever started it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from tb_widgets.app import words
from tb_widgets.app.parts.cards import button, card, close, row, show
from tb_widgets.app.parts.choice_table import ChoiceTable
from tb_widgets.app.registry import Panel, panel
from tb_widgets.app.state.draft import Draft, as_typed
from tb_widgets.display.run_words import best_in_words
from tb_widgets.errors import SpecError
from tb_widgets.runs import RunEntry
from tb_widgets.spec import PRESETS, FieldCard, RunSpec, task_record
from tb_widgets.spec.metrics import METRICS
from tb_widgets.wording import duration, run_name

if TYPE_CHECKING:
    from tb_widgets.app.session import Session

_SHOWN = 50
_TONES = {"done": "is-ok", "failed": "is-bad", "interrupted": "is-warn", "stopped": "", "queued": ""}


@panel("runs", step="runs", column="main", order=1)
class RunsPanel(Panel):
    """A table of the newest runs; choosing one opens it everywhere on the page."""

    def render(self) -> widgets.Widget:
        """Build the card."""
        columns = ["run", "state", "best val loss", "steps", "learning rate", "data", "started"]
        self._table = ChoiceTable(columns=columns, label="Runs")
        self._table.observe(self._chosen, "selected")
        self._about = widgets.HTML()
        made = card("Runs", [self._about, self._table])
        self._heading = made.children[0]
        return made

    def _chosen(self, change: dict[str, Any]) -> None:
        run = self.session.watch.run
        if change["new"] and (run is None or change["new"] != run.id):
            self.act(lambda: self.session.open_run(change["new"]))

    def draw(self) -> None:
        """List the runs."""
        session = self.session
        policy = session.policy
        entries = [entry for entry in session.work.runs.entries if policy.may_see(entry.status)]
        self._heading.value = words.heading("Runs", str(session.service.runs_dir) if policy.is_owner else "yours")
        hidden = len(entries) - _SHOWN
        about = "No runs yet. The first one appears here as soon as you press Start." if not entries else ""
        about = f"The newest {_SHOWN} of {len(entries):,} runs." if hidden > 0 else about
        self._about.value = f'<span class="tbw-muted">{about}</span>' if about else ""
        show(self._about, bool(about))
        show(self._table, bool(entries))
        self._table.rows = [_line(entry) for entry in entries[:_SHOWN]]
        self._table.selected = session.watch.run.id if session.watch.run else ""


def _line(entry: RunEntry) -> dict[str, Any]:
    status = entry.status
    try:
        rate = f"{entry.run.spec.training.learning_rate:g}"
    except SpecError:
        rate = "–"  # the run itself says what is wrong with its spec, once it is opened
    cells: list[Any] = [
        run_name(entry.run.id, status.name),
        {"text": "", "chip": status.state, "tone": "is-on" if status.is_active else _TONES[status.state]},
        best_in_words(status.best) if status.best else "–",
        f"{status.step:,} / {status.total:,}" if status.step != status.total else f"{status.total:,}",
        rate,
        status.data if len(status.data) < 28 else "…" + status.data[-27:],
        "–" if status.is_waiting else words.ago(status.created),
    ]
    return {"key": entry.run.id, "cells": cells}


@panel("queue", step="runs", column="side", order=1)
class QueuePanel(Panel):
    """The runs that wait, in their order."""

    watches = ("runs",)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._shown: list[str] = []

    def render(self) -> widgets.Widget:
        """Build the card, which is hidden while nothing waits."""
        self._rows = widgets.VBox()
        self._card = card("Queue", [self._rows])
        return self._card

    def draw(self) -> None:
        """List what waits."""
        waiting = self.session.work.waiting
        show(self._card, bool(waiting))
        ids = [entry.run.id for entry in waiting]
        if ids != self._shown:
            for old in self._rows.children:
                close(old)
            self._rows.children = [self._row(place, entry) for place, entry in enumerate(waiting, 1)]
            self._shown = ids

    def _row(self, place: int, entry: RunEntry) -> widgets.Widget:
        name = run_name(entry.run.id, entry.status.name)
        first = button("Move to front", lambda: self.act(lambda: self.session.put_first(entry.run)), "tbw-quiet")
        out = button("Take out", lambda: self.act(lambda: self.session.stop(entry.run)), "tbw-quiet", "tbw-at-take-out")
        show(first, place > 1 and self.session.policy.is_owner)
        about = escape(f"{entry.status.total:,} steps on {entry.status.data}")
        told = f'{place}. {escape(name)} <span class="tbw-muted">{about}</span>'
        return row([widgets.HTML(f"<span>{told}</span>"), row([first, out])], "tbw-top")


@panel("run-details", step="runs", column="side", order=2)
class RunDetailsPanel(Panel):
    """What the opened run was, and what can be done with it."""

    watches = ("run",)

    def render(self) -> widgets.Widget:
        """Build the card."""
        session = self.session
        self._facts = widgets.HTML()
        self._curves = button("Show its curves", lambda: self.act(lambda: session.show("train")))
        self._resume = button("Resume", lambda: self.act(session.resume), "tbw-at-resume-opened")
        self._buttons = row([self._curves, self._resume])
        return card("This run", [self._facts, self._buttons])

    def draw(self) -> None:
        """Describe the opened run."""
        watch = self.session.watch
        show(self._buttons, watch.run is not None)
        status = watch.status
        if watch.run is None or status is None:
            self._facts.value = '<span class="tbw-muted">Choose a run in the table.</span>'
            return
        show(self._resume, status.state in ("stopped", "interrupted") and self.session.work.first is not None)
        metrics = status.metrics or {}
        pairs = [
            ("Run", watch.run.id),
            (
                "Model",
                f"{status.model}, {words.short_count(status.parameters)} parameters"
                if status.parameters
                else status.model,
            ),
            ("Data", status.data),
            ("Step", f"{status.step:,} of {status.total:,}"),
            *(
                (f"Validation {metric.title.lower()}", metric.written(metrics[metric.key]))
                for metric in METRICS.values()
                if metric.key in metrics
            ),
            ("Training time", duration(status.elapsed)),
            (
                "Device",
                f"{status.device}, {status.threads} thread{'s' * (status.threads != 1)}"
                if status.threads
                else status.device or "–",
            ),
        ]
        problem = words.note(status.message, "bad", detail=status.hint) if status.message else ""
        self._facts.value = words.facts(pairs) + problem


@panel("run-settings", step="runs", column="side", order=3)
class RunSettingsPanel(Panel):
    """The settings of the opened run, which never change; those that are not the usual ones stand out."""

    watches = ("run",)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._shown = ""

    def render(self) -> widgets.Widget:
        """Build the card."""
        self._text = widgets.HTML()
        self._again = button(
            "Use them for the next run",
            lambda: self.act(self.session.use_settings_of_run),
            "tbw-at-use-settings",
            tooltip="Fill the form with this run's settings",
        )
        self._code_open = widgets.ToggleButton(description="Show its code")
        self._code_open.add_class("tbw-at-run-code")
        self._code_open.observe(lambda change: self.act(lambda: self._show_code(change["new"])), "value")
        self._code = widgets.HTML()
        self._card = card("Settings of this run", [self._text, row([self._again, self._code_open]), self._code])
        return self._card

    def _show_code(self, visible: bool) -> None:
        self._code_open.description = "Hide its code" if visible else "Show its code"
        run = self.session.watch.run
        if not visible or run is None:
            self._code.value = ""
            return
        draft = Draft(run.spec, self.session.policy)
        self._code.value = words.copied(f"# Python\n{draft.code()}\n\n# Terminal\n{draft.command()}")

    def draw(self) -> None:
        """List the settings."""
        run = self.session.watch.run
        show(self._card, run is not None)
        if run is None:
            return
        if run.id != self._shown:
            self._shown = run.id
            self._code_open.value = False  # it was opened for another run
        try:
            spec = run.spec
        except SpecError as error:
            self._text.value = words.error_note(error)
            return
        title, base = min(
            ((each.title, each.spec()) for each in PRESETS.values()), key=lambda pair: len(spec.differences(pair[1]))
        )
        changed = spec.differences(base)
        hidden = {"schema_version"} | _without_meaning(spec, self.session.watch.task)
        cards = {each.path: each for each in RunSpec.field_cards() if each.path not in hidden}
        shown = [path for path, each in cards.items() if path in changed or each.level == "basic"]
        rows = "".join(
            f"<dt>{escape(cards[path].title)}</dt><dd>{_value(cards[path], spec, bold=path in changed)}</dd>"
            for path in shown
        )
        self._text.value = (
            f'<dl class="tbw-facts-list">{rows}</dl><div class="tbw-help">Bold: not as in “{escape(title)}”.</div>'
        )


def _without_meaning(spec: RunSpec, task: str) -> set[str]:
    """Return the settings that play no part in a run."""
    hidden = set() if spec.tokenizer.kind in ("bpe", "unigram") else {"tokenizer.vocab_size"}
    if task_record(task).reads_images:
        hidden |= {path for path in spec.flat() if path.startswith("tokenizer.")} | {"data.context_length"}
    return hidden


def _value(field: FieldCard, spec: RunSpec, *, bold: bool) -> str:
    text = escape(words.without_upload_folder(as_typed(field, spec.flat()[field.path]))) or "–"
    unit = f" {escape(field.unit)}" if field.unit and text != "–" else ""
    return f"<b>{text}</b>{unit}" if bold else f"{text}{unit}"
