"""The settings that the opened run was trained with."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from tb_widgets.app import words
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import button, card, row, show
from tb_widgets.app.registry import Panel, panel
from tb_widgets.app.state.draft import Draft
from tb_widgets.app.state.fields import in_words
from tb_widgets.errors import SpecError
from tb_widgets.spec import PRESETS, FieldCard, RunSpec, task_record

if TYPE_CHECKING:
    from tb_widgets.app.session import Session


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
        self._code_open = widgets.ToggleButton(description="Show its code", tooltip="")
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
    text = escape(words.without_upload_folder(in_words(field, spec.flat()[field.path]))) or "–"
    unit = f" {escape(field.unit)}" if field.unit and text != "–" else ""
    return f"<b>{text}</b>{unit}" if bold else f"{text}{unit}"
