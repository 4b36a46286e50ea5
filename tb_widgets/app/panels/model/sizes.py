"""The sizes of one of our models as fields, with a drawing and the count of parameters that follows from them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from tb_widgets.app import words
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import card, framed, labelled, row, show
from tb_widgets.app.parts.form import Form
from tb_widgets.app.parts.memory import fit_chip, memory_in_words
from tb_widgets.app.registry import Panel, panel
from tb_widgets.app.state.description import SIZES
from tb_widgets.app.state.fields import CARDS, read_typed
from tb_widgets.spec import task_record

if TYPE_CHECKING:
    from tb_widgets.app.session import Session
    from tb_widgets.app.state.draft import Draft
    from tb_widgets.app.state.model_choice import ModelChoice

HELP = {
    "n_layer": "More layers learn more abstract patterns.",
    "n_head": "Attention heads per layer; each can attend to something else.",
    "n_embd": "Length of each token's vector, shared evenly by the heads.",
}
MOST_DRAWN = 12  # layers


@panel("model-sizes", step="model", column="main", order=5)
class ModelSizesPanel(Panel):
    """Layers, heads, width and context of one of our models."""

    watches = ("draft", "model")

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._following = False

    def render(self) -> widgets.Widget:
        """Build the card."""
        self._inputs: dict[str, widgets.Text] = {}
        self._frames: dict[str, widgets.Box] = {}
        fields = []
        for name, title in SIZES.items():
            made = widgets.Text(continuous_update=False)
            made.add_class(f"tbw-at-size-{name.replace('_', '-')}")
            made.observe(self._enter(name), "value")
            self._inputs[name] = made
            self._frames[name] = framed(made)
            told = widgets.HTML(f'<div class="tbw-help">{HELP[name]}</div>')
            fields.append(labelled(title, self._frames[name], told))
        self._context = Form(self.session.draft, ["data.context_length"], self.act)
        self._error = widgets.HTML()
        self._picture = widgets.HTML()
        self._card = card("Sizes", [row([*fields, self._context.widget], "tbw-fields"), self._error, self._picture])
        return self._card

    def _enter(self, name: str) -> Any:
        def entered(change: dict[str, str]) -> None:
            if not self._following:
                self.act(lambda: self._set(name, change["new"]))

        return entered

    def _set(self, name: str, text: str) -> None:
        draft = self.session.draft
        config = draft.values["model.config"]
        config = dict(config) if isinstance(config, dict) else {}
        value = read_typed(CARDS["training.steps"], text)  # a whole number as people write it
        config.pop(name, None)
        draft.set("model.config", config if value in ("", None) else {**config, name: value})

    def draw(self) -> None:
        """Show the sizes, what follows from them, or why they are refused."""
        session = self.session
        draft, choice = session.draft, session.choice
        is_ours = str(draft.values["model.source"]).startswith("zoo:") and choice.state == "ours"
        show(self._card, is_ours and session.policy.may_set("model.config"))
        entered = draft.values["model.config"]
        entered = entered if isinstance(entered, dict) else {}
        known = draft.model.sizes if draft.model is not None else {}
        self._following = True
        try:
            for name, made in self._inputs.items():
                value = entered.get(name, known.get(name))
                if value is not None and str(value) != made.value:
                    made.value = str(value)
        finally:
            self._following = False
        self._context.follow()
        reads_images = draft.facts is not None and task_record(draft.facts.task).reads_images
        show(self._context.widget, not reads_images)
        for name, frame in self._frames.items():
            (frame.add_class if name == draft.wrong_size else frame.remove_class)("is-bad")
        problem = draft.errors.get("model.config", "")
        self._error.value = f'<div class="tbw-reason tbw-error">{"✕ " + escape(problem) if problem else ""}</div>'
        is_known = draft.model is not None and draft.model.sizes
        self._picture.value = _drawn(draft, choice) if is_known else ""


def _drawn(draft: Draft, choice: ModelChoice) -> str:
    """Return a small picture of the layers, with what they come to beside it."""
    assert draft.model is not None  # noqa: S101 - asked before
    sizes, model = draft.model.sizes, draft.model
    layers = sizes["n_layer"]
    shown = min(layers, MOST_DRAWN)
    wide = 60 + min(120.0, sizes["n_embd"] / 6)
    high, gap = 9, 3
    boxes = []
    for stack in range(sizes.get("stacks", 1)):
        left = stack * (wide + 16)
        for layer in range(shown):
            y = (shown - 1 - layer) * (high + gap)
            boxes.append(f'<rect x="{left:.0f}" y="{y}" width="{wide:.0f}" height="{high}" rx="2"/>')
    whole = sizes.get("stacks", 1) * (wide + 16)
    height = shown * (high + gap)
    name = f"{layers} layers of width {sizes['n_embd']}"
    more = f"<br>{shown} of {layers} layers drawn" if layers > shown else ""
    parameters = f'<b class="tbw-number">{words.short_count(model.parameters)}</b> parameters'
    memory = memory_in_words(draft, choice)
    return (
        f'<figure class="tbw-picture tbw-stack"><svg viewBox="0 0 {whole:.0f} {height}" width="{whole:.0f}" '
        f'height="{height}" role="img" aria-label="{name}">{"".join(boxes)}</svg>'
        f"<figcaption>{parameters} · memory {escape(memory)} {fit_chip(draft)}{more}</figcaption></figure>"
    )
