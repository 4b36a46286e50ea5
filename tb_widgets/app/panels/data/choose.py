"""The Data step: which text is learned, and how it becomes tokens."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from tb_widgets.app import words
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import button, card, fold, framed, labelled, show
from tb_widgets.app.parts.choice_table import ChoiceTable
from tb_widgets.app.parts.entry import Entry
from tb_widgets.app.parts.fitted import fits_button, fitted_notes
from tb_widgets.app.parts.form import Form
from tb_widgets.app.parts.upload import Upload
from tb_widgets.app.registry import Panel, panel
from tb_widgets.app.state.fields import CARDS
from tb_widgets.service.data import Offer, offer_of, offers
from tb_widgets.spec import TASKS, DataSpec, Task
from tb_widgets.wording import size_in_words

if TYPE_CHECKING:
    from tb_widgets.app.session import Session

ACCEPTED = ".txt,.md,.json,.jsonl,.csv,.tsv,.parquet,.gz,.zip"
_MOST_BYTES = 10_000_000_000  # what is larger is given by its path
_INVITATION = "Drop a file here, or choose one: txt, md, json, jsonl, csv, tsv, parquet, gz or zip."
_HELP = (
    "A file, folder or pattern (books/*.txt) on the machine that runs the dashboard, the https:// address of a file, "
    "or that of a dataset's page at huggingface.co."
)
BASIC = [
    "tokenizer.kind",
    "tokenizer.vocab_size",
    "tokenizer.file",
    "data.context_length",
    "data.validation_fraction",
]
ADVANCED = ["data.encoding", "data.validation_split", "data.padding_side", "data.long_pairs", "data.reset_attention"]


@panel("data", step="data", column="main", order=1)
class DataPanel(Panel):
    """What there is to learn from: ours, well-known datasets, one's own, and all of the Hub."""

    watches = ("draft", "data")

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._following = False
        self._source = session.draft.spec.data.source

    def render(self) -> widgets.Widget:
        """Build the card."""
        session = self.session
        act, data = self.act, session.data
        self._notes = widgets.HTML()
        self._fits = fits_button(session)
        self._choice = widgets.Dropdown(options=[("–", "")])
        self._choice.add_class("tbw-at-data-source-choice")
        self._choice.observe(self._chosen, "value")
        self._about = widgets.HTML()
        self._all = widgets.Checkbox(description="Show datasets for other tasks too", indent=False)
        self._all.add_class("tbw-at-data-all")
        self._all.observe(lambda _: act(self._offer), "value")
        choice = labelled("Suggested datasets", framed(self._choice), self._about, self._all)

        self._address = Entry("data-source", "Load", "Path or address", lambda text: act(lambda: data.choose(text)))
        self._help = widgets.HTML(f'<div class="tbw-help">{_HELP}</div>')

        find = Entry("data-search", "Search", 'Dataset name, e.g. "poems"', lambda text: act(lambda: data.find(text)))
        self._told = widgets.HTML()
        self._table = ChoiceTable(columns=["Dataset", "Downloads", "About"])
        self._table.observe(self._picked, "selected")
        self._results = widgets.Box([self._table])
        self._results.add_class("tbw-results")
        hub = labelled(
            "Or search the Hugging Face Hub",
            find,
            self._told,
            self._results,
        )
        if not session.policy.is_owner:
            return card("Data", [self._notes, self._fits, choice])
        upload = Upload(
            act,
            lambda paths: data.choose(str(paths[0])),
            invitation=_INVITATION,
            accept=ACCEPTED,
            most_files=1,
            most_bytes=_MOST_BYTES,
        )
        own = labelled("Your own data", self._address, self._help, upload)
        return card("Data", [self._notes, self._fits, choice, own, hub])

    # ---- what is pressed -------------------------------------------------------------------------------------------

    def _chosen(self, change: dict[str, Any]) -> None:
        if self._following or not change["new"]:
            return
        values = next((offer.values for offer in offers() if offer.name == change["new"]), {"source": change["new"]})
        self.act(lambda: self.session.data.choose(**values))

    def _picked(self, change: dict[str, Any]) -> None:
        if change["new"] and not self._following:
            self.act(lambda: self.session.data.choose(f"hub:{change['new']}"))

    # ---- what is shown ---------------------------------------------------------------------------------------------

    def draw(self) -> None:
        """Follow the form and what is on its way."""
        draft = self.session.draft
        self._forget_address()
        self._notes.value = fitted_notes(draft, "data", "tokenizer")
        show(self._notes, bool(self._notes.value))
        show(self._fits, bool(draft.remedies))
        self._offer()
        self._show_search()
        reason = draft.errors.get("data.source", "")
        self._address.is_bad = bool(reason)
        error = f'<div class="tbw-error">✕ {escape(reason)}</div>' if reason else ""
        self._about.value = error or f'<div class="tbw-help">{escape(_about(draft.spec.data))}</div>'

    def _forget_address(self) -> None:
        """Leave no address standing that is not the one of the data, once others were chosen."""
        source = self.session.draft.spec.data.source
        if source != self._source:
            self._source = source
            if self._address.text.strip() != source:
                self._address.text = ""

    def _offer(self) -> None:
        """Offer what serves the model's task, and on request the rest, each with the reason why it does not."""
        draft = self.session.draft
        task: Task = draft.facts.task if draft.facts is not None else "causal-lm"
        known = [*offers()]
        fitting = [(_title(offer), offer.name) for offer in known if task in offer.tasks]
        others = [(f"{_title(o)}: only for {o.serves}", o.name) for o in known if task not in o.tasks]
        chosen = offer_of(draft.spec.data)
        value = chosen.name if chosen is not None else draft.spec.data.source
        offered = [*fitting, *(other for other in others if self._all.value or other[1] == value)]
        if value not in [name for _, name in offered]:
            offered.append((f"Your own: {words.short_source(value)}", value))
        self._following = True
        try:
            if tuple(offered) != tuple(self._choice.options):
                self._choice.options = offered
            self._choice.value = value
        finally:
            self._following = False

    def _show_search(self) -> None:
        search = self.session.data.search
        show(self._results, search is not None and bool(search.result))
        if search is None:
            self._told.value = ""
        elif not search.finished.is_set():
            self._told.value = '<div class="tbw-help">Searching …</div>'
        elif search.error is not None:
            self._told.value = words.error_note(search.error)
        elif not search.result:
            self._told.value = '<div class="tbw-help">Nothing of that name was found.</div>'
        else:
            self._told.value = ""
            self._following = True
            try:
                self._table.selected = ""
                self._table.rows = [
                    {"key": found.id, "cells": [found.id, words.short_count(found.downloads), found.about]}
                    for found in search.result
                ]
            finally:
                self._following = False


