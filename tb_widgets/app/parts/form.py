"""Form fields, generated from the spec's own declarations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import framed, labelled
from tb_widgets.app.state.draft import Draft
from tb_widgets.app.state.fields import CARDS, as_typed, read_typed
from tb_widgets.spec import FieldCard


def place_of(path: str) -> str:
    """Return the name by which the page finds the input of a field.

    >>> place_of("training.batch_size")
    'training-batch-size'
    """
    return path.replace(".", "-").replace("_", "-")


class Field:
    """One field: label, input with its unit, help, and the reason when it is wrong.

    Parameters
    ----------
    draft
        Takes what is entered; the field follows it.
    path
        The field's path in the spec.
    on_event
        Runs a handler with the session's lock and messages around it.
    choices
        Offers these values (label, value) instead of free text.
    """

    def __init__(
        self,
        draft: Draft,
        path: str,
        on_event: Callable[[Callable[[], None]], None],
        choices: list[tuple[str, str]] | None = None,
    ) -> None:
        self.card: FieldCard = CARDS[path]
        self._draft, self._on_event = draft, on_event
        self._following = False
        self.input = self._make_input(choices)
        self.input.add_class(f"tbw-at-{place_of(path)}")
        unit = [widgets.HTML(escape(self.card.unit))] if self.card.unit else []
        self._frame = framed(self.input, *unit)
        self._help = widgets.HTML()
        if self.card.kind == "bool":
            self.widget = widgets.VBox([self.input, self._help])
            self.widget.add_class("tbw-field")
        else:
            self.widget = labelled(self.card.title, self._frame, self._help)
        self._bad = False
        self.follow()
        self.input.observe(self._entered, "value")

    def _make_input(self, choices: list[tuple[str, str]] | None) -> widgets.Widget:
        card = self.card
        if card.kind == "bool":
            return widgets.Checkbox(description=card.title, indent=False)
        if choices is None and card.kind == "choice":
            choices = [(card.label(value), value) for value in card.choices]
        if choices is not None:
            return widgets.Dropdown(options=choices)
        if card.kind == "list":
            return widgets.Textarea(placeholder="one per line", rows=2)
        placeholder = card.words[0] if card.words else "empty" if card.optional else ""
        return widgets.Text(placeholder=placeholder, continuous_update=False)

    def _entered(self, change: dict[str, Any]) -> None:
        if not self._following:
            self._on_event(lambda: self._draft.set(self.card.path, change["new"]))

    def follow(self) -> None:
        """Show the draft's value, unless that is what the person is typing, and the reason if it is refused."""
        value = self._draft.values[self.card.path]
        self._following = True
        try:
            if isinstance(self.input, widgets.Dropdown):
                if value != self.input.value and value in [option[1] for option in self.input.options]:
                    self.input.value = value
            elif isinstance(self.input, widgets.Checkbox):
                self.input.value = bool(value)
            elif not _same(self.card, self.input.value, value):
                self.input.value = as_typed(self.card, value)
        finally:
            self._following = False
        reason = self._draft.errors.get(self.card.path, "")
        advice = self._draft.advice.get(self.card.path, "")
        text = f'<div class="tbw-error">✕ {escape(reason)}</div>' if reason else ""
        text = f'<div class="tbw-error tbw-warning">▲ {escape(advice)}</div>' if advice and not reason else text
        # The reason stands in space that is kept for it: nothing below jumps while one types.
        self._help.value = f'<div class="tbw-help">{escape(self.card.help)}</div><div class="tbw-reason">{text}</div>'
        if bool(reason) != self._bad:
            self._bad = bool(reason)
            (self._frame.add_class if self._bad else self._frame.remove_class)("is-bad")


def _same(card: FieldCard, text: str, value: Any) -> bool:
    return bool(read_typed(card, text) == value)


class Form:
    """Several fields below each other, with headings where the group changes.

    Parameters
    ----------
    choices
        Values (label, value) that a field offers instead of free text, by its path.
    below
        What stands below a field, by its path.
    """

    def __init__(
        self,
        draft: Draft,
        paths: Iterable[str],
        on_event: Callable[[Callable[[], None]], None],
        *,
        headings: bool = False,
        choices: dict[str, list[tuple[str, str]]] | None = None,
        below: dict[str, widgets.Widget] | None = None,
    ) -> None:
        self.fields: list[Field] = []
        children: list[widgets.Widget] = []
        group = None
        for path in paths:
            field = Field(draft, path, on_event, (choices or {}).get(path))
            if headings and field.card.group != group:
                group = field.card.group
                children.append(widgets.HTML(f"<h3>{escape(group)}</h3>"))
            self.fields.append(field)
            children.append(field.widget)
            if below and path in below:
                children.append(below[path])
        self.widget = widgets.VBox(children)
        self.widget.add_class("tbw-form")

    def follow(self) -> None:
        """Show what the draft holds."""
        for field in self.fields:
            field.follow()
