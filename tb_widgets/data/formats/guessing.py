"""Which encoding bytes are in that are no UTF-8 and carry no mark: the detector's answer, and what it does not know."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from itertools import islice
from string import ascii_letters

_JUDGED_LINES, _JUDGED_BYTES = 200, 65536  # for the detector, which is slow
_FEWEST_BYTES = 32  # of UTF-16 without a mark: fewer bytes of anything can pass for Chinese
_WIDE = ["utf_32_le", "utf_32_be", "utf_16_le", "utf_16_be"]
# ISO 2022 is all ASCII: such a sequence says that two bytes make a character from here on.
_SHIFT = re.compile(rb"\x1b\$(?:[@AB]|\([@ABDOPQ]|\)C)")
_SHIFTED = ["iso2022_jp", "iso2022_kr", "iso2022_jp_2", "iso2022_jp_2004"]
# The detector stops before it has tried all of these, and most texts are in them; of equal ones the first counts.
_WIDESPREAD = ["cp1252", "cp1250", "iso8859_2", "mac_roman", "cp1254", "cp1251", "cp932", "gb18030", "cp949", "big5"]

# The detector counts frequent letters, which many code pages share. Of those that it finds about as likely, the one is
# right in which whole words are in the alphabet of a single language.
_NEAR_CHAOS, _NEAR_COHERENCE = 0.05, 0.1
_WORD = re.compile(r"[A-Za-z\x80-\U0010ffff]+")
_BEYOND_ASCII = (
    "àâæçéèêëîïôœùûüÿ äöüß áéíñóúü áâãàçéêíóôõúü àèéìíòóùú åäöé æøåé áéíóúýþæðö ąćęłńóśźż áčďéěíňóřšťúůýž "
    "áäčďéíĺľňóôŕšťúýž áéíóöőúüű ăâîșşțţ čćđšž ąčęėįšųūž āčēģīķļņšūž äõöüšž çğıİöşüâîû"
)
_OTHER_LETTERS = (
    "абвгдежзийклмнопрстуфхцчшщъыьэюяё абвгдежзийклмнопрстуфхцчшщьюяєіїґ абвгдежзиклмнопрстуфхцчшђјљњћџ "
    "αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώϊϋΐΰ"
)
_ALPHABETS = [
    {*letters, *letters.upper(), *"“”„‘’‚«»–—…€°§¿¡·\xa0"}
    for letters in (*(ascii_letters + more for more in _BEYOND_ASCII.split()), *_OTHER_LETTERS.split())
]


def guess_shifted(raw: bytes) -> str | None:
    """Return which encoding of ISO 2022 some bytes are in that pass for ASCII, ``None`` if they are none."""
    return next((codec for codec in _SHIFTED if _reads(codec, raw)), None) if _SHIFT.search(raw) else None


def guess_wide(raw: bytes) -> str | None:
    """Return in which of UTF-16 and UTF-32 bytes are that hold zeros, ``None`` if they are no text."""
    return _likeliest(raw[:_JUDGED_BYTES], raw, [_WIDE]) if len(raw) >= _FEWEST_BYTES else None


def guess(raw: bytes) -> str | None:
    """Return the likeliest encoding of some bytes, by the lines that have characters beyond ASCII."""
    lines = (line for line in raw.split(b"\n") if not line.isascii())
    sample = b"\n".join(islice(lines, _JUDGED_LINES))[:_JUDGED_BYTES]
    return _likeliest(sample, raw, [None, _WIDESPREAD])


def _likeliest(sample: bytes, raw: bytes, asked: list[list[str] | None]) -> str | None:
    """Return the encoding that a sample is most likely in, of those that can read all of the bytes."""
    from charset_normalizer import from_bytes

    # The cut may have left a part of a character.
    ends = range(len(sample), len(sample) - (4 if len(sample) == _JUDGED_BYTES else 1), -1)
    found = sorted(
        match
        for end in ends
        for names in asked
        for match in from_bytes(sample[:end], cp_isolation=names, preemptive_behaviour=False, enable_fallback=False)
    )
    near = [
        match
        for match in found
        if match.chaos <= found[0].chaos + _NEAR_CHAOS and match.coherence >= found[0].coherence - _NEAR_COHERENCE
    ]
    near.sort(key=lambda match: (-_share_of_one_language(str(match)), min(map(_rank, match.could_be_from_charset))))
    names = (name for match in near for name in sorted(match.could_be_from_charset, key=_rank))
    return next((codecs.lookup(name).name for name in names if _reads(name, raw)), None)


def _share_of_one_language(text: str) -> float:
    """Return the share of the words with characters beyond ASCII that are in the alphabet of one language."""
    words = Counter(word for word in _WORD.findall(text) if not word.isascii())
    explained = max(sum(count for word, count in words.items() if known.issuperset(word)) for known in _ALPHABETS)
    return round(explained / max(1, words.total()), 2)


def _rank(name: str) -> int:
    return (*_WIDESPREAD, name).index(name)


def _reads(codec: str, raw: bytes) -> bool:
    """Tell whether bytes, which may end inside a character, can be read, and are text then."""
    try:
        return "\0" not in codecs.getincrementaldecoder(codec)().decode(raw)
    except UnicodeDecodeError:
        return False