@panel("tokens", step="data", column="main", order=4)
class TokensPanel(Panel):
    """How text becomes tokens, how much the model sees at once, and how much is held back."""

    watches = ("draft", "data")

    def render(self) -> widgets.Widget:
        """Build the form; what few need is behind a switch."""
        draft, act = self.session.draft, self.act
        may_set = self.session.policy.may_set
        labels = CARDS["tokenizer.kind"].labels
        kinds = [(label, kind) for kind, label in labels.items() if kind != "file" or may_set("tokenizer.file")]
        self._form = Form(draft, filter(may_set, BASIC), act, choices={"tokenizer.kind": kinds})
        self._advanced = Form(draft, ADVANCED, act)
        show(self._advanced.widget, False)
        self._more = fold("More settings", "Fewer settings", lambda is_open: show(self._advanced.widget, is_open))
        self._get = button(
            "Download the tokenizer", lambda: act(self.session.data.get_tokenizer), "tbw-at-get-tokenizer"
        )
        self._told = widgets.HTML()
        fetch = [self._get, self._told]
        self._card = card("Tokenizer", [self._form.widget, *fetch, self._more, self._advanced.widget])
        return self._card

    def draw(self) -> None:
        """Follow the draft."""
        draft, data = self.session.draft, self.session.data
        reads_text = draft.facts is None or not TASKS[draft.facts.task].reads_images
        kind = draft.values["tokenizer.kind"]
        shown = {
            "tokenizer.kind": reads_text,
            "tokenizer.vocab_size": reads_text and kind in ("bpe", "unigram"),
            "tokenizer.file": reads_text and kind == "file",
            "data.context_length": reads_text,
            "data.validation_fraction": not draft.values["data.validation_split"],
        }
        self._form.follow()
        self._advanced.follow()
        for field in self._form.fields:
            show(field.widget, shown[field.card.path])
        show(self._more, reads_text)
        is_remote = kind == "file" and str(draft.values["tokenizer.file"] or "").startswith("hub:")
        show(self._get, is_remote and "tokenizer.file" in draft.errors)
        job = data.tokenizer if is_remote else None
        show(self._told, job is not None)
        if job is not None:
            waiting = f'<div class="tbw-help">{escape(job.phase or "Asking the Hub")} …</div>'
            self._told.value = words.error_note(job.error) if job.error is not None else waiting


def _title(offer: Offer) -> str:
    more = f", about {size_in_words(offer.megabytes * 1e6)} to fetch" if offer.megabytes else ""
    return f"{offer.title}{more}"


def _about(data: DataSpec) -> str:
    """Return what is said of data that are offered, or where one's own are."""
    offer = offer_of(data)
    return offer.help if offer is not None else words.without_upload_folder(data.source)
