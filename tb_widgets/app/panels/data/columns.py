"""Which column of a table plays which role: a guess with its reason, and a way to say otherwise."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from tb_widgets.app import words
from tb_widgets.app.panels.data.found import Pick
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import card, show
from tb_widgets.app.registry import Panel, panel
from tb_widgets.spec import TASKS

if TYPE_CHECKING:
    pass

_TITLES = {
    "text": "Text column",
    "label": "Label column (what to predict)",
    "source": "Source column (what is read)",
    "target": "Target column (what to generate)",
}


@panel("data-columns", step="data", column="main", order=3)
class DataColumnsPanel(Panel):
    """One choice for each role that the model's task has."""

    watches = ("draft", "data")

    def render(self) -> widgets.Widget:
        """Build the card."""
        self._problem = widgets.HTML()
        self._picks, self._reasons, fields = {}, {}, []
        for role, title in _TITLES.items():
            pick = Pick(title, f"data-column-{role}", lambda column, role=role: self._pick(role, column))
            reason = widgets.HTML()
            pick.widget.children = (*pick.widget.children, reason)
            self._picks[role], self._reasons[role] = pick, reason
            fields.append(pick.widget)
        self._card = card("Columns", [self._problem, *fields])
        return self._card

    def _pick(self, role: str, column: str) -> None:
        self.act(lambda: self.session.data.set_role(role, column))

    def draw(self) -> None:
        """Follow the look at the data."""
        data, draft = self.session.data, self.session.draft
        look = data.look
        if look is None and data.is_busy:
            return  # what stands there stays until more is known: nothing jumps
        columns = look.columns if look is not None else ()
        show(self._card, bool(columns))
        if look is None or not columns:
            return
        task = draft.facts.task if draft.facts is not None else "causal-lm"
        self._problem.value = words.error_note(look.problem) if look.problem is not None else ""
        show(self._problem, look.problem is not None)
        chosen = draft.values["data.columns"]
        options = [(f"{column.name} ({column.holds})", column.name) for column in columns]
        for role, pick in self._picks.items():
            show(pick.widget, role in TASKS[task].columns or role in look.roles)
            guess = look.roles.get(role, "")
            label = f"{guess} (automatic)" if guess and role not in chosen else "Automatic"
            pick.follow([(label, ""), *options], chosen.get(role, ""))
            why = look.why.get(role, "")
            self._reasons[role].value = f'<div class="tbw-help">{escape(why)}</div>' if why else ""
