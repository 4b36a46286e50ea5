"""What was asked for and is not the form's yet: what there is to choose in it, the fetch, and what went wrong."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from tb_widgets.app import words
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import button, card, framed, labelled, row, show
from tb_widgets.app.registry import Panel, panel
from tb_widgets.service.data import uploads
from tb_widgets.wording import counted, size_in_words

if TYPE_CHECKING:
    from tb_widgets.app.session import Session
    from tb_widgets.app.state.data_choice import Wanted
    from tb_widgets.service.data import HubFacts

_TITLES = {
    "inspecting": ("Reading the dataset's contents …", ""),
    "asking": ("Choose a configuration, then download", "nothing has been downloaded yet"),
    "fetching": ("Downloading …", ""),
    "looking": ("Reading …", ""),
    "failed": ("That did not work", "your previous dataset is still selected"),
}


class Pick:
    """A labelled choice among names that are known only once the dataset has been asked."""

    def __init__(self, label: str, place: str, pick: Any) -> None:
        self._pick, self._following = pick, False
        self._choice = widgets.Dropdown(options=[("–", "")])
        self._choice.add_class(f"tbw-at-{place}")
        self._choice.observe(self._chosen, "value")
        self.widget = labelled(label, framed(self._choice))

    def _chosen(self, change: dict[str, Any]) -> None:
        if not self._following:
            self._pick(change["new"])

    def follow(self, options: list[tuple[str, str]], value: str) -> None:
        """Offer these (label, value), with one of them chosen."""
        self._following = True
        try:
            if tuple(options) != tuple(self._choice.options):
                self._choice.options = options
            if value != self._choice.value and value in [known for _, known in options]:
                self._choice.value = value
        finally:
            self._following = False


@panel("data-found", step="data", column="main", order=2)
class DataFoundPanel(Panel):
    """One card for data on their way."""

    watches = ("data",)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._following = False

    def render(self) -> widgets.Widget:
        """Build the card."""
        data, act = self.session.data, self.act
        self._text = widgets.HTML()

        def decide(name: str) -> Any:
            return lambda value: act(lambda: data.decide(**{name: value or None}))

        self._config = Pick("Configuration", "data-config", decide("config"))
        self._split = Pick("Learn from", "data-split", decide("split"))
        self._held_back = Pick("Validate on", "data-test-on", decide("validation_split"))
        self._part = widgets.Checkbox(description="Only as much as the run can use", indent=False)
        self._part.add_class("tbw-at-data-streaming")
        self._part.observe(lambda change: self._following or act(lambda: data.decide(streaming=change["new"])), "value")
        fields = row([self._config.widget, self._split.widget, self._held_back.widget], "tbw-fields")
        self._choices = widgets.VBox([fields, self._part])
        self._get = button("Download", lambda: act(data.get), "tbw-primary", "tbw-at-get-data")
        self._cancel = button("Cancel", lambda: act(data.cancel), "tbw-at-cancel-data")
        self._card = card("", [self._text, self._choices, row([self._get, self._cancel])])
        self._heading = self._card.children[0]
        return self._card

    def draw(self) -> None:
        """Follow what is wanted."""
        data = self.session.data
        wanted = data.wanted
        missing = wanted is None and data.is_missing
        show(self._card, wanted is not None or missing)
        if wanted is None:
            self._heading.value = words.heading("Not on this machine yet")
            source = words.without_upload_folder(self.session.draft.spec.data.source)
            self._text.value = f'<p class="tbw-muted">{escape(source)}</p>'
        else:
            self._heading.value = words.heading(*_TITLES[wanted.stage])
            self._text.value = _told(wanted)
            self._follow_choices(wanted)
        stage = wanted.stage if wanted is not None else "asking"
        show(self._choices, wanted is not None and wanted.facts is not None and stage in ("asking", "failed"))
        may_get = missing
        if wanted is not None:
            # What was dropped on the page and refused is not kept.
            again = stage == "failed" and not uploads.is_upload(wanted.data.source)
            may_get = again or (stage == "asking" and wanted.is_decided)
        show(self._get, may_get)
        failed = stage == "failed"
        self._get.description = "Try again" if failed else "Download"
        # What the network did may pass; a file that can't be read stays so until somebody changes it.
        may_pass = wanted is not None and wanted.error is not None and "try again" in wanted.error.hint.lower()
        (self._get.remove_class if failed and not may_pass else self._get.add_class)("tbw-primary")
        show(self._cancel, not missing)
        self._cancel.description = "Close" if failed else "Cancel"

    def _follow_choices(self, wanted: Wanted) -> None:
        facts, data = wanted.facts, wanted.data
        if facts is None:
            return
        chosen = data.config or facts.config
        first = [] if chosen else [("choose one", "")]
        self._config.follow([*first, *((name, name) for name in facts.configs)], chosen or "")
        show(self._config.widget, len(facts.configs) > 1)
        names = [split.name for split in facts.splits]
        usual = "train" if "train" in names else next(iter(names), "")
        self._split.follow([(name, "" if name == usual else name) for name in names], data.split or "")
        show(self._split.widget, len(names) > 1)
        others = [(name, name) for name in names if name != (data.split or usual)]
        self._held_back.follow([("a share of it", ""), *others], data.validation_split or "")
        show(self._held_back.widget, bool(others))
        show(self._part, bool(names))
        self._following = True
        try:
            self._part.value = data.streaming
        finally:
            self._following = False


def _told(wanted: Wanted) -> str:
    """Return what is known of what is wanted, and how far it is."""
    parts = [f'<p class="tbw-muted">{escape(words.without_upload_folder(wanted.data.source))}</p>']
    if wanted.stage == "failed" and wanted.error is not None:
        parts.append(words.error_note(wanted.error))
    elif wanted.stage == "asking" and wanted.facts is not None:
        parts.append(_facts(wanted.facts))
    elif wanted.job is not None:
        share = wanted.job.share
        known = 0 < share <= 1
        width = f"width:{100 * share:.1f}%" if known else ""
        parts.append(
            f'<div class="tbw-progress {"" if known else "is-waiting"}" role="progressbar">'
            f'<span style="{width}"></span></div><div class="tbw-facts">{escape(wanted.job.phase)}</div>'
        )
    return "".join(parts)


def _facts(facts: HubFacts) -> str:
    """Return what a dataset holds, before anything of it is downloaded."""
    parts = [f"<p>{escape(facts.description[:300])}</p>"] if facts.description else []
    if not facts.splits:
        return "".join(
            [*parts, words.note(f"It has {counted(len(facts.configs), 'configuration')}: choose one.", "on")]
        )
    splits = [
        (split.name, f"{f'{split.rows:,} rows, ' if split.rows is not None else ''}{size_in_words(split.size)}")
        for split in facts.splits
    ]
    parts.append(words.facts([*splits, ("Columns", ", ".join(column.name for column in facts.columns))]))
    if facts.first_rows:
        names = list(facts.first_rows[0])
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        rows = [[f"<td>{escape(row.get(name, '')[:200])}</td>" for name in names] for row in facts.first_rows[:3]]
        lines = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
        parts.append(f'<div class="tbw-scroll"><table class="tbw-table is-rows"><tr>{head}</tr>{lines}</table></div>')
    return "".join(parts)
