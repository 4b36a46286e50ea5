"""The Runs step: every run of the folder, whoever started it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tb_widgets.app import words
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import button, card, row, show
from tb_widgets.app.parts.choice_table import ChoiceTable
from tb_widgets.app.registry import Panel, panel
from tb_widgets.app.state.fields import CARDS, in_words
from tb_widgets.display.run_words import best_in_words, training_in_words
from tb_widgets.errors import SpecError
from tb_widgets.runs import RunDirectory, RunEntry, Status
from tb_widgets.spec.metrics import METRICS
from tb_widgets.wording import duration, run_name

if TYPE_CHECKING:
    pass

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
        spec = entry.run.spec
        rate, data = f"{spec.training.learning_rate:g}", words.data_title(spec.data)
    except SpecError:
        rate, data = (
            "–",
            words.short_source(status.data),
        )  # the run itself says what is wrong with its spec, once it is opened
    cells: list[Any] = [
        run_name(entry.run.id, status.name),
        {"text": "", "chip": status.state, "tone": "is-on" if status.is_active else _TONES[status.state]},
        best_in_words(status.best) if status.best else "–",
        f"{status.step:,} / {status.total:,}" if status.step != status.total else f"{status.total:,}",
        rate,
        data,
        "–" if status.is_waiting else words.ago(status.created),
    ]
    return {"key": entry.run.id, "cells": cells}


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
            ("Data", _data(watch.run, status)),
            ("Step", f"{status.step:,} of {status.total:,}"),
            *(
                (f"Validation {metric.name}", metric.written(metrics[metric.key]))
                for metric in METRICS.values()
                if metric.key in metrics
            ),
            *training_in_words(metrics),
            ("Training time", duration(status.elapsed)),
            (
                "Device",
                f"{status.device}, {status.threads} thread{'s' * (status.threads != 1)}"
                if status.threads
                else status.device or "–",
            ),
            *([("Processes", status.ranks)] if status.ranks else []),
        ]
        tone = "bad" if status.state == "failed" else "on" if status.state == "done" else "warn"
        told = words.note(status.message, tone, detail=status.hint) if status.message else ""
        self._facts.value = words.facts(pairs) + told


def _data(run: RunDirectory, status: Status) -> str:
    """Return what the data are called, or where they are."""
    try:
        return in_words(CARDS["data.source"], run.spec.data.source)
    except SpecError:
        return status.data
