"""What names data that are elsewhere: a dataset of the Hub, or the address of a file. No network here."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from tb_widgets.errors import DataError

_HUB = re.compile(
    r"hub:([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@([\w][\w./-]{0,199}))?(?:#([1-9]\d{0,6})MB)?", re.A
)
_COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class HubAddress:
    """A repository ``OWNER/NAME``, its revision, and how many megabytes from its beginning; ``None`` is all."""

    id: str
    revision: str | None = None
    megabytes: int | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"hub:{self.id}{revision}{f'#{self.megabytes}MB' if self.megabytes else ''}"

    @property
    def is_pinned(self) -> bool:
        """Whether it names a commit, which never changes."""
        return _COMMIT.fullmatch(self.revision or "") is not None

    def pinned(self, commit: str, megabytes: int | None) -> HubAddress:
        """Return the same at a commit."""
        return replace(self, revision=commit, megabytes=megabytes)


def is_remote(source: str) -> bool:
    """Tell whether a source is elsewhere, even if there is a fault in it.

    >>> is_remote("hub:roneneldan/TinyStories"), is_remote("https://example.org/a.txt"), is_remote("books/*.txt")
    (True, True, False)
    """
    return source.startswith("hub:") or is_web(source)


def is_web(source: str) -> bool:
    """Tell whether a source is the address of a file."""
    return re.match("https?://", source, re.I) is not None


def parse_hub(text: str) -> HubAddress:
    """Read ``hub:OWNER/NAME``, ``hub:OWNER/NAME@REVISION``, or either with ``#16MB`` for its first 16 megabytes.

    Raises
    ------
    DataError
        If it is something else.

    Examples
    --------
    >>> parse_hub("hub:somebody/stories@v1.0")
    HubAddress(id='somebody/stories', revision='v1.0', megabytes=None)
    """
    found = _HUB.fullmatch(text.strip())
    if found is None or ".." in found[0] or "--" in found[1]:
        raise DataError(
            f"{shortened(text)} is not the address of a Hub dataset.",
            hint="It looks like hub:OWNER/NAME, or hub:OWNER/NAME@REVISION.",
        )
    return HubAddress(found[1], found[2], int(found[3]) if found[3] else None)


def host_of(url: str) -> str:
    """Return the host of an address, for sentences.

    Raises
    ------
    DataError
        If the address names none.
    """
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if not host:
        raise DataError(
            f"{shortened(url)} is not a web address.", hint="It looks like https://example.org/folder/text.txt."
        )
    return host


def shortened(text: str) -> str:
    """Return a text of somebody's as a sentence can bear it."""
    shown = "".join(character if character.isprintable() else "�" for character in text.strip())
    return repr(shown if len(shown) <= 100 else f"{shown[:100]}…")
