"""The run bar, in sight on every step: the run at work above, and the next run below, each with what to press."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from tb_widgets.app import words
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import button, framed, labelled, row, show
from tb_widgets.app.parts.fitted import fitted_line
from tb_widgets.app.parts.memory import fit_chip, memory_in_words
from tb_widgets.app.state.fields import CARDS, in_words
from tb_widgets.app.state.options import read_more_steps, usual_extension
from tb_widgets.display.baselines import choices_in_words
from tb_widgets.display.run_words import speed_in_words
from tb_widgets.display.schedule_drawing import continuing_in_words
from tb_widgets.errors import TbError
from tb_widgets.runs import RunEntry, Status
from tb_widgets.spec import task_record
from tb_widgets.spec.metrics import LOSS, METRICS
from tb_widgets.wording import duration, run_name

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
ASKED = {"pause": "Pausing …", "stop": "Stopping …"}


def _press(session: Session, label: str, do: Callable[[], Any], place: str) -> widgets.Button:
    def press() -> None:
        # The second click of a double click arrives when the first has been answered, and does nothing more.
        if not made.disabled:
            do()

    made = button(label, lambda: session.act(press), f"tbw-at-{place}")
    return made


def _make_primary(made: widgets.Button, primary: bool) -> None:
    (made.add_class if primary else made.remove_class)("tbw-primary")


class RunBar:
    """Two rows: state, progress, speed and time of a run; and what Start would do, or why it can't."""

    def __init__(self, session: Session) -> None:
        self._now = RunRow(session)
        self._next = NextRow(session)
        self.widget = widgets.VBox([self._now.widget, self._next.widget])
        self.widget.add_class("tbw-bar")

    def refresh(self) -> None:
        """Show how things are."""
        self._now.refresh()
        self._next.refresh(is_first=not self._now.has_primary)


