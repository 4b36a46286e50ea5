"""What the model will be given, seen before Start: counts, warnings, the first rows, and one real batch."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from tb_widgets.app import words
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import card, show
from tb_widgets.app.registry import Panel, panel
from tb_widgets.wording import listed, steps_in_words

if TYPE_CHECKING:
    from tb_widgets.service.data import Bar, BatchRow, Marked, Preview

BREAK, SHOWN_BREAK = "\n", "↵\n"
LEGEND = {
    "special": "special token",
    "hidden": "masked, to be predicted",
    "changed": "replaced, to be predicted",
    "asked": "unchanged, to be predicted",
}


@panel("data-preview", step="data", column="side", order=1)
class DataPreviewPanel(Panel):
    """Counts, and what would waste a night."""

    watches = ("data",)

    def render(self) -> widgets.Widget:
        """Build the card."""
        self._text = widgets.HTML()
        self._card = card("What you get", [self._text])
        return self._card

    def draw(self) -> None:
        """Follow the look at the data."""
        data = self.session.data
        look = data.look
        if look is None and data.is_busy and self._text.value:
            self._card.add_class("tbw-stale")  # what stands there stays until more is known: nothing jumps
            return
        self._card.remove_class("tbw-stale")
        problem = data.error or (look.problem if look is not None else None)
        told = "" if problem is None else words.error_note(problem)
        if look is not None and look.preview is not None:
            self._text.value = told + _counts(look.preview)
        else:
            waiting = "Looking …" if data.is_busy else "Choose data first."
            self._text.value = told or f'<p class="tbw-muted">{waiting}</p>'


@panel("data-batch", step="data", column="main", order=5)
class DataBatchPanel(Panel):
    """The first rows, a batch with every special token in it, and how long the texts are."""

    watches = ("data",)

    def render(self) -> widgets.Widget:
        """Build the card."""
        self._text = widgets.HTML()
        self._card = card("As the model reads it", [self._text])
        self._card.add_class("tbw-last")
        return self._card

    def draw(self) -> None:
        """Follow the look at the data."""
        data = self.session.data
        look = data.look
        if look is None and data.is_busy:
            return
        shown = look.preview if look is not None else None
        show(self._card, shown is not None and bool(shown.batch or shown.first_rows))
        if shown is not None:
            self._text.value = _rows(shown) + _batch(shown.batch) + _lengths(shown)


def _counts(found: Preview) -> str:
    about = "" if found.counted == "exact" else "about "
    pairs = [("Sample", found.looked_at)]
    if found.units is not None and found.unit == "row":
        pairs.append(("Rows", f"{'' if found.share == 1.0 else 'about '}{words.count(found.units)}"))
    if found.tokens is not None:
        pairs.append(("Tokens", f"{about}{words.count(found.tokens)}"))
    if found.tokens_per_parameter is not None:
        pairs.append(("Tokens per parameter", words.rounded(found.tokens_per_parameter)))
    if found.steps_per_epoch is not None:
        pairs.append(("One epoch", steps_in_words(found.steps_per_epoch)))
    if found.vocab_size is not None:
        pairs.append(("Vocabulary", f"{words.count(found.vocab_size)} tokens"))
    if found.truncated is not None:
        pairs.append(("Longer than the context", words.percent(found.truncated)))
    if found.batch:
        pairs += [
            (f"Empty {found.unit}s", words.percent(found.empty)),
            (f"Duplicate {found.unit}s", words.percent(found.duplicates)),
            ("Unknown characters", words.percent(found.unknown)),
        ]
    classes = [name if not count else f"{name} ({count:,})" for name, count in found.classes]
    if classes:
        pairs.append(("Classes", listed(classes)))
    told = [*(words.note(text) for text in found.warnings), *(words.note(text, "on") for text in found.notes)]
    return "".join(told) + words.facts(pairs)


def _rows(found: Preview) -> str:
    if not found.first_rows:
        return ""
    if found.unit == "line" and len(found.header) <= 1:
        lines = "\n".join(row[0] for row in found.first_rows if row)
        return f'<h3>It begins</h3><pre class="tbw-text tbw-log">{escape(lines)}</pre>'
    head = "".join(f"<th>{escape(name)}</th>" for name in found.header)
    rows = [[f"<td>{escape(cell)}</td>" for cell in row] for row in found.first_rows]
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    table = f'<table class="tbw-table is-rows"><tr>{head}</tr>{body}</table>'
    return f'<h3>The first rows</h3><div class="tbw-scroll">{table}</div>'


def _batch(rows: Iterable[BatchRow]) -> str:
    """Return rows of a batch; colours never say alone what a mark means: the sign, the frame and the legend do."""
    drawn, kinds = [], set()
    for number, row in enumerate(rows):
        kinds |= {token.kind for token in (*row.reads, *row.answers)}
        answers = f'<div class="tbw-answers">→ {_tokens(row.answers)}</div>' if row.answers else ""
        drawn.append(f'<div class="tbw-batch-row"><b>{number + 1}</b><div>{_tokens(row.reads)}{answers}</div></div>')
    if not drawn:
        return ""
    legend = "".join(
        f'<span><i class="tbw-token is-{kind}">{"[MASK]" if kind == "hidden" else "abc"}</i> {text}</span>'
        for kind, text in LEGEND.items()
        if kind in kinds
    )
    return (
        f'<h3>The beginning of a batch: each piece is one token</h3><div class="tbw-batch">{"".join(drawn)}</div>'
        f'<div class="tbw-facts">{legend}</div>'
    )


def _tokens(tokens: Iterable[Marked]) -> str:
    return "".join(
        f'<span class="tbw-token is-{token.kind}" title="{escape(f"was: {token.was}") if token.was else ""}">'
        f"{escape(token.text).replace(BREAK, SHOWN_BREAK)}{_was(token)}</span>"
        for token in tokens
    )


def _was(token: Marked) -> str:
    return f"<sub>{escape(token.was)}</sub>" if token.was else ""


def _lengths(found: Preview) -> str:
    bars: tuple[Bar, ...] = found.lengths
    most = max((bar.texts for bar in bars), default=0)
    if not most:
        return ""
    lines = "".join(
        f'<tr><td>up to {bar.up_to:,}</td><td><span class="tbw-stick" style="width:{100 * bar.texts / most:.1f}%">'
        f"</span></td><td>{bar.texts:,}</td></tr>"
        for bar in bars
    )
    return (
        f"<h3>Tokens per {found.unit}: median {found.typical_length:,}, "
        f'95 % have {found.long_length:,} or fewer</h3><table class="tbw-sticks">{lines}</table>'
    )
