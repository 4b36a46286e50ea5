"""The live view: curves, the newest sample, and the log."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from tb_widgets.app import words
from tb_widgets.app.parts.cards import card, framed, row, show
from tb_widgets.app.parts.live_figure import LiveFigure
from tb_widgets.app.parts.pictures import seen
from tb_widgets.app.registry import Panel, panel
from tb_widgets.spec import task_record

if TYPE_CHECKING:
    from tb_widgets.app.session import Session

_SMOOTHING = [("no smoothing", 0.0), ("light smoothing", 0.6), ("strong smoothing", 0.9), ("strongest smoothing", 0.98)]


@panel("live", step="train", column="main", order=1)
class LivePanel(Panel):
    """The four curves with their two switches."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._drawn = (-1, "")
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
        self._notes = widgets.HTML()
        switches = row([self._legend, row([self._log, framed(self._smoothing)], "tbw-inline")], "tbw-top")
        return card("Live", [switches, self.figure.box, self._notes])

    def draw(self) -> None:
        """Draw what is new and say what deserves attention."""
        session = self.session
        watch = session.watch
        if session.has_page:
            self.figure.page_says(session.figure_is_there, narrow=session.page_is_narrow)
            self.figure.make()
            if self._drawn != (watch.curves_version, watch.task) and self.figure.draw(watch.curves, watch.task):
                self._drawn = (watch.curves_version, watch.task)
            elif not session.figure_is_there:
                self._drawn = (-1, "")
        train, val = watch.curves["train/loss"].last, watch.curves["val/loss"].last
        best = watch.status.best if watch.status else None
        self._legend.value = (
            f'<span style="color:#3b5bdb">●</span> train <span class="tbw-number">{words.metric(train)}</span> &nbsp; '
            f'<span style="color:#c77700">●</span> validation <span class="tbw-number">{words.metric(val)}</span>'
            + (f' <span class="tbw-muted tbw-small">best at step {best["step"]:,}</span>' if best else "")
            if watch.run is not None
            else '<span class="tbw-muted">The curves move here as soon as a run starts.</span>'
        )
        notes = [self._ending(), *(words.note(text, "warn") for text in watch.warnings[-3:]), self._memorising()]
        self._notes.value = "".join(notes)

    def _ending(self) -> str:
        """Why a run ended badly, with the last lines that its worker printed."""
        watch = self.session.watch
        status = watch.status
        if status is None or status.state not in ("failed", "interrupted"):
            return ""
        lines = escape("\n".join(line[:300] for line in watch.log[-8:]))
        printed = f'<h4>The last lines of its log</h4><pre class="tbw-text tbw-log">{lines}</pre>' if lines else ""
        tone = "bad" if status.state == "failed" else "warn"
        return words.note(f"{status.state.capitalize()}: {status.message}", tone, detail=status.hint) + printed

    def _memorising(self) -> str:
        """Advice when validation turns upwards while training still falls."""
        watch = self.session.watch
        values = watch.curves["val/loss"].values
        if len(values) < 5 or watch.status is None or not watch.status.best:
            return ""
        best = min(values)
        if min(values[-3:]) > best * 1.01:
            step = watch.status.best["step"]
            return words.note(
                "Validation loss has not improved for 3 evaluations: the model begins to memorise.",
                "warn",
                detail=f"The checkpoint of step {step:,} is the best and is kept; stopping now loses nothing.",
            )
        return ""


@panel("sample", step="train", column="main", order=2)
class SamplePanel(Panel):
    """The newest text that the model wrote while training."""

    watches = ("run",)

    def render(self) -> widgets.Widget:
        """Build the card."""
        self._text = widgets.HTML()
        made = card("What it writes", [self._text])
        self._heading = made.children[0]
        return made

    def draw(self) -> None:
        """Show the newest sample."""
        watch = self.session.watch
        if not watch.samples:
            self._heading.value = words.heading("What it writes")
            waiting = (
                "The first sample comes with the first evaluation." if watch.run else "Samples of the model's text."
            )
            self._text.value = f'<pre class="tbw-text tbw-sample tbw-muted">{waiting}</pre>'
            return
        step, task = watch.samples[-1]["step"], watch.task
        self._heading.value = words.heading(task_record(task).sample_title, f"at step {step:,}")
        newest = [sample for sample in watch.samples if sample["step"] == step]
        self._text.value = "".join(_sample(sample) for sample in (newest if task else newest[-1:]))


def _sample(sample: dict[str, Any]) -> str:
    """Return one sample: a text that goes on, or a question with the model's answer and the right one."""
    prompt, text, right = escape(sample["prompt"]), escape(sample["text"]), sample.get("expected")
    if not sample.get("task"):
        return f'<pre class="tbw-text tbw-sample"><mark>{prompt}</mark>{text}</pre>'
    known = ""
    if isinstance(right, str):
        told = sample["text"].strip().startswith(right.strip())
        known = words.chip("right", "ok") if told else words.chip(f"right would be: {right}")
    said = f'<pre class="tbw-text"><mark>{prompt}</mark> → {text} {known}</pre>'
    return seen(sample.get("picture"), said, sample["prompt"])


@panel("log", step="train", column="main", order=3)
class LogPanel(Panel):
    """What the worker printed, on request."""

    watches = ("run",)

    def render(self) -> widgets.Widget:
        """Build the card, folded."""
        self._open = widgets.ToggleButton(description="Show the log")
        self._text = widgets.HTML()
        show(self._text, False)
        self._open.observe(lambda change: self.act(lambda: self._unfold(change["new"])), "value")
        return card("Log", [self._open, self._text])

    def _unfold(self, visible: bool) -> None:
        self._open.description = "Hide the log" if visible else "Show the log"
        show(self._text, visible)

    def draw(self) -> None:
        """Show the last lines."""
        watch = self.session.watch
        lines = "\n".join(line[:400] for line in watch.log[-40:])
        place = f"\n{watch.run.log_file}" if watch.run and self.session.policy.is_owner else ""
        text = escape((lines or "Nothing was printed: warnings and errors would stand here.") + place)
        self._text.value = f'<pre class="tbw-text tbw-log">{text}</pre>'