class RunRow:
    """The run at work, wherever one looks; else the run in sight.

    Attributes
    ----------
    has_primary
        Whether the next thing to press is in this row.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.has_primary = False
        self._text = widgets.HTML()
        at = self._at
        self._open = _press(session, "Show it", self._show_it, "show-it")
        self._try = _press(session, "Try it", session.try_it, "try-it")
        self._again = _press(session, "Start again", session.start_again, "start-again")
        self._resume = _press(session, "Resume", lambda: session.resume(at()), "resume")
        self._more = widgets.Text(continuous_update=False)
        self._more.add_class("tbw-at-more-steps")
        self._more.observe(self._asked_for_more, "value")
        self._more_of: object = None
        self._following = False
        self._longer = labelled("More steps", framed(self._more, widgets.HTML("more steps")), hidden=True)
        self._longer.add_class("tbw-more-steps")
        self._extend = _press(session, "Continue", lambda: session.extend(self._more.value), "extend")
        self._pause = _press(session, "Pause", lambda: session.pause(at()), "pause")
        self._save = _press(session, "Save now", lambda: session.save_now(at()), "save")
        self._stop = _press(session, "Stop and save", lambda: session.stop(at()), "stop")
        self._buttons = (
            self._open,
            self._again,
            self._resume,
            self._longer,
            self._extend,
            self._pause,
            self._save,
            self._stop,
            self._try,
        )
        self.widget = widgets.Box([self._text, row([*self._buttons], "tbw-buttons")])
        self.widget.add_class("tbw-bar-row")

    def _entry(self) -> RunEntry | None:
        watch = self._session.watch
        if self._session.work.first is not None:
            return self._session.work.first
        return RunEntry(watch.run, watch.status) if watch.run is not None and watch.status is not None else None

    def _at(self) -> Any:
        entry = self._entry()
        return entry.run if entry is not None else None

    def _show_it(self) -> None:
        self._session.open_run(self._at().id)
        self._session.show("train")

    def refresh(self) -> None:
        """Show the run, and what can be done with it."""
        session, entry = self._session, self._entry()
        show(self.widget, entry is not None)
        if entry is None:
            self.has_primary = False
            return
        status, watch = entry.status, session.watch
        in_sight = watch.run is not None and watch.run.id == entry.run.id
        state, asked = status.state, session.work.asked(entry.run)
        ended = state in ("stopped", "failed", "interrupted")
        saved = watch.checkpoints[-1].step if in_sight and watch.checkpoints else None
        remedy = session.remedy() if in_sight else {}
        shown = {
            self._open: not in_sight,
            self._again: bool(remedy),
            # Without a checkpoint a run that failed would do the same again.
            self._resume: state in ("paused", "stopped", "interrupted") or (ended and saved is not None),
            self._longer: state == "done" and saved is not None,
            self._extend: state == "done" and saved is not None,
            self._pause: state in ("running", "preparing"),
            self._save: in_sight and state in ("running", "paused"),
            self._stop: status.is_active,
            self._try: state == "done" and saved is not None,
        }
        for made, is_shown in shown.items():
            show(made, is_shown)
        self._pause.disabled = asked == "pause"
        self._save.disabled = asked == "save"
        self._save.description = "Saving …" if asked == "save" else "Save now"
        self._stop.disabled = asked == "stop" or state == "stopping"
        self._stop.description = "Take out of the queue" if status.is_waiting else "Stop and save"
        self._resume.disabled = self._extend.disabled = asked == "resume"
        self._again.disabled = session.has_just_started
        self._resume.description = f"Resume from step {saved:,}" if ended and saved is not None else "Resume"
        continuing = self._continuing(entry) if shown[self._extend] else ""
        changes = [f"{CARDS[path].title.lower()} {in_words(CARDS[path], value)}" for path, value in remedy.items()]
        self._again.description = f"Start again with {' and '.join(changes)}"
        # One filled button: the likeliest next step. A run whose code nobody has agreed to run asks for that first.
        first = next((made for made in (self._again, self._resume, self._try) if shown[made]), None)
        first = None if session.untrusted is not None else first
        for made in (self._again, self._resume, self._try):
            _make_primary(made, made is first)
        self.has_primary = first is not None
        self._text.value = self._describe(entry, saved=saved, asked=asked, continuing=continuing)

    def _asked_for_more(self, _change: Any) -> None:
        if not self._following:
            self._session.act(self.refresh)  # what that many steps would do is told beside it

    def _continuing(self, entry: RunEntry) -> str:
        """Say what training on for as many steps as are entered would do, or why it can't."""
        status = entry.status
        if self._more_of != (entry.run.id, status.step):
            self._more_of = (entry.run.id, status.step)
            self._following = True
            self._more.value = str(usual_extension(status))
            self._following = False
        try:
            more = read_more_steps(self._more.value, status.step)
            planned = entry.run.spec.with_values({"training.steps": status.total})  # it may have been continued before
            told = continuing_in_words(planned, status.step, more)
        except TbError as error:
            self._extend.disabled = True
            return f'<div class="tbw-facts tbw-error">✕ {escape(str(error))}</div>'
        return f'<div class="tbw-facts">{escape(f"{more:,} more steps: {told[0].lower()}{told[1:]}")}</div>'

    def _describe(self, entry: RunEntry, *, saved: int | None, asked: str, continuing: str) -> str:
        status = entry.status
        label, tone = CHIPS[status.state]
        if status.state == "queued" and not status.is_waiting:
            label, tone = "Starting", "on"  # only until its process has begun
        if status.is_active:
            label = ASKED.get(asked, label)
        # What is done has nothing left to do, also where it stopped early: the facts beside it say so.
        done = 1.0 if status.state == "done" else status.step / status.total if status.total else 0.0
        waiting = status.state in ("queued", "preparing") and status.progress is None
        share = status.progress if status.state == "preparing" and status.progress is not None else done
        facts = [f"<span>{fact}</span>" for fact in self._facts(status, saved)]
        if (count := len(self._session.work.busy)) > 1:
            facts.append(f'<span class="tbw-warning">▲ {count} runs share this machine, so each is slower.</span>')
        name = escape(run_name(entry.run.id, status.name))
        value = "" if waiting else f'aria-valuenow="{100 * share:.0f}" '
        bar = (
            f'<div class="tbw-progress {"is-waiting" if waiting and not status.is_waiting else ""}" '
            f'role="progressbar" aria-label="Progress of {name}" {value}aria-valuemin="0" aria-valuemax="100">'
            f'<span style="width:{0 if status.is_waiting else 100 * share:.1f}%"></span></div>'
        )
        told = f'data-state="{status.state}" data-step="{status.step}" data-run="{escape(entry.run.id)}"'
        return (
            f'<div class="tbw-bar-text" {told}><span role="status">{words.chip(label, tone)}</span>'
            f'<div><div class="tbw-bar-title"><b>{name}</b>{bar}</div>'
            f'<div class="tbw-facts">{"".join(facts)}</div>{continuing}</div></div>'
        )

    def _facts(self, status: Status, saved: int | None) -> list[str]:
        def number(text: str) -> str:
            return f'<b class="tbw-number">{escape(text)}</b>'

        if status.is_waiting:
            before = self._session.work.busy[0] if self._session.work.busy else None
            behind = f" for {run_name(before.run.id, before.status.name)} to end" if before is not None else ""
            return [escape(f"Waits{behind}.")]
        if status.state in ("queued", "preparing"):
            phase = status.phase or "Starting the training process"
            return [f"{escape(phase)} …"]
        if status.state == "done":
            early = [escape(words.form_names(status.message))] if status.message else []
            took = f"{status.step:,} steps in {number(duration(status.elapsed))}"
            return [*_result(self._session, status), *early, took]
        facts = [f"step {number(f'{status.step:,}')} of {status.total:,}"]
        if status.state in ("failed", "interrupted"):
            return [*facts, escape(words.form_names(f"{status.message} {status.hint}".strip()))]
        if fast := speed_in_words(status):
            count, unit = fast
            facts.append(f"{number(count)} {unit}")
        facts.append(f"elapsed {number(duration(status.elapsed))}")
        if status.eta is not None and status.state == "running":
            facts.append(f"about {number(duration(status.eta))} left")
        if saved is not None:
            facts.append(f"saved at step {number(f'{saved:,}')}")
        if status.message:  # also of one that waits, for a disk that is full
            facts.append(escape(words.form_names(f"{status.message} {status.hint}".strip())))
        return facts


