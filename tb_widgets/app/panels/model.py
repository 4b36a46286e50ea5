"""The Model step: which model is trained, and what it is like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as widgets

from tb_widgets.app.parts import words
from tb_widgets.app.parts.cards import card, show
from tb_widgets.app.parts.form import Form, SourceField
from tb_widgets.app.registry import panel

if TYPE_CHECKING:
    from tb_widgets.app.dashboard import Dashboard


@panel("model", step="model", column="main", order=1)
class ModelPanel:
    """Source, size and single overrides of the model."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._version = -1

    def render(self) -> widgets.Widget:
        """Build the form."""
        draft, act = self._dashboard.draft, self._dashboard.act
        self._source = SourceField(
            draft,
            "model.source",
            act,
            ours=[("GPT, ready to train", "zoo:gpt")],
            own="A model.py of my own",
            own_help="Path of a model.py, or of the folder that holds it and its config.json. Its code is run.",
        )
        self._zoo = Form(draft, ["model.preset", "model.config"], act)
        return card("Model", [self._source.widget, self._zoo.widget])

    def refresh(self) -> None:
        """Follow the draft."""
        draft = self._dashboard.draft
        if draft.version == self._version:
            return
        self._version = draft.version
        self._source.follow()
        self._zoo.follow()
        is_zoo = str(draft.values["model.source"]).startswith("zoo:")
        show(self._zoo.fields[0].widget, is_zoo)  # overrides reach the constructor of one's own model as well


@panel("model-summary", step="model", column="side", order=1)
class ModelSummaryPanel:
    """What the chosen model is like."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard

    def render(self) -> widgets.Widget:
        """Build the card."""
        self._facts = widgets.HTML()
        return card("What you get", [self._facts])

    def refresh(self) -> None:
        """Follow the draft."""
        draft = self._dashboard.draft
        model, spec = draft.model, draft.spec
        if model is None:
            self._facts.value = words.note("Choose a model first.", "warn")
            return
        context = "no limit" if model.unlimited_context else words.count(model.context_limit)
        pairs = [
            ("Model", model.title),
            ("Parameters", words.short_count(model.parameters) if model.parameters else "known once it is built"),
            ("Longest context", f"{context} tokens" if model.context_limit else context),
            ("Vocabulary", f"{words.count(model.vocab_size)} tokens" if model.vocab_size else "known once it is built"),
        ]
        if model.parameters:
            # Weights, gradients and AdamW's two averages, each in 32-bit numbers.
            pairs.append(("Memory for training", words.size(16 * model.parameters) + " + activations"))
        pairs.append(("Reads at a time", f"{spec.data.context_length:,} tokens"))
        self._facts.value = words.facts(pairs)
