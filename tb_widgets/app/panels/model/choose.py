"""The Model step: which model is trained, where it comes from, and what it is like."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from tb_widgets.app import words
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import button, card, framed, labelled, row, show
from tb_widgets.app.parts.entry import Entry
from tb_widgets.app.parts.fitted import fitted_notes
from tb_widgets.app.parts.form import Form
from tb_widgets.app.parts.memory import fit_chip, memory_in_words
from tb_widgets.app.parts.upload import Upload
from tb_widgets.app.registry import Panel, panel
from tb_widgets.app.state.description import reason_of
from tb_widgets.app.state.fields import CARDS
from tb_widgets.errors import ModelError, UndecidedError
from tb_widgets.service.data import uploads
from tb_widgets.service.models import ZOO_TITLES, names_whole_address, pinned
from tb_widgets.service.policy import allowed_models
from tb_widgets.spec import task_record

if TYPE_CHECKING:
    from tb_widgets.app.session import Session
    from tb_widgets.app.state.model_choice import ModelChoice

_INVITATION = "Drop model.py and config.json here, or a zip of them, or choose them."
_MOST_FILES, _MOST_BYTES = 20, 50_000_000
_OURS = {
    "gpt": "generates text",
    "bert": "fills in masked tokens",
    "bert-classifier": "classifies texts",
    "t5": "maps one text to another",
    "vit": "classifies images",
}
_HELP = (
    "The address of a Gist (transformer-builder.com exports there) or of a model at huggingface.co, or the path of a "
    "model.py or of its folder on the machine that runs the dashboard. Loading a local path runs its code."
)


@panel("model", step="model", column="main", order=1)
class ModelPanel(Panel):
    """One field for whatever names a model, and ours to choose from."""

    watches = ("draft", "model")

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._following = self._was_refused = False

    def render(self) -> widgets.Widget:
        """Build the form."""
        session = self.session
        self._address = Entry(
            "model-address", "Load", "Paste the address of a Gist, or a path", self._entered, self._pasted
        )
        self._told = widgets.HTML()
        self._copy = button("Use the cached copy", lambda: self.act(self._use_copy), "tbw-at-copy")
        self._help = widgets.HTML(f'<div class="tbw-help">{_HELP}</div>')
        policy = session.policy
        own = []
        if policy.is_owner:
            upload = Upload(
                self.act,
                self._take,
                invitation=_INVITATION,
                accept=".py,.json,.zip",
                most_files=_MOST_FILES,
                most_bytes=_MOST_BYTES,
            )
            own = [labelled("Your model", self._address, self._told, row([self._copy]), self._help, upload)]
        ours = [(f"{ZOO_TITLES[name]}: {what}", f"zoo:{name}") for name, what in _OURS.items()]
        ours += [] if policy.is_owner else [(name, name) for name in allowed_models()]
        self._ours = widgets.Dropdown(options=[*ours, ("–", "")])
        self._ours.add_class("tbw-at-model-source-choice")
        self._ours.observe(self._chosen, "value")
        choice = labelled("Or a built-in model" if policy.is_owner else "One of these", framed(self._ours))
        if not policy.is_owner:
            choice.children = (*choice.children, self._told)
        self._size = Form(session.draft, ["model.preset"], self.act)
        self._config = Form(session.draft, ["model.config"] if policy.may_set("model.config") else [], self.act)
        self._more = widgets.ToggleButton(description="More", tooltip="")
        self._more.add_class("tbw-at-model-more")
        self._more.observe(self._unfold, "value")
        show(self._config.widget, False)
        return card("Model", [*own, choice, self._size.widget, self._more, self._config.widget])

    def _unfold(self, change: dict[str, bool]) -> None:
        show(self._config.widget, change["new"])
        self._more.description = "Less" if change["new"] else "More"

    def _take(self, paths: list[Path]) -> None:
        """Take a model's files, which are kept elsewhere than data are."""
        try:
            self.session.upload_model({path.name: path.read_bytes() for path in paths})
        finally:
            for path in paths:
                uploads.remove(path)

    def _entered(self, text: str) -> None:
        self.act(lambda: self._load(text))

    def _load(self, address: str) -> None:
        try:
            self.session.load_model(address)
        except ModelError as error:
            refused = self.session.choice.refused
            if refused is None or refused.error is not error:  # else it is told beside the field
                raise

    def _use_copy(self) -> None:
        self.session.load_model(pinned(self.session.choice.copies[0]))

    def _pasted(self, text: str) -> None:
        """Load a whole address without waiting for Enter; behind half an address more may be pasted."""
        if names_whole_address(text):
            self._entered(text)

    def _chosen(self, change: dict[str, str]) -> None:
        if change["new"] and not self._following:
            self.act(lambda: self._load(change["new"]))

    def draw(self) -> None:
        """Follow the draft."""
        session = self.session
        draft, choice = session.draft, session.choice
        source = str(draft.values["model.source"])
        is_ours = source.startswith("zoo:") and choice.state == "ours"
        known = [value for _, value in self._ours.options]
        refused = choice.refused
        self._following = True
        try:
            self._ours.value = source if source in known else ""
            if refused is not None:
                self._address.text = self._address.text or refused.address
            elif is_ours:
                self._address.text = ""
            elif not self._address.text or self._was_refused:
                self._address.text = choice.address
            self._was_refused = refused is not None
        finally:
            self._following = False
        is_mute = choice.was_stopped or isinstance(choice.error, UndecidedError)  # no fault of what was typed
        failed = choice.state == "failed" and choice.error is not None and not is_mute
        self._address.is_bad = failed if refused is None else not refused.is_cancelled
        self._told.value = f'<div class="tbw-reason">{_told(choice)}</div>'
        copies = choice.copies
        show(self._copy, bool(copies))
        if copies:
            self._copy.description = f"Use the cached copy of {str(copies[0].origin.get('updated'))[:10]}"
        self._size.follow()
        self._config.follow()
        show(self._size.widget, is_ours)
        # Overrides reach the constructor of one's own model as well.
        is_there = choice.original is not None and choice.state in ("ready", "waiting", "failed") and not is_mute
        show(self._more, bool(self._config.fields) and (is_ours or is_there))
        if "model.config" in draft.errors and not is_ours and not self._more.value:
            self._more.value = True  # the way out is there


