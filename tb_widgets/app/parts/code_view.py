"""Source code and diffs, to be read before they are trusted.

Whatever stands in them is escaped, and a character that can't be seen is shown by its number.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from html import escape

from tb_widgets.service.models import source_text

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

    lines = source_text.lines(code)
    shown = source_text.show_hidden("\n".join(lines[:MOST_LINES]))
    # The lexer would take away empty lines at the beginning, and the numbers with them.
    coloured = highlight(shown, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)).removesuffix("\n").split("\n")
    rows = "".join(
        f'<span class="tbw-line {"is-marked" if number in marked else ""}">{line}\n</span>'
        for number, line in enumerate(coloured, 1)
    )
    return f'<pre class="tbw-text tbw-code">{rows}</pre>{_rest(lines)}'


def plain(text: str) -> str:
    """Return another file's text as it is."""
    shown = source_text.show_hidden("\n".join(source_text.lines(text)))
    return f'<pre class="tbw-text tbw-log">{escape(shown)}</pre>'


def diff(text: str) -> str:
    """Return a unified diff with what comes and what goes in colours of their own."""
    tones = {"+": "is-new", "-": "is-gone", "@": "is-place"}
    lines = [*_hunks(source_text.show_hidden(text))]
    rows = "".join(
        f'<span class="tbw-change {tones.get(line[:1], "")}">{escape(line)}\n</span>' for line in lines[:MOST_LINES]
    )
    return f'<pre class="tbw-text tbw-diff">{rows}</pre>{_rest(lines)}'


def _rest(lines: list[str]) -> str:
    rest = len(lines) - MOST_LINES
    return f'<div class="tbw-help">{rest:,} more lines are not shown.</div>' if rest > 0 else ""


def _hunks(text: str) -> Iterator[str]:
    """Yield a unified diff without the lines that name the files.

    What begins like such a line may be code: ``++ x`` that comes, and ``-- x`` that goes. So lines are counted.
    """
    gone = new = 0
    for line in text.split("\n"):
        if head := re.match(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@", line) if not gone + new else None:
            gone, new = (1 if count is None else int(count) for count in head.groups())
            yield line
        elif gone + new:
            gone -= line[:1] != "+"
            new -= line[:1] != "-"
            yield line
