"""What a reader should look at in code that waits for consent."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tb_widgets.app import words
from tb_widgets.service.models import Finding


def finding_list(found: Sequence[Finding]) -> str:
    """Return findings as a table, in the order of their lines; without any, what that does not mean."""
    if not found:
        return "<h4>Nothing unusual was found, which proves nothing: the list of what to look for is short.</h4>"
    lines = "".join(
        f"<tr><td>line {each.line}</td><td>{words.chip(each.level, 'warn' if each.level == 'odd' else '')}</td>"
        f"<td><b>{escape(each.what)}</b> {escape(each.why)}</td></tr>"
        for each in found
    )
    return f'<h4>Worth a look</h4><table class="tbw-table is-told">{lines}</table>'
