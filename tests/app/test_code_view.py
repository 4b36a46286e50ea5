"""What is read before it is trusted shows everything that is there, at the line where Python sees it."""

from __future__ import annotations

import difflib
import re
from html import unescape

from tb_widgets.app.parts import code_view
from tb_widgets.models.trust.findings import findings

SEPARATORS = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e"


def rows(html: str) -> list[tuple[str, bool]]:
    """The lines of a listing as they are read, and whether each is marked."""
    found = re.findall(r'<span class="tbw-(?:line|change) ([\w-]*)">(.*?)\n</span>', html, re.DOTALL)
    return [(unescape(re.sub(r"<[^>]*>", "", line)), mark == "is-marked") for mark, line in found]


def test_a_separator_is_shown_and_moves_no_mark():
    code = f"# harmless{SEPARATORS}, as it seems\r\nx = 1\rimport os\n"
    shown = rows(code_view.source(code, {found.line for found in findings(code) if "os" in found.what}))
    escaped = "".join(f"⟨U+{ord(character):04X}⟩" for character in SEPARATORS)
    assert shown == [(f"# harmless{escaped}, as it seems", False), ("x = 1", False), ("import os", True)]


def test_a_character_that_can_not_be_seen_is_shown_by_its_number():
    hidden = "\u202e\u2066\u200b\ufeff\ue000\u3164\U000e0101"
    escaped = "".join(f"⟨U+{ord(character):04X}⟩" for character in hidden)
    assert rows(code_view.source(f"a = '{hidden}'")) == [(f"a = '{escaped}'", False)]
    assert escaped in code_view.plain(f'{{"a": "{hidden}"}}')
    assert rows(code_view.diff(f"@@ -0,0 +1 @@\n+{hidden}{SEPARATORS}"))[1][0].startswith(f"+{escaped}⟨U+2028⟩")


def test_a_diff_leaves_out_the_names_of_files_and_nothing_that_looks_like_one():
    before, after = ["a", "-- b", "c"], ["a", "++ d", "c"]
    text = "\n".join(difflib.unified_diff(before, after, "model.py old", "model.py new", lineterm=""))
    assert [line for line, _ in rows(code_view.diff(f"{text}\n{text}"))] == [
        "@@ -1,3 +1,3 @@",
        " a",
        "--- b",
        "+++ d",
        " c",
    ] * 2


def test_lines_that_are_too_many_to_show_are_counted():
    many = "\n".join(f"+x = {n}" for n in range(code_view.MOST_LINES + 6))
    assert "7 more lines are not shown" in code_view.diff(f"@@ -0,0 +1,{code_view.MOST_LINES + 6} @@\n{many}")
