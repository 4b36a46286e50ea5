"""Source code and diffs, to be read before they are trusted.

Whatever stands in them is escaped, and a character that can't be seen is shown by its number.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from html import escape

MOST_LINES = 4000  # what a browser shows without a pause


def source(code: str, marked: Collection[int] = ()) -> str:
    """Return Python code with highlighting and line numbers.

    Parameters
    ----------
    code
        The text of a file.
    marked
        Numbers of lines to point at, from 1.
    """
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    lines = _visible(code).splitlines()
    shown = "\n".join(lines[:MOST_LINES])
    # The lexer would take away empty lines at the beginning, and the numbers with them.
    coloured = highlight(shown, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)).splitlines()
    rows = "".join(
        f'<span class="tbw-line {"is-marked" if number in marked else ""}">{line}\n</span>'
        for number, line in enumerate(coloured, 1)
    )
    rest = len(lines) - MOST_LINES
    more = f'<div class="tbw-help">{rest:,} more lines are not shown.</div>' if rest > 0 else ""
    return f'<pre class="tbw-text tbw-code">{rows}</pre>{more}'


def diff(text: str) -> str:
    """Return a unified diff with what comes and what goes in colours of their own."""
    tones = {"+": "is-new", "-": "is-gone", "@": "is-place"}
    rows = "".join(
        f'<span class="tbw-change {tones.get(line[:1], "")}">{escape(line)}\n</span>'
        for line in _visible(text).splitlines()[:MOST_LINES]
        if not line.startswith(("+++ ", "--- "))
    )
    return f'<pre class="tbw-text tbw-diff">{rows}</pre>'


def _visible(text: str) -> str:
    hidden = {character for character in set(text) if unicodedata.category(character) in ("Cc", "Cf")} - set("\t\r\n")
    return text.translate({ord(character): f"[U+{ord(character):04X}]" for character in hidden})
