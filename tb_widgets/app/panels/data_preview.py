"""What the model will be given, seen before Start."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import ipywidgets as widgets

from tb_widgets.app.parts import words
from tb_widgets.app.parts.cards import card
from tb_widgets.app.registry import panel

if TYPE_CHECKING:
    from tb_widgets.app.dashboard import Dashboard


@panel("data-preview", step="data", column="side", order=1)
class DataPreviewPanel:
    """How much text that is, and how it begins."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._seen = (-1, -1)

    def render(self) -> widgets.Widget:
        """Build the card."""
        self._text = widgets.HTML()
        return card("What you get", [self._text])

    def refresh(self) -> None:
        """Follow the look at the data."""
        data, draft = self._dashboard.data, self._dashboard.draft
        if (data.version, draft.version) == self._seen:
            return
        self._seen = (data.version, draft.version)
        look = data.look
        if look is None:
            waiting = "Looking at the data …" if data.is_busy else "Choose data first."
            self._text.value = words.error_note(data.error) if data.error else f'<p class="tbw-muted">{waiting}</p>'
            return
        parts = [words.note(note, "on") for note in look.notes]
        shown = look.preview
        if shown is not None and shown.characters:
            parts.append(
                words.facts(
                    [("Characters", words.count(shown.characters)), ("Tokens, about", words.count(shown.tokens))]
                )
            )
            begins = "\n".join(shown.first_lines[:8])
            parts.append(f'<h4>It begins</h4><pre class="tbw-text">{escape(begins)}</pre>')
        self._text.value = "".join(parts)
