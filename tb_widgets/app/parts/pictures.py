"""Small pictures beside a check's number, drawn as SVG and HTML: no plotting library, light and dark alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

_BASE64 = re.compile(r"[A-Za-z0-9+/]{1,40000}={0,2}")
_MOST_CELLS = 48  # along one side; more would be smaller than a pixel
SIDE = 190.0  # pixels


def seen(png: object, beside: str, name: str) -> str:
    """Return an image with what is said of it beside it, as HTML; only the latter where it is no image.

    Parameters
    ----------
    png
        In base64, from a file that may be anybody's.
    beside
        HTML.
    name
        What is said to whoever can't see it.
    """
    if not (isinstance(png, str) and _BASE64.fullmatch(png)):
        return beside
    return f'<div class="tbw-seen"><img src="data:image/png;base64,{png}" alt="{escape(name)}">{beside}</div>'


def picture(found: dict[str, Any] | None) -> str:
    """Return a check's picture as HTML, empty if there is none; see :class:`tb_widgets.checks.result.CheckResult`."""
    if found is None:
        return ""
    return _heatmap(found) if found["kind"] == "heatmap" else _bars(found)


def _heatmap(found: dict[str, Any]) -> str:
    values = _thinned([_thinned(row) for row in found["values"]])
    if not values or not values[0]:
        return ""
    finite = [abs(value) for row in values for value in row if isinstance(value, int | float)]
    top = max(finite, default=0.0) or 1.0
    size = SIDE / max(len(values), len(values[0]))
    guards = found.get("forbidden") == "below"

    def cell(line: int, column: int, value: object) -> str:
        is_forbidden = guards and column < line
        has_colour = isinstance(value, int | float) and abs(value) > top / 200
        if not (has_colour or is_forbidden):
            return ""
        place = f'x="{column * size:.1f}" y="{line * size:.1f}" width="{size:.1f}" height="{size:.1f}"'
        if not has_colour:
            return f'<rect {place} class="is-empty"/>'
        kind = ' class="is-leak"' if is_forbidden else ""
        assert isinstance(value, int | float)  # noqa: S101 - for the type checker
        return f'<rect {place}{kind} fill-opacity="{max(abs(value) / top, 0.35 if is_forbidden else 0):.2f}"/>'

    cells = "".join(cell(line, column, value) for line, row in enumerate(values) for column, value in enumerate(row))
    wide, high = size * len(values[0]), size * len(values)
    title, rows, columns = (escape(str(found.get(name, ""))) for name in ("title", "rows", "columns"))
    key = '<br><span class="tbw-leak">■</span> leak: the model sees ahead<br>▨ must stay empty' if guards else ""
    return (
        f'<figure class="tbw-picture"><figcaption>{title}</figcaption>'
        f'<svg viewBox="0 0 {wide:.0f} {high:.0f}" width="{wide:.0f}" height="{high:.0f}" '
        f'role="img" aria-label="{rows} against {columns}">{cells}</svg>'
        f'<figcaption class="tbw-key">↓ {rows}<br>→ {columns}<br>largest change: {top:.3g}{key}</figcaption></figure>'
    )


def _bars(found: dict[str, Any]) -> str:
    values = [value if isinstance(value, int | float) else 0.0 for value in found["values"]]
    top = max(map(abs, values), default=0.0) or 1.0
    lines = "".join(
        f"<tr><td>{escape(str(label))}</td>"
        f'<td><span class="tbw-stick" style="width:{100 * abs(value) / top:.0f}%"></span></td><td>{value:.3g}</td></tr>'
        for label, value in list(zip(found["labels"], values, strict=False))[:_MOST_CELLS]
    )
    title = escape(str(found.get("title", "")))
    table = f'<table class="tbw-sticks">{lines}</table>'
    return f'<figure class="tbw-picture is-bars"><figcaption>{title}</figcaption>{table}</figure>'


def _thinned(values: Sequence[Any]) -> list[Any]:
    """Return at most so many values as can be seen, evenly spread."""
    step = -(-len(values) // _MOST_CELLS) or 1
    return list(values[::step])
