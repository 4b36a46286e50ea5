"""What a notebook's cell shows of a model and its checks: HTML that carries its style and takes the page's colours.

Whatever a user or a model's author wrote is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tb_widgets.app import words
from tb_widgets.app.assets import read_asset
from tb_widgets.app.parts import code_view
from tb_widgets.app.parts.check_results import TONES
from tb_widgets.app.parts.pictures import picture
from tb_widgets.checks.result import SIGNS, WORDS, CheckResult
from tb_widgets.service.models import CODE, CONFIG, Finding, ModelSource, Repair

LEAK = (
    "This model sees the answers. When it learns to predict the next token, that very token is already among the "
    "tokens it looks at, so its loss falls towards zero while it learns nothing. When it writes, there is nothing to "
    "copy from. It needs a causal mask, which hides later tokens from earlier ones."
)
# A cell has no ground of its own: ink and ground are the notebook's, and the tints let them through.
_COLOURS = "; ".join(
    (
        "--tbw-bg: transparent; --tbw-card: transparent; --tbw-ink: currentColor",
        "--tbw-soft: color-mix(in srgb, currentColor 70%, transparent); --tbw-line: rgba(128, 128, 128, .3)",
        "--tbw-accent: #5c7cfa; --tbw-accent-soft: rgba(92, 124, 250, .15)",
        "--tbw-ok: #2b9348; --tbw-ok-soft: rgba(43, 147, 72, .15)",
        "--tbw-warn: #c77700; --tbw-warn-soft: rgba(199, 119, 0, .15)",
        "--tbw-bad: #e03131; --tbw-bad-soft: rgba(224, 49, 49, .15)",
    )
)


def page(*parts: str) -> str:
    """Return parts of HTML as one output of a notebook."""
    style = f"<style>{read_asset('theme.css')}</style>"
    return f'{style}<div class="tbw" style="{_COLOURS}"><div class="tbw-card">{"".join(parts)}</div></div>'


def heading(text: str) -> str:
    """Return what the next part is about."""
    return f"<h4>{escape(text)}</h4>"


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Return names and values below each other; empty values are left out."""
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in pairs if value)
    return f'<table class="tbw-table is-told">{rows}</table>'


def folded(title: str, content: str) -> str:
    """Return content that a click on its title shows."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def source(model: ModelSource, found: Sequence[Finding] = ()) -> str:
    """Return both files of a model, with the lines marked that a reader should look at."""
    code = code_view.source(model.files[CODE], {finding.line for finding in found})
    return heading(CODE) + code + heading(CONFIG) + code_view.source(model.files[CONFIG])


def findings(found: Sequence[Finding]) -> str:
    """Return what a reader should look at, line by line; what a model hardly ever needs stands out."""
    if not found:
        return "<p>Nothing in it stands out. That is no promise: read it.</p>"
    lines = [
        f"<li>{'<b>' if odd else ''}Line {finding.line} {escape(finding.what)}.{'</b>' if odd else ''} "
        f"{escape(finding.why)}</li>"
        for finding in found
        for odd in (finding.level == "odd",)
    ]
    return f"<ul>{''.join(lines)}</ul>"


def repairs(offered: Sequence[Repair]) -> str:
    """Return what each repair mends, with its diff folded away."""
    return "".join(
        f"<p><b>{escape(repair.title)}.</b> {escape(repair.why)}</p>"
        + folded("What it changes", code_view.diff(repair.diff))
        for repair in offered
    )


def results(found: Sequence[CheckResult]) -> str:
    """Return the results as a table: sign and word, what was found, figure, advice. A leak is said in plain words."""
    titles = "".join(
        f'<th style="text-align: left">{title}</th>' for title in ("", "Check", "Found", "Figure", "What to do")
    )
    rows = "".join(_row(result) for result in found)
    table = f'<table class="tbw-table is-told"><tr>{titles}</tr>{rows}</table>'
    return (words.note(LEAK, "bad") if leaks(found) else "") + f'<div class="tbw-scroll">{table}</div>'


def leaks(found: Sequence[CheckResult]) -> bool:
    """Tell whether the checks found a language model that sees the tokens which it shall predict."""
    return any(result.id == "causality" and result.verdict == "fail" for result in found)


def _row(result: CheckResult) -> str:
    cells = (
        words.chip(f"{SIGNS[result.verdict]} {WORDS[result.verdict]}", TONES[result.verdict]),
        f'{escape(result.title)}<div class="tbw-help">tier {result.tier}</div>',
        escape(result.message),
        f'{escape(figure(result.value, result.unit))}<div class="tbw-help">{escape(result.threshold)}</div>',
        escape(result.advice),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def figure(value: float | None, unit: str) -> str:
    """Write a figure with its unit.

    >>> figure(1049728.0, "parameters"), figure(0.49878, "nats"), figure(None, "nats")
    ('1,049,728 parameters', '0.499 nats', '')
    """
    if value is None:
        return ""
    return f"{f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.3g}'} {unit}".strip()


def pictures(found: Sequence[CheckResult]) -> str:
    """Return the pictures of those results that have one."""
    return "".join(heading(result.title) + picture(result.picture) for result in found if result.picture is not None)
