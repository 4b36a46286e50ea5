"""How texts are laid out on a terminal and in a file."""

from __future__ import annotations

import io

import pytest

from tb_widgets.cli.screen import FILE_WIDTH, say_after
from tb_widgets.display.terminal import Screen

SENTENCE = (
    "The table that token ids are looked up in, and the last layer: 春天来了 of /a/path/that/is/longer/than/a/line."
)


def printed(*, width: int, terminal: bool = True) -> list[str]:
    file = io.StringIO()
    screen = Screen(file=file, width=width, force_terminal=terminal, color_system=None, markup=False, highlight=False)
    say_after(screen, "  vocabulary  ", SENTENCE)
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [36, 50, 80])
def test_lines_end_between_words_and_hang_below_the_text(width):
    first, *more = printed(width=width)
    assert first.startswith("  vocabulary  The ")
    assert more
    assert all(line[:14] == " " * 14 and line[14] != " " for line in more)
    assert " ".join(line[14:] for line in (first, *more)) == SENTENCE
    assert max(len(line) for line in (first, *more) if "/a/path" not in line) <= width


def test_a_file_gets_one_line():
    assert printed(width=FILE_WIDTH, terminal=False) == [f"  vocabulary  {SENTENCE}"]
