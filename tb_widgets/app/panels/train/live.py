"""The live view: curves, the newest sample, and the log."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from tb_widgets.app import words
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.answers import sample
from tb_widgets.app.parts.cards import card, fold, framed, labelled, row, show
from tb_widgets.app.parts.live_figure import LiveFigure
from tb_widgets.app.registry import Panel, panel
from tb_widgets.display.baselines import better_in_words
from tb_widgets.display.hints import hints
from tb_widgets.display.run_words import waiting_for
from tb_widgets.errors import SpecError
from tb_widgets.spec import task_record
from tb_widgets.wording import run_name

if TYPE_CHECKING:
    from tb_widgets.app.session import Session

_SMOOTHING = [("no smoothing", 0.0), ("light smoothing", 0.6), ("strong smoothing", 0.9), ("strongest smoothing", 0.98)]


@panel("live", step="train", column="main", order=1)
class LivePanel(Panel):
    """The four curves with their two switches."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._drawn: tuple[object, ...] = ()
        self._hinted: tuple[object, ...] = ()
        self._told = ""
        self.figure = LiveFigure()

    def render(self) -> widgets.Widget:
        """Build the card; the figure itself comes with the first beat."""
        session = self.session
        self._smoothing = widgets.Dropdown(options=_SMOOTHING, value=session.watch.smoothing)
        self._smoothing.add_class("tbw-at-smoothing")
        self._smoothing.observe(lambda change: self.act(lambda: session.watch.set_smoothing(change["new"])), "value")
        self._log = widgets.Checkbox(description="Log scale", indent=False)
        self._log.add_class("tbw-at-log-scale")
        self._log.observe(lambda change: self.act(lambda: self.figure.set_log_scale(change["new"])), "value")
        self._legend = widgets.HTML()
        self._compared = widgets.HTML()
        self._notes = widgets.HTML()
        switches = row(
            [self._legend, row([self._log, labelled("Smoothing", framed(self._smoothing), hidden=True)], "tbw-inline")],
            "tbw-top",
        )
        return card("Live", [switches, self.figure.box, self._compared, self._notes])

    def draw(self) -> None:
        """Draw what is new and say what deserves attention."""
        session = self.session
        watch = session.watch
        if session.has_page:
            self.figure.page_says(session.figure_is_there, narrow=session.page_is_narrow)
            self.figure.make()
            # What is done fills its plots, also where it stopped early; what was cut off shows how much is missing.
            total = watch.status.total if watch.status and watch.status.state != "done" else None
            shown = (watch.curves_version, watch.task, total)
            if self._drawn != shown and self.figure.draw(watch.curves, watch.task, total, watch.baselines, watch.marks):
                self._drawn = shown
            elif not session.figure_is_there:
                self._drawn = ()
        train, val = watch.curves["train/loss"].last, watch.curves["val/loss"].last
        best = watch.status.best if watch.status else None
        self._legend.value = (
            f'<span class="tbw-train">●</span> train <span class="tbw-number">{words.metric(train)}</span> &nbsp; '
            f'<span class="tbw-validation">●</span> validation <span class="tbw-number">{words.metric(val)}</span>'
            + (f' <span class="tbw-muted tbw-small">best at step {best["step"]:,}</span>' if best else "")
            if watch.run is not None
            else '<span class="tbw-muted">The curves move here as soon as a run starts.</span>'
        )
        compared = better_in_words(watch.baselines, val)
        self._compared.value = f'<span class="tbw-muted tbw-small">{escape(compared)}</span>' if compared else ""
        notes = [
            self._which(),
            self._ending(),
            *(words.note(text, "warn") for text in watch.warnings[-3:]),
            self._hints(),
        ]
        self._notes.value = "".join(notes)

    def _which(self) -> str:
        """Whose curves these are, where the bar speaks of another run."""
        watch, at_work = self.session.watch, self.session.work.first
        if watch.run is None or at_work is None or at_work.run.id == watch.run.id:
            return ""
        busy = run_name(at_work.run.id, at_work.status.name)
        return words.note(
            f"These are the curves of {watch.name}.",
            "on",
            detail=f"{busy} trains now. What to do with {watch.name} is under Runs.",
        )

    def _ending(self) -> str:
        """Why a run waits; or why it ended badly, with the last lines that its worker printed."""
        watch = self.session.watch
        status = watch.status
        if status is not None and waiting_for(status):
            return words.note(f"Paused: {status.message}", "warn", detail=status.hint)
        if status is None or status.state not in ("failed", "interrupted"):
            return ""
        lines = escape("\n".join(line[:300] for line in watch.log[-8:]))
        # A reason that we know is told in words; what the process printed is for whoever asks.
        printed = (
            "<details><summary>The last lines of its log</summary>"
            f'<pre class="tbw-text tbw-log">{lines}</pre></details>'
        )
        tone = "bad" if status.state == "failed" else "warn"
        told = words.note(f"{status.state.capitalize()}: {status.message}", tone, detail=status.hint)
        return told + (printed if lines else "")

    def _hints(self) -> str:
        """What the curves tell, thought over at every validation and at the end."""
        watch = self.session.watch
        if watch.run is None or watch.status is None:
            return ""
        seen = (watch.run.id, watch.status.state, len(watch.curves["val/loss"]))
        if seen != self._hinted:
            self._hinted = seen
            try:
                found = hints(watch.curves, watch.run.spec, watch.status, watch.hint_events)
            except SpecError:  # the card of its settings says what is wrong with them
                found = []
            self._told = "".join(
                words.note(hint.sentence, hint.tone, detail=hint.action, why=hint.why) for hint in found
            )
        return self._told


@panel("sample", step="train", column="main", order=2)
class SamplePanel(Panel):
    """What the model answered at the last evaluation."""

    watches = ("run",)

    def render(self) -> widgets.Widget:
        """Build the card."""
        self._text = widgets.HTML()
        made = card("Samples", [self._text])
        self._heading = made.children[0]
        return made

    def draw(self) -> None:
        """Show the newest sample."""
        watch = self.session.watch
        if not watch.samples:
            self._heading.value = words.heading("Samples")
            waiting = (
                "The first sample comes with the first evaluation."
                if watch.run
                else "What the model answers while it trains appears here."
            )
            self._text.value = f'<pre class="tbw-text tbw-sample tbw-muted">{waiting}</pre>'
            return
        step, task = watch.samples[-1]["step"], watch.task
        self._heading.value = words.heading(task_record(task).sample_title, f"at step {step:,}")
        newest = [found for found in watch.samples if found["step"] == step and found["text"].strip()]
        self._text.value = "".join(sample(found) for found in (newest[-1:] if task_record(task).continues else newest))


@panel("log", step="train", column="main", order=4)
class LogPanel(Panel):
    """What the worker printed, on request."""

    watches = ("run",)

    def render(self) -> widgets.Widget:
        """Build the card, folded."""
        self._text = widgets.HTML()
        show(self._text, False)
        self._open = fold("Show the log", "Hide the log", lambda is_open: show(self._text, is_open))
        made = widgets.VBox([self._open, self._text])
        made.add_class("tbw-folded")
        return made

    def draw(self) -> None:
        """Show the last lines."""
        watch = self.session.watch
        lines = "\n".join(line[:400] for line in watch.log[-40:])
        place = f"\n{watch.run.log_file}" if watch.run and self.session.policy.is_owner else ""
        has_ended = watch.status is not None and not watch.status.is_active
        text = escape((lines or ("No log output." if has_ended else "No log output yet.")) + place)
        self._text.value = f'<pre class="tbw-text tbw-log">{text}</pre>'