def _told(choice: ModelChoice) -> str:
    """Return why what was asked for can't be had, and that nothing is lost; empty where nothing was refused."""
    refused = choice.refused
    if refused is None:
        return ""
    reason = words.form_names(reason_of(refused.error, "model.source"))
    told = f"{reason[0].upper()}{reason[1:]} Your previous model is still selected."
    tone, sign = ("tbw-help", "") if refused.is_cancelled else ("tbw-error", "✕ ")
    return f'<div class="{tone}" role="status">{sign}{escape(told)}</div>'


@panel("model-summary", step="model", column="side", order=1)
class ModelSummaryPanel(Panel):
    """What the chosen model is like."""

    watches = ("draft", "model")

    def render(self) -> widgets.Widget:
        """Build the card."""
        self._facts = widgets.HTML()
        return card("What you get", [self._facts])

    def draw(self) -> None:
        """Follow the draft and what is found out about its model."""
        draft, choice = self.session.draft, self.session.choice
        model, spec = draft.model, draft.spec
        unknown_model = choice.state == "failed" and choice.source is None  # the form still holds the one before
        if choice.state == "fetching" or model is None or unknown_model:
            waiting = "The model is being fetched." if choice.state == "fetching" else "Choose a model first."
            if "model.config" in draft.errors:
                waiting = "These sizes are impossible: see Sizes."
            self._facts.value = f'<span class="tbw-muted">{waiting}</span>'
            return
        answer = choice.answer
        parameters = answer.get("parameters", model.parameters)
        vocabulary = answer.get("vocab_size", model.vocab_size)
        limit = answer.get("context_limit", model.context_limit)
        unlimited = limit is None and (bool(answer) or model.unlimited_context)
        task = answer.get("task") or (draft.facts.task if draft.facts else None)
        unknown = "known once it is tested"
        pairs = [
            ("Model", model.title),
            ("Task", CARDS["model.task"].label(task) if task else unknown),
            ("Parameters", words.short_count(parameters) if parameters else unknown),
        ]
        if not task_record(task or "").reads_images:
            pairs += [
                ("Vocabulary", f"{words.count(vocabulary)} tokens" if vocabulary else unknown),
                ("Longest context", f"{limit:,} tokens" if limit else "no limit" if unlimited else unknown),
                ("Context length", f"{spec.data.context_length:,} tokens"),
            ]
        if answer.get("image"):
            pairs.append(("Image", " × ".join(str(side) for side in answer["image"])))
        if answer.get("classes"):
            pairs.append(("Classes", words.count(answer["classes"])))
        if draft.need is not None:
            pairs.append(("Memory for training", memory_in_words(draft, choice)))
        self._facts.value = words.facts(pairs) + f"<p>{fit_chip(draft)}</p>" + fitted_notes(draft)
