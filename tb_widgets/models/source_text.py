"""The text of a model's files as Python reads it, and as a reader must see it before trusting it."""

from __future__ import annotations

import unicodedata

# Blank where letters and marks are expected: fillers, joiners, and selectors of a variant that hardly any font has.
# U+FE0F is left out, which stands behind every second emoji.
_BLANK = {
    0x034F,
    0x115F,
    0x1160,
    0x17B4,
    0x17B5,
    0x2800,
    0x3164,
    0xFFA0,
    *range(0xFE00, 0xFE0F),
    *range(0xE0100, 0xE01F0),
}
_UNNAMED = {"Cc": "control character", "Co": "private-use character", "Cs": "half of a character"}


def lines(text: str, *, keepends: bool = False) -> list[str]:
    r"""Return the lines of a text as Python counts them.

    Only ``\n``, ``\r\n`` and ``\r`` end a line. ``str.splitlines`` knows eight ends more, such as U+2028, and would
    number the lines behind them differently from a syntax tree or a traceback.
    """
    # bytes.splitlines knows exactly these three.
    found = text.encode(errors="surrogatepass").splitlines(keepends=keepends)
    return [line.decode(errors="surrogatepass") for line in found]


def is_hidden(character: str) -> bool:
    """Tell whether a character can't be seen: separators, control characters, what has no width or no meaning.

    Spaces other than the usual one count as seen.
    """
    is_shown = character.isprintable() or unicodedata.category(character) == "Zs"
    return not is_shown or ord(character) in _BLANK


def name(character: str) -> str:
    """Return the number and the name of a character, for example ``U+2028 (line separator)``."""
    unnamed = _UNNAMED.get(unicodedata.category(character), "unassigned character")
    return f"U+{ord(character):04X} ({unicodedata.name(character, unnamed).lower()})"


def show_hidden(text: str) -> str:
    r"""Return a text in which each hidden character is shown by its number; tabs and line feeds stay.

    >>> show_hidden("a\u2028b")
    'a⟨U+2028⟩b'
    """
    hidden = {character for character in set(text) - {"\t", "\n"} if is_hidden(character)}
    return text.translate({ord(character): f"⟨U+{ord(character):04X}⟩" for character in hidden})
