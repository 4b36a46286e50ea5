"""The playground: let a checkpoint write, also while the run goes on."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import ipywidgets as widgets

from tb_widgets.app import words
from tb_widgets.app.parts.cards import button, card, framed, labelled, row, show
from tb_widgets.app.parts.pictures import seen
from tb_widgets.app.registry import Panel, panel
from tb_widgets.spec import task_record

if TYPE_CHECKING:
    from tb_widgets.app.session import Session

LOOKED_AT = 8


@panel("playground", step="runs", column="main", order=2)
class PlaygroundPanel(Panel):
    """Prompt, checkpoint, temperature, top-k, length; the text appears as it is written."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._offered: list[tuple[str, str]] = []
        self._looks = 0
        self._is_warm = False

    def render(self) -> widgets.Widget:
        """Build the card."""
        session = self.session
        self._prompt = widgets.Textarea(value="The ", rows=2, placeholder="Where should it begin?")
        self._prompt.add_class("tbw-at-prompt")
        self._checkpoint = widgets.Dropdown(options=[("no checkpoint yet", "")])
        self._checkpoint.add_class("tbw-at-checkpoint")
        self._temperature = widgets.Text(value="0.8")
        self._top_k = widgets.Text(value="40", placeholder="all")
        self._length = widgets.Text(value="120")
        self._write = button("Write", lambda: self.act(self._press), "tbw-primary")
        self._stop = button("Stop writing", lambda: self.act(session.stop_writing))
        self._text = widgets.HTML()
        fields = row(
            [
                labelled("Checkpoint", framed(self._checkpoint)),
                labelled("Temperature", framed(self._temperature, widgets.HTML("0 to 10"))),
                labelled("Top k", framed(self._top_k, widgets.HTML("tokens"))),
                labelled("Length", framed(self._length, widgets.HTML("tokens"))),
            ],
            "tbw-fields",
        )
        self._fields = fields
        self._help = widgets.HTML()
        self._begin = labelled("Prompt", framed(self._prompt))
        self._asked = widgets.VBox([self._begin, fields, row([self._write, self._stop])])
        self._asked.add_class("tbw-form")
        made = card("Let it write", [self._help, self._asked, self._text])
        self._heading = made.children[0]
        return made

    def _press(self) -> None:
        if task_record(self.session.watch.task).reads_images:
            chosen = self._checkpoint.value or "best"
            self.session.generate("", checkpoint=chosen, length=LOOKED_AT, seed=self._looks)
            self._looks += 1
            return
        self.session.generate(
            self._prompt.value,
            checkpoint=self._checkpoint.value or "best",
            temperature=self._temperature.value,
            top_k=self._top_k.value,
            length=self._length.value,
        )

    def draw(self) -> None:
        """Offer the run's checkpoints and show the text so far."""
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
        task = session.watch.task
        record = task_record(task)
        self._heading.value = words.heading(record.ask_title)
        self._help.value = f'<div class="tbw-help">{escape(record.ask_help)}</div>' if record.ask_help else ""
        show(self._begin, not record.reads_images)
        self._write.description = "Look at new ones" if record.reads_images else "Write"
        for field in self._fields.children[1:]:
            show(field, record.continues)
        writing = session.generation
        busy = writing is not None and writing.state in ("loading", "writing")
        if session.has_page and found and not self._is_warm:
            # Who looks at this card is about to write: its imports take seconds.
            self._is_warm = True
            session.writer.warm()
        self._write.disabled = busy or not found
        show(self._stop, busy)
        if writing is None:
            press = f"Press {self._write.description}."
            hint = press if found else "Open a run that has saved a checkpoint, then press Write."
            self._text.value = f'<pre class="tbw-text tbw-sample tbw-muted">{hint}</pre>'
        elif writing.pictures:
            lines = zip(writing.pictures, writing.text.splitlines(), strict=False)
            self._text.value = "".join(
                seen(picture, f"<span>{escape(line)}</span>", "shape") for picture, line in lines
            )
        elif writing.state == "failed":
            self._text.value = words.note("It could not write.", "bad", detail=writing.message)
        else:
            speed = f"{writing.tokens_per_second:,.0f} tokens/s" if writing.tokens_per_second else ""
            phase = {"loading": "Loading the checkpoint …", "writing": "Writing …", "stopped": "Stopped."}
            line = phase.get(writing.state, speed)
            # Only a text that goes on from its prompt is shown after it; any other answer stands alone.
            begins = f"<mark>{escape(writing.prompt)}</mark>" if task_record(writing.task or "").continues else ""
            self._text.value = (
                f'<pre class="tbw-text tbw-sample">{begins}{escape(writing.text)}</pre>'
                f'<div class="tbw-help">{escape(line)}</div>'
            )
