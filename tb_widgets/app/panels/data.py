"""The Data step: which text is learned, and how it becomes tokens."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import ipywidgets as widgets

from tb_widgets.app.parts import words
from tb_widgets.app.parts.cards import card, show
from tb_widgets.app.parts.fitted import fits_button, fitted_notes
from tb_widgets.app.parts.form import Form, SourceField
from tb_widgets.app.registry import panel
from tb_widgets.data.sources import list_sources

if TYPE_CHECKING:
    from tb_widgets.app.dashboard import Dashboard


@panel("data", step="data", column="main", order=1)
class DataPanel:
    """Source of the text, tokenizer, context length and the part held back."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._version = -1

    def render(self) -> widgets.Widget:
        """Build the form."""
        draft, act = self._dashboard.draft, self._dashboard.act
        self._source = SourceField(
            draft,
            "data.source",
            act,
            ours=[(source.title, source.name) for source in list_sources()],
            own="A text file of my own",
            own_help="Path of a plain text file on the machine that runs this notebook.",
        )
        kinds = [("BPE: frequent pieces of your text", "bpe"), ("Characters", "char"), ("Bytes", "byte")]
        self._tokens = Form(
            draft,
            ["tokenizer.kind", "tokenizer.vocab_size", "data.context_length", "data.validation_fraction"],
            act,
            choices={"tokenizer.kind": kinds},
        )
        self._notes = widgets.HTML()
        self._fits = fits_button(self._dashboard)
        return card("Data", [self._notes, self._fits, self._source.widget, self._tokens.widget])

    def refresh(self) -> None:
        """Follow the draft."""
        draft = self._dashboard.draft
        if draft.version == self._version:
            return
        self._version = draft.version
        reads_text = draft.facts is None or draft.facts.task != "vision-classification"
        for field in self._tokens.fields[:3]:
            show(field.widget, reads_text)
        self._source.follow()
        self._tokens.follow()
        self._notes.value = fitted_notes(draft, "data", "tokenizer")
        show(self._fits, bool(draft.remedies))
        show(self._tokens.fields[1].widget, reads_text and draft.values["tokenizer.kind"] == "bpe")


@panel("data-preview", step="data", column="side", order=1)
class DataPreviewPanel:
    """How much text that is, and how it begins."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard

    def render(self) -> widgets.Widget:
        """Build the card."""
        self._facts = widgets.HTML()
        self._lines = widgets.HTML()
        return card("What you get", [self._facts, self._lines])

    def refresh(self) -> None:
        """Follow the draft."""
        draft = self._dashboard.draft
        data, spec, model = draft.data, draft.spec, draft.model
        if data is None:
            self._facts.value = words.note("Choose a text first.", "warn")
            self._lines.value = ""
            return
        if not data.characters:  # images are drawn when they are asked for
            about = next(source.help for source in list_sources() if source.name == data.name)
            self._facts.value, self._lines.value = f'<p class="tbw-muted">{escape(about)}</p>', ""
            return
        training = data.tokens * (1 - spec.data.validation_fraction)
        pairs = [
            ("Characters", words.count(data.characters)),
            ("Tokens" if data.exact else "Tokens, about", words.count(data.tokens)),
        ]
        if data.examples is None:
            per_step = spec.training.batch_size * spec.data.context_length
            held_back = f"{words.short_count(data.tokens - training)} tokens"
            one_pass = training / per_step
        else:
            pairs.insert(0, ("Examples", words.count(data.examples)))
            held_back = f"{words.count(data.examples * spec.data.validation_fraction)} examples"
            one_pass = data.examples * (1 - spec.data.validation_fraction) / spec.training.batch_size
        pairs += [("Held back", held_back), ("One pass", f"{words.count(max(1, one_pass))} steps")]
        if model is not None and model.parameters:
            pairs.append(("Tokens per parameter", words.figure(data.tokens / model.parameters, 2)))
        self._facts.value = words.facts(pairs)
        begins = "\n".join(data.first_lines[:8])
        self._lines.value = f'<h4>It begins</h4><pre class="tbw-text">{escape(begins)}</pre>'
