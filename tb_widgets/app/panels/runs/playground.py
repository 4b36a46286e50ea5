"""The playground: try a checkpoint out, also while the run goes on."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from tb_widgets.app import words
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.answers import classes, sample
from tb_widgets.app.parts.cards import button, card, framed, labelled, row, show
from tb_widgets.app.parts.pictures import seen
from tb_widgets.app.registry import Panel, panel
from tb_widgets.app.state.options import read_option
from tb_widgets.errors import RunError
from tb_widgets.spec import task_record

if TYPE_CHECKING:
    from tb_widgets.app.session import Session

LOOKED_AT = 8
HELP = {
    "Temperature": "0 always takes the likeliest token; 0.8 is typical.",
    "Top k": "Only the k likeliest tokens are drawn from. Empty: all.",
    "Length": "How many tokens to generate.",
}


class Option:
    """A small field of the playground, with what it means and, where it is refused, why."""

    def __init__(self, title: str, value: str, unit: str, placeholder: str = "") -> None:
        self._title = title
        self.input = widgets.Text(value=value, placeholder=placeholder, continuous_update=False)
        self._frame = framed(self.input, widgets.HTML(unit))
        self._below = widgets.HTML()
        self.widget = labelled(title, self._frame, self._below)
        self.say("")
        self.input.observe(lambda change: self.say(self._problem(change["new"])), "value")

    def _problem(self, text: str) -> str:
        try:
            read_option(self._title, text)
        except RunError as error:
            return error.message
        return ""

    def say(self, problem: str) -> None:
        """Show why the value is refused, or that it is not."""
        reason = f'<div class="tbw-error">✕ {escape(problem)}</div>' if problem else ""
        self._below.value = f'<div class="tbw-help">{HELP[self._title]}</div><div class="tbw-reason">{reason}</div>'
        (self._frame.add_class if problem else self._frame.remove_class)("is-bad")


@panel("playground", step="runs", column="main", order=2)
class PlaygroundPanel(Panel):
    """Prompt, checkpoint, temperature, top-k, length; the answer appears as it comes."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._offered: list[tuple[str, str]] = []
        self._seed = -1  # of the last press: each one draws anew
        self._is_warm = False

    def render(self) -> widgets.Widget:
        """Build the card."""
        session = self.session
        self._example = task_record("").ask_example
        self._prompt = widgets.Textarea(value=self._example, rows=2, placeholder="Enter a text")
        self._prompt.add_class("tbw-at-prompt")
        self._checkpoint = widgets.Dropdown(options=[("no checkpoint yet", "")])
        self._checkpoint.add_class("tbw-at-checkpoint")
        self._options = {
            "Temperature": Option("Temperature", "0.8", "0 to 10"),
            "Top k": Option("Top k", "40", "tokens", placeholder="all"),
            "Length": Option("Length", "120", "tokens"),
        }
        self._write = button("Generate", lambda: self.act(self._press), "tbw-primary", "tbw-at-write")
        self._again = button("Same again", lambda: self.act(self._repeat), "tbw-at-same-again")
        self._stop = button("Stop", lambda: self.act(session.stop_writing), "tbw-at-stop-writing")
        self._text = widgets.HTML()
        self._fields = row(
            [labelled("Checkpoint", framed(self._checkpoint)), *(option.widget for option in self._options.values())],
            "tbw-fields",
        )
        self._help = widgets.HTML()
        self._begin = labelled("Prompt", framed(self._prompt))
        self._asked = widgets.VBox([self._begin, self._fields, row([self._write, self._again, self._stop])])
        self._asked.add_class("tbw-form")
        made = card("Generate text", [self._help, self._asked, self._text])
        self._heading = made.children[0]
        return made

    def _press(self) -> None:
        self._ask(self._seed + 1)

    def _repeat(self) -> None:
        self._ask(max(0, self._seed))

    def _ask(self, seed: int) -> None:
        chosen = self._checkpoint.value or "best"
        for option in self._options.values():
            option.say("")
        if task_record(self.session.watch.task).reads_images:
            self.session.generate("", checkpoint=chosen, length=LOOKED_AT, seed=seed)
        else:
            try:
                self.session.generate(
                    self._prompt.value,
                    checkpoint=chosen,
                    temperature=self._options["Temperature"].input.value,
                    top_k=self._options["Top k"].input.value,
                    length=self._options["Length"].input.value,
                    seed=seed,
                )
            except RunError as error:
                wrong = next((name for name in self._options if error.message.startswith(f"{name} must")), None)
                if wrong is None:
                    raise
                self._options[wrong].say(error.message)
                return
        self._seed = seed

    def draw(self) -> None:
        """Offer the run's checkpoints and show the answer so far."""
        session = self.session
        found = session.watch.checkpoints
        offered = [(f"step {c.step:,}{' (best)' if c.best else ''}", str(c.step)) for c in reversed(found)]
        if offered != self._offered:
            chosen = self._checkpoint.value
            best = next((str(c.step) for c in found if c.best), offered[0][1] if offered else "")
            self._offered = offered
            self._checkpoint.options = offered or [("no checkpoint yet", "")]
            if offered:
                self._checkpoint.value = chosen if chosen in [value for _, value in offered] else best
        record = task_record(session.watch.task)
        self._heading.value = words.heading(record.ask_title, session.watch.name)
        self._help.value = f'<div class="tbw-help">{escape(record.ask_help)}</div>' if record.ask_help else ""
        if record.ask_example != self._example:
            if self._prompt.value == self._example:  # nobody has typed one yet
                self._prompt.value = record.ask_example
            self._example = record.ask_example
        show(self._begin, not record.reads_images)
        self._write.description = record.ask_verb
        for option in self._options.values():
            show(option.widget, record.continues)
        writing = session.generation
        busy = writing is not None and writing.state in ("loading", "writing")
        if session.has_page and found and not self._is_warm:
            # Who looks at this card is about to ask: its imports take seconds.
            self._is_warm = True
            session.writer.warm()
        self._write.disabled = busy or not found
        self._again.disabled = busy or not found
        show(self._again, self._seed >= 0 and (record.continues or record.reads_images))
        show(self._stop, busy)
        if writing is None:
            press = f"Press {record.ask_verb}."
            hint = press if found else f"Open a run that has saved a checkpoint, then press {record.ask_verb}."
            self._text.value = f'<pre class="tbw-text tbw-sample tbw-muted">{hint}</pre>'
        elif writing.pictures:
            lines = zip(writing.pictures, writing.text.splitlines(), strict=False)
            self._text.value = "".join(_looked_at(picture, line) for picture, line in lines)
        elif writing.state == "failed":
            self._text.value = words.note("Generation failed.", "bad", detail=writing.message)
        else:
            fast = writing.tokens_per_second
            speed = f"{fast:,.0f} tokens/s · seed {max(0, self._seed)}" if fast else ""
            phase = {"loading": "Loading the checkpoint …", "writing": "Generating …", "stopped": "Stopped."}
            line = phase.get(writing.state, speed)
            answer = sample({"task": writing.task or "", "prompt": writing.prompt, "text": writing.text})
            self._text.value = (
                f'<div aria-live="polite">{answer}</div><div class="tbw-help" role="status">{escape(line)}</div>'
            )


def _looked_at(picture: str, line: str) -> str:
    """Return an image with what the model says of it; the line is ``cross → square 63 %, circle 37 %``."""
    truth, _, told = line.partition(" → ")
    return seen(picture, f"<div>{classes(told, truth) if told else escape(line)}</div>", truth or "image")