def _result(session: Session, status: Status) -> list[str]:
    """Return in words how good a run became, and from where it came."""
    best = status.best
    metric = METRICS[best["monitor"]] if best and best["monitor"] in METRICS else None
    if best is None or metric is None:
        return []
    watch = session.watch
    values = watch.curves[metric.key].values if watch.status is status else []
    since = f", from {metric.written(values[0])}" if len(values) > 1 else ""
    title = f"validation {metric.name}"
    told = [f'best {title} <b class="tbw-number">{metric.written(best["value"])}</b>{since}, at step {best["step"]:,}']
    if metric is LOSS and watch.status is status:
        told += filter(None, [escape(choices_in_words(best["value"], watch.baselines))])
    return told


class NextRow:
    """What Start would do, or the first reason why it can't, with a way to the field."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._text = widgets.HTML()
        self._start = _press(session, "Start", session.start, "start")
        self._fits = _press(session, "Use what fits the model", session.use_what_fits, "bar-fits")
        self._field = _press(session, "Show the field", self._show_field, "show-field")
        self._usual = _press(session, "Reset to the defaults", session.use_defaults, "use-defaults")
        self._usual.add_class("tbw-quiet")
        self._usual.tooltip = "Put back model, data and settings to what the page begins with. Runs stay."
        buttons = row([self._usual, self._fits, self._field, self._start], "tbw-buttons")
        self.widget = widgets.Box([self._text, buttons])
        self.widget.add_class("tbw-bar-row")

    def _show_field(self) -> None:
        self._session.show_field(next(iter(self._session.draft.errors)))

    def refresh(self, *, is_first: bool) -> None:
        """Show the next run.

        Parameters
        ----------
        is_first
            Whether Start is the likeliest thing to press.
        """
        session = self._session
        draft, busy = session.draft, session.work.first is not None
        blocked = bool(draft.blockers)
        self._start.disabled = blocked or session.has_just_started
        self._start.description = self._start.tooltip = "Add to the queue" if busy else "Start"
        _make_primary(self._start, is_first and not busy)
        show(self._fits, bool(draft.remedies))
        show(self._field, blocked and not draft.remedies)
        show(self._usual, not draft.is_usual)
        self._text.value = self._blocked() if blocked else self._ready()

    def _blocked(self) -> str:
        reasons = self._session.draft.blockers
        more = f' <span class="tbw-muted">and {len(reasons) - 1} more</span>' if len(reasons) > 1 else ""
        return (
            f'<div class="tbw-bar-text" data-next="blocked"><span role="status">{words.chip("Not ready", "bad")}</span>'
            f'<div class="tbw-blocker">✕ {escape(reasons[0])}{more}</div></div>'
        )

    def _ready(self) -> str:
        draft = self._session.draft
        spec, model = draft.spec, draft.model
        count = self._session.choice.answer.get("parameters", model.parameters if model else None)
        size = f", {words.short_count(count)} parameters" if count else ""
        reads_images = draft.facts is not None and task_record(draft.facts.task).reads_images
        count_read = spec.training.batch_size * (1 if reads_images else spec.data.context_length)
        chosen = fitted_line(draft)
        facts = [
            f"<span><b class='tbw-number'>{spec.training.steps:,}</b> steps</span>",
            f"<span><b class='tbw-number'>{count_read:,}</b> {'images' if reads_images else 'tokens'} a step</span>",
            f"<span>memory {escape(memory_in_words(draft, self._session.choice))}</span>" if draft.need else "",
            fit_chip(draft) if draft.need is not None and draft.need.verdict != "fits" else "",
            f"<span>{escape(chosen)}</span>" if chosen else "",
            self._waiting(),
            self._warning(),
        ]
        name = model.title if model else in_words(CARDS["model.source"], spec.model.source)
        title = escape(f"{name}{size}, on {words.data_title(spec.data)}")
        return (
            f'<div class="tbw-bar-text" data-next="ready"><span role="status">{words.chip("Next run")}</span>'
            f'<div>{title}<div class="tbw-facts">{"".join(facts)}</div></div></div>'
        )

    def _waiting(self) -> str:
        count = len(self._session.work.waiting)
        return f"<span>{count} run{'s wait' if count > 1 else ' waits'} before it</span>" if count else ""

    def _warning(self) -> str:
        """Return the first thing in settings or data that would waste the run, and how many more there are."""
        advice = [f"{CARDS[path].title} {why}" for path, why in self._session.draft.advice.items()]
        warnings = [*advice, *self._session.data.warnings]
        if not warnings:
            return ""
        more = f" And {len(warnings) - 1} more: see the Data step." if len(warnings) > 1 else ""
        return f'<span class="tbw-warning">▲ {escape(words.form_names(warnings[0] + more))}</span>'
