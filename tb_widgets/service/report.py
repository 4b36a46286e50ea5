"""What a notebook shows of a model and its checks: plain HTML that carries its own style, for light and dark pages.

Whatever a user or a model's author wrote is escaped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html import escape
from typing import Any

from tb_widgets.checks.result import CheckResult, Verdict
from tb_widgets.errors import TbError
from tb_widgets.models.findings import Finding
from tb_widgets.models.repair import Repair
from tb_widgets.models.source import CODE, CONFIG, ModelSource

SIGNS: dict[Verdict, tuple[str, str]] = {
    "pass": ("✓", "good"),
    "warn": ("!", "worth knowing"),
    "fail": ("✗", "mend this"),
    "unknown": ("?", "could not tell"),
}
SHOWN = 200_000  # characters of a file: more would make the page slow
LEAK = (
    "This model sees the answers. When it learns to predict the next token, that very token is already among the "
    "tokens it looks at, so its loss falls towards zero while it learns nothing. When it writes, there is nothing to "
    "copy from. It needs a causal mask, which hides later tokens from earlier ones."
)

_STYLE = """<style>
.tbr {font: 14px/1.5 system-ui, sans-serif; max-width: 1100px}
.tbr h3 {font-size: 16px; font-weight: 600; margin: 12px 0 6px}
.tbr table {border-collapse: collapse; width: 100%; font: inherit; color: inherit}
.tbr th, .tbr td {text-align: left; vertical-align: top; padding: 6px 12px 6px 0; background: none}
.tbr tr {border-bottom: 1px solid rgba(128, 128, 128, .25); background: none}
.tbr th {font-weight: 600}
.tbr td.tbr-figure {font-variant-numeric: tabular-nums; min-width: 10em}
.tbr td.tbr-check {white-space: nowrap} .tbr td.tbr-advice {min-width: 14em}
.tbr small, .tbr .tbr-quiet {font-size: 12px; opacity: .75}
.tbr .pass {color: #2b9348} .tbr .warn {color: #c77700} .tbr .fail {color: #e03131} .tbr .unknown {opacity: .75}
.tbr .tbr-sign {white-space: nowrap; font-weight: 600}
.tbr .tbr-note {border-left: 3px solid #5c7cfa; padding: 4px 12px; margin: 8px 0}
.tbr .tbr-note.fail {border-color: #e03131; color: inherit}
.tbr pre {background: #fff; color: #1f2328; border: 1px solid rgba(128, 128, 128, .35); border-radius: 8px;
  padding: 8px 12px; max-height: 26em; overflow: auto; font-size: 12px; line-height: 1.45}
.tbr figure {display: inline-block; margin: 0 24px 16px 0; vertical-align: top}
.tbr figcaption {font-size: 12px; max-width: 340px}
.tbr ul {margin: 4px 0; padding-left: 20px}
</style>"""

_BLUE = "#5c7cfa"  # readable on white and on black
_GRID = 260  # pixels: the side of a heat map
_BAR = 13  # pixels: the height of a bar's row


def page(*parts: str) -> str:
    """Return parts of HTML as one output of a notebook, with their style."""
    return f'{_STYLE}<div class="tbr">{"".join(parts)}</div>'


def note(text: str, kind: str = "") -> str:
    """Return a sentence with a bar at its left; ``kind`` is ``fail`` or empty."""
    return f'<div class="tbr-note {kind}">{escape(text)}</div>'


def error_note(error: TbError) -> str:
    """Return what happened and the way out."""
    return note(f"✗ {error.message} {error.hint}".strip(), "fail")


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Return names and values as a small table; empty values are left out."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in pairs if value)
    return f'<table style="width: auto">{rows}</table>'


def folded(title: str, content: str) -> str:
    """Return content that a click on its title shows."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


# ---- the source ------------------------------------------------------------------------------------------------------


def source_html(source: ModelSource) -> str:
    """Return both files with line numbers and colours. Characters that can't be seen are shown by their numbers."""
    return "".join(
        f"<h3>{name}</h3>{_coloured(_visible(source.files[name]), 'python' if name == CODE else 'json')}"
        for name in (CODE, CONFIG)
    )


def diff_html(diff: str) -> str:
    """Return a unified diff with colours."""
    return _coloured(_visible(diff), "diff")


def findings_html(found: Sequence[Finding]) -> str:
    """Return what a reader should look at, line by line."""
    if not found:
        return '<p class="tbr-quiet">Nothing in it stands out. That is no promise: read it.</p>'
    lines = "".join(
        f"<li>{'<b>' if finding.level == 'odd' else ''}Line {finding.line} {escape(finding.what)}."
        f"{'</b>' if finding.level == 'odd' else ''} {escape(finding.why)}</li>"
        for finding in found
    )
    return f"<ul>{lines}</ul>"


def repairs_html(offered: Sequence[Repair]) -> str:
    """Return what each repair would mend, with its diff folded away."""
    return "".join(
        f"<p><b>{escape(repair.title)}.</b> {escape(repair.why)}</p>"
        + folded("What it changes", diff_html(repair.diff))
        for repair in offered
    )


def _visible(text: str) -> str:
    return "".join(
        f"[U+{ord(letter):04X}]" if letter not in "\n\t" and unicodedata.category(letter) in ("Cc", "Cf") else letter
        for letter in text.replace("\r\n", "\n")
    )


def _coloured(text: str, language: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    rest = f"<p>The rest, {len(text) - SHOWN:,} characters, is not shown here.</p>" if len(text) > SHOWN else ""
    formatter = HtmlFormatter(noclasses=True, nobackground=True, linenos=False if language == "diff" else "inline")
    return str(highlight(text[:SHOWN], get_lexer_by_name(language, stripnl=False), formatter)) + rest


# ---- the checks ------------------------------------------------------------------------------------------------------


def results_html(results: Sequence[CheckResult]) -> str:
    """Return the results as a table: sign and word, what was found, figure, advice."""
    leaks = any(result.id == "causality" and result.verdict == "fail" for result in results)
    head = "<tr><th></th><th>Check</th><th>Found</th><th>Figure</th><th>What to do</th></tr>"
    rows = "".join(_row(result) for result in results)
    return (note(LEAK, "fail") if leaks else "") + f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _row(result: CheckResult) -> str:
    sign, word = SIGNS[result.verdict]
    threshold = f"<br><small>{escape(result.threshold)}</small>" if result.threshold else ""
    return (
        f'<tr><td class="tbr-sign {result.verdict}">{sign} {word}</td>'
        f'<td class="tbr-check">{escape(result.title)} <small>tier {result.tier}</small></td>'
        f"<td>{escape(result.message)}</td>"
        f'<td class="tbr-figure">{escape(figure(result.value, result.unit))}{threshold}</td>'
        f'<td class="tbr-advice">{escape(result.advice)}</td></tr>'
    )


def figure(value: float | None, unit: str) -> str:
    """Write a figure with its unit.

    >>> figure(1049728.0, "parameters"), figure(0.49878, "nats"), figure(None, "nats")
    ('1,049,728 parameters', '0.499 nats', '')
    """
    if value is None:
        return ""
    return f"{f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.3g}'} {unit}".strip()


def pictures_html(results: Sequence[CheckResult]) -> str:
    """Return the pictures of those results that have one."""
    return "".join(_picture(result.title, result.picture) for result in results if result.picture is not None)


def _picture(check: str, picture: dict[str, Any]) -> str:
    drawn = _heatmap(picture) if picture["kind"] == "heatmap" else _bars(picture)
    title = escape(picture.get("title", ""))
    return f"<figure><figcaption><b>{escape(check)}</b>: {title}</figcaption>{drawn}</figure>"


def _heatmap(picture: dict[str, Any]) -> str:
    rows: list[list[float]] = picture["values"]
    highest = max((abs(value) for row in rows for value in row), default=0.0) or 1.0
    side = _GRID / max(len(rows), *(len(row) for row in rows))
    cells = "".join(
        f'<rect x="{x * side:.2f}" y="{y * side:.2f}" width="{side:.2f}" height="{side:.2f}" fill="{_BLUE}" '
        f'fill-opacity="{abs(value) / highest:.3f}"><title>{value:.4g}</title></rect>'
        for y, row in enumerate(rows)
        for x, value in enumerate(row)
    )
    height = side * len(rows)
    frame = f'<rect width="{_GRID}" height="{height:.2f}" fill="none" stroke="currentColor" stroke-opacity=".3"/>'
    axes = f"rows: {picture.get('rows', '')}, columns: {picture.get('columns', '')}; the fullest is {highest:.3g}"
    return (
        f'<svg width="{_GRID}" height="{height:.0f}" role="img">{cells}{frame}</svg>'
        f'<figcaption class="tbr-quiet">{escape(axes)}</figcaption>'
    )


def _bars(picture: dict[str, Any]) -> str:
    values: list[float] = picture["values"]
    highest = max((abs(value) for value in values), default=0.0) or 1.0
    rows = "".join(
        f'<text x="196" y="{y * _BAR + 10}" text-anchor="end" font-size="10" fill="currentColor">{_end(label)}</text>'
        f'<rect x="200" y="{y * _BAR + 2}" width="{90 * abs(value) / highest:.1f}" height="{_BAR - 4}" '
        f'fill="{_BLUE}"/>'
        f'<text x="294" y="{y * _BAR + 10}" font-size="10" fill="currentColor">{value:.3g}</text>'
        for y, (label, value) in enumerate(zip(picture["labels"], values, strict=True))
    )
    return f'<svg width="340" height="{_BAR * len(values) + 4}" role="img">{rows}</svg>'


def _end(label: str) -> str:
    """Return the end of a long name, which tells more than its beginning."""
    return escape(label if len(label) <= 34 else f"…{label[-33:]}")
