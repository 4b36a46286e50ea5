"""The run bar: in sight on every step, it says what goes on and holds the one next thing to press."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from tb_widgets.app import words
from tb_widgets.app.parts.cards import button, row, show
from tb_widgets.app.parts.fitted import fitted_line
from tb_widgets.display.run_words import speed_in_words
from tb_widgets.runs import Status
from tb_widgets.wording import duration

if TYPE_CHECKING:
    from tb_widgets.app.session import Session

CHIPS = {
    "queued": ("Waiting", ""),
    "preparing": ("Preparing", "on"),
    "running": ("Running", "on"),
    "paused": ("Paused", "warn"),
    "stopping": ("Stopping", "warn"),
    "done": ("Done", "ok"),
    "stopped": ("Stopped", ""),
    "failed": ("Failed", "bad"),
    "interrupted": ("Interrupted", "warn"),
}


class RunBar:
    """State, progress, speed, time, and Start, Pause, Resume, Stop."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._text = widgets.HTML()
        self._start = self._button("Start", session.start, "tbw-primary", "tbw-at-start")
        self._resume = self._button("Resume", session.resume, "tbw-at-resume")
        self._pause = self._button("Pause", session.pause, "tbw-at-pause")
        self._stop = self._button("Stop and save", session.stop, "tbw-at-stop")
        self._save = self._button("Save now", session.save_now, "tbw-at-save")
        self._fits = self._button("Use what fits the model", session.use_what_fits, "tbw-at-bar-fits")
        buttons = row([self._fits, self._resume, self._pause, self._save, self._stop, self._start], "tbw-buttons")
        self.widget = widgets.Box([self._text, buttons])
        self.widget.add_class("tbw-bar")

    def _button(self, label: str, do: Callable[[], Any], *classes: str) -> widgets.Button:
        def press() -> None:
            # The second click of a double click arrives when the first has been answered, and starts no second run.
            if not made.disabled:
                do()

        made = button(label, lambda: self._session.act(press), *classes)
        return made

    def refresh(self) -> None:
        """Show the run in sight, or what Start would do."""
        session = self._session
        status = session.watch.status
        state = status.state if status else ""
        active = status is not None and status.is_active
        asked = session.asked
        show(self._pause, state in ("running", "preparing"))
        show(self._stop, active)
        show(self._save, state in ("running", "paused"))
        can_resume = state in ("paused", "stopped", "failed", "interrupted")
        show(self._resume, can_resume)
        show(self._start, not active or state == "queued")
        self._pause.disabled = asked == "pause"
        self._stop.disabled = asked == "stop" or state == "stopping"
        self._resume.disabled = asked == "resume"
        self._start.disabled = bool(session.draft.blockers) or asked == "start"
        show(self._fits, bool(session.draft.remedies) and not active)
        # One filled button: Resume where there is something to go on with, Start otherwise.
        asks = session.untrusted is not None
        for made, primary in ((self._resume, can_resume and not asks), (self._start, not can_resume)):
            (made.add_class if primary else made.remove_class)("tbw-primary")
        self._start.description = "Start" if status is None else "Start a new run"
        self._text.value = self._idle() if status is None else self._describe(status)

    def _idle(self) -> str:
        draft = self._session.draft
        if draft.blockers:
            reasons = " ".join(escape(reason) for reason in draft.blockers)
            return f'<div class="tbw-bar-text">{words.chip("Not ready", "warn")}<div>{reasons}</div></div>'
        spec, model = draft.spec, draft.model
        count = self._session.choice.answer.get("parameters", model.parameters if model else None)
        size = f", {words.short_count(count)} parameters" if count else ""
        tokens = spec.training.batch_size * spec.data.context_length
        facts = (
            f"<span><b class='tbw-number'>{spec.training.steps:,}</b> steps</span>"
            f"<span><b class='tbw-number'>{tokens:,}</b> tokens a step</span>"
            f"<span>{escape(fitted_line(draft))}</span>{self._warning()}"
        )
        title = escape(
            f"{model.title if model else spec.model.source}{size}, on {words.short_source(spec.data.source)}"
        )
        return (
            f'<div class="tbw-bar-text">{words.chip("Ready", "ok")}<div>{title}'
            f'<div class="tbw-facts">{facts}</div></div></div>'
        )

    def _warning(self) -> str:
        """Return the first thing about the data that would waste the run, and how many more there are."""
        warnings = self._session.data.warnings
        if not warnings:
            return ""
        more = f" And {len(warnings) - 1} more: see the Data step." if len(warnings) > 1 else ""
        return f'<span class="tbw-warning">▲ {escape(warnings[0] + more)}</span>'

    def _describe(self, status: Status) -> str:
        label, tone = CHIPS[status.state]
        if status.state == "queued" and not status.phase:
            label, tone = "Starting", "on"  # not behind another run: only until its process has begun
        if self._session.asked == "pause":
            label = "Pausing …"
        elif self._session.asked == "stop" and status.is_active:
            label = "Stopping …"
        done = status.step / status.total if status.total else 0.0
        waiting = status.state in ("queued", "preparing") and status.progress is None
        share = status.progress if status.state == "preparing" and status.progress is not None else done
        facts = self._facts(status)
        if not status.is_active:
            # Start stands beside an ended run too: why it can't be pressed is said here as well.
            chosen = fitted_line(self._session.draft)
            facts += [f"▲ {escape(reason)}" for reason in self._session.draft.blockers]
            facts += [f"next: {escape(chosen)}"] if chosen else []
            facts += [warning] if (warning := self._warning()) else []
        line = "".join(f"<span>{fact}</span>" for fact in facts)
        bar = (
            f'<div class="tbw-progress {"is-waiting" if waiting else ""}" role="progressbar" '
            f'aria-valuenow="{100 * share:.0f}" aria-valuemin="0" aria-valuemax="100">'
            f'<span style="width:{100 * share:.1f}%"></span></div>'
        )
        return (
            f'<div class="tbw-bar-text" data-state="{status.state}" data-step="{status.step}">{words.chip(label, tone)}'
            f'<div>{bar}<div class="tbw-facts">{line}</div></div></div>'
        )

    @staticmethod
    def _facts(status: Status) -> list[str]:
        def number(text: str) -> str:
            return f'<b class="tbw-number">{escape(text)}</b>'

        if status.state in ("queued", "preparing"):
            phase = status.phase or "Starting the training process"
            return [f"{escape(phase)} …"]
        facts = [f"step {number(f'{status.step:,}')} of {status.total:,}"]
        if status.state in ("failed", "interrupted"):
            return [*facts, escape(status.message)]
        if fast := speed_in_words(status):
            count, unit = fast
            facts.append(f"{number(count)} {unit}")
        facts.append(f"trained for {number(duration(status.elapsed))}")
        if status.eta is not None and status.state == "running":
            facts.append(f"left about {number(duration(status.eta))}")
        if status.best and not status.is_active:
            facts.append(f"best at step {number(format(status.best['step'], ','))}")
        if status.message:
            facts.append(escape(status.message))
        return facts
