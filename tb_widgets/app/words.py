"""Numbers and texts as people read them, escaped for HTML."""

from __future__ import annotations

import math
import re
import time
from functools import cache
from html import escape
from typing import Any, NamedTuple

from tb_widgets.errors import SpecError, TbError
from tb_widgets.runs.folders import default_cache_dir
from tb_widgets.service.data import offer_of
from tb_widgets.spec import DataSpec, RunSpec
from tb_widgets.spec.metrics import LOSS
from tb_widgets.wording import age_in_words
from tb_widgets.wording import percent as percent_in_words


def count(value: float | None) -> str:
    """Return a count with thin grouping, ``–`` when unknown."""
    return "–" if value is None else f"{value:,.0f}"


LONGEST = 1200  # characters of a message


def short_count(value: float | None) -> str:
    """Return a rough count: ``430 k``, ``1.2 M``."""
    if value is None:
        return "–"
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def metric(value: float | None) -> str:
    """Return a loss, with as many digits as in every other place.

    >>> metric(3.5), metric(None)
    ('3.500', '–')
    """
    return "–" if value is None else LOSS.written(value)


def rounded(value: float) -> str:
    """Return a number with two significant digits, and all of those before the point; never with a power of ten.

    >>> rounded(2249.3), rounded(1.52), rounded(0.0000463)
    ('2,249', '1.5', '0.000046')
    """
    if value == 0 or abs(value) >= 10:
        return f"{value:,.0f}"
    return f"{value:.{1 - math.floor(math.log10(abs(value)))}f}"


def percent(value: float | None) -> str:
    """Return a share as ``34.1 %``."""
    return "–" if value is None else percent_in_words(value)


def ago(moment: float) -> str:
    """Return how long ago a moment was: ``just now``, ``5 min ago``."""
    seconds = time.time() - moment
    return "just now" if seconds < 60 else f"{age_in_words(seconds)} ago"


def short_source(source: str) -> str:
    """Return what data are called where there is little room: without folders, owner and revision."""
    name = source.partition("@")[0].rstrip("/").rpartition("/")[2]
    return name if len(name) <= 40 else f"{name[:39]}…"


def data_title(data: DataSpec) -> str:
    """Return what data are called where there is little room: those that the page offers as it offers them.

    >>> data_title(DataSpec(source="python-docs")), data_title(DataSpec(source="books/poems.txt"))
    ("Python's reference", 'poems.txt')
    """
    offer = offer_of(data)
    return short_source(data.source) if offer is None else offer.title.partition(" (")[0]


def without_upload_folder(text: str) -> str:
    """Return a text in which files that were dropped on the page have their own names, without our folder for them."""
    folder = re.escape(str(default_cache_dir() / "uploads"))
    return re.sub(rf"{folder}[\\/][0-9a-f]{{64}}[\\/]", "", text)


@cache
def _titles() -> tuple[re.Pattern[str], dict[str, str]]:
    titles = {card.path: card.title for card in RunSpec.field_cards() if "." in card.path}
    longest_first = "|".join(re.escape(path) for path in sorted(titles, key=len, reverse=True))
    return re.compile(rf"(?<![\w./])({longest_first})(?![\w/]|\.\w)"), titles


def form_names(text: str) -> str:
    """Return a text in which fields have the names that the form gives them, and not those of a spec.

    >>> form_names("data.columns: there is no text. Choose another data.source.")
    'Columns: there is no text. Choose another “Data”.'
    """
    paths, titles = _titles()

    def name(found: re.Match[str]) -> str:
        title = titles[found[1]]
        return title if not found.start() and text.startswith(":", found.end()) else f"“{title}”"

    return paths.sub(name, text)


def chip(text: str, tone: str = "") -> str:
    """Return a small coloured word. ``tone`` is ``on``, ``ok``, ``warn``, ``bad`` or empty."""
    return f'<span class="tbw-chip {f"is-{tone}" if tone else ""}">{escape(text)}</span>'


def verdict(is_right: bool) -> str:
    """Return a chip that says whether an answer is right."""
    return chip("✓ correct", "ok") if is_right else chip("✕ wrong", "bad")


class Message(NamedTuple):
    """Something that is said to a person: what happened, of what kind that is, and what to do.

    Attributes
    ----------
    tone
        ``on``, ``ok``, ``warn`` or ``bad``.
    """

    text: str
    tone: str = "warn"
    detail: str = ""

    @property
    def html(self) -> str:
        """The message box."""
        return note(self.text, self.tone, detail=self.detail)


def note(text: str, tone: str = "warn", *, detail: str = "", why: str = "") -> str:
    """Return a message box; a sign as well as a colour says of what kind it is. ``why`` is folded."""
    sign = {"bad": "✕", "ok": "✓", "on": "●"}.get(tone, "▲")
    text, detail, why = (escape(form_names(without_upload_folder(_cut(part)))) for part in (text, detail, why))
    more = f' <span class="tbw-muted">{detail}</span>' if detail else ""
    said = f"<p>{text}{more}</p>"
    if why:
        said = f"<div>{said}<details><summary>Why</summary><p>{why}</p></details></div>"
    return f'<div class="tbw-note is-{tone}" role="status"><span>{sign}</span>{said}</div>'


def _cut(text: str) -> str:
    """Return a text as a message can hold it: a pasted megabyte would be the whole page."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def error_note(error: TbError) -> str:
    """Return an error as a message box."""
    return error_message(error).html


def error_message(error: TbError) -> Message:
    """Return an error as a message: what happened, and the way out."""
    if isinstance(error, SpecError) and len(error.problems) > 1:
        return Message(
            "Some settings need a look:", "bad", " ".join(form_names(f"{f}: {r}") for f, r in error.problems)
        )
    return Message(error.message, "bad", error.hint)


def copied(text: str) -> str:
    """Return a text to be read, with a button that copies it."""
    return (
        '<div class="tbw-copied"><button type="button" class="tbw-copy">Copy</button>'
        f'<pre class="tbw-text">{escape(text)}</pre></div>'
    )


def facts(pairs: list[tuple[str, Any]]) -> str:
    """Return names and values below each other."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in pairs)
    return f'<dl class="tbw-facts-list">{rows}</dl>'


def heading(text: str, aside: str = "") -> str:
    """Return a card's heading with a quiet remark at its right."""
    return f'<h2>{escape(text)}<span class="tbw-muted tbw-small">{escape(aside)}</span></h2>'
