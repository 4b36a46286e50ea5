"""What people paste to name a Gist: every form of its address. No network here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import unquote

from tb_widgets.errors import ModelError, quoted

_LONG_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{20}")
_ID = re.compile(rf"{_LONG_ID.pattern}|[0-9]{{1,9}}")  # the oldest Gists have short numbers
_REVISION = re.compile(r"[0-9a-f]{4,40}")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_HOST = re.compile(r"(?:https?://|git@)?(?:www\.)?gist\.github(?:usercontent)?\.com(?:[/:](.*)|$)", re.I | re.S)
_IN_QUERY = re.compile(r"(?:^|[?#&])gist_id=([^&#]*)", re.I)
_BARE = re.compile(rf"(?:{_LONG_ID.pattern})(?:@.*|/[0-9a-f]{{4,40}}/?|[#?].*|\.git|/)?", re.I | re.S)
_EMBEDDED = re.compile(r"<script\b[^>]*\bsrc=[\"']([^\"']*)", re.I)
_SUFFIX = re.compile(r"\.(?:git|js|json)$", re.I)
_PAGES = ("revisions", "edit", "forks", "stargazers", "download", "raw")
_AROUND = " \t\r\n\f\v\u00a0\u200b\ufeff\"'`<>“”‘’«»"
_SHOWN = 80  # characters of what was typed


@dataclass(frozen=True)
class GistAddress:
    """A Gist, and the revision that was asked for: its sha, whole or shortened, or ``None`` for the newest."""

    id: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"gist:{self.id}@{self.revision}" if self.revision else f"gist:{self.id}"


def is_gist(text: str) -> bool:
    """Tell whether a text is meant as a Gist's address, even if :func:`parse_gist` finds a fault in it.

    An id alone counts too; a folder that is named like one is meant by ``./NAME``.

    >>> is_gist("https://gist.github.com/somebody/0123456789abcdef0123456789abcdef"), is_gist("models/mine")
    (True, False)
    """
    text = _unwrapped(text)
    return (
        text.lower().startswith("gist:")
        or _HOST.match(text) is not None
        or _IN_QUERY.search(text) is not None
        or _BARE.fullmatch(text) is not None
    )


def parse_gist(text: str) -> GistAddress:
    """Read a Gist's address in any of its forms.

    Parameters
    ----------
    text
        ``ID``, ``ID@REVISION``, ``gist:ID``, an address of gist.github.com or gist.githubusercontent.com, or any
        address with ``gist_id=ID`` in it.

    Raises
    ------
    ModelError
        If it is none of these; the message says what was typed and what is wrong with it.

    Examples
    --------
    >>> str(parse_gist("https://gist.github.com/somebody/0123456789abcdef0123456789abcdef/2b67#file-model-py"))
    'gist:0123456789abcdef0123456789abcdef@2b67'
    """
    address = _unwrapped(text)
    if address.lower().startswith("gist:"):
        address = _unwrapped(address[len("gist:") :])
    if not address:
        _refuse(text, "it names no id")
    if in_query := _IN_QUERY.search(address):
        return _from_parts([unquote(in_query[1]).strip(_AROUND)], text)
    on_github = _HOST.match(address)
    if on_github is None and "://" in address:
        _refuse(text, "it leads to another site, and contains no gist_id=")
    path = re.split(r"[?#]", (on_github[1] or "") if on_github else address, maxsplit=1)[0]
    return _from_parts([unquote(part) for part in path.split("/") if part], text)


def _from_parts(parts: list[str], typed: str) -> GistAddress:
    """Read ``[USER/]ID[@REVISION][/WHAT FOLLOWS]``."""
    if not parts:
        _refuse(typed, "it names no Gist")
    # Two parts that could both be ids are USER/ID, but after a long id a short number is a revision.
    has_user = len(parts) > 1 and _is(_ID, parts[1]) and not (_is(_LONG_ID, parts[0]) and not _is(_LONG_ID, parts[1]))
    if has_user and not _USER.fullmatch(parts[0]):
        _refuse(typed, f"{_quote(parts[0])} is not a user name")
    first, *rest = parts[has_user:]
    identity, at, revision = first.partition("@")
    identity = _SUFFIX.sub("", identity).lower()
    if not _ID.fullmatch(identity):
        if re.fullmatch("[0-9a-f]+", identity):
            _refuse(typed, f"its id has {len(identity)} characters, but ids have 32 (older ones 20)")
        _refuse(typed, f"{_quote(first)} is not an id" if not rest else "it has no id where one should be")
    if at and rest:
        _refuse(typed, f"something follows the revision: {_quote('/'.join(rest))}")
    if not at:
        revision = _revision_in(rest, typed)
        if not revision:
            return GistAddress(identity)
    revision = revision.lower()
    if not _REVISION.fullmatch(revision):
        _refuse(
            typed, f"{_quote(revision) if revision else 'nothing'} is not a revision, which has 4 to 40 of 0-9 and a-f"
        )
    return GistAddress(identity, revision)


def _revision_in(rest: list[str], typed: str) -> str:
    """Return the revision in what follows the id on GitHub's pages, empty where there is none."""
    if not rest or (len(rest) == 1 and rest[0] in _PAGES):
        return ""
    if rest[0] == "raw":
        # raw/REVISION/FILE, raw/REVISION or raw/FILE
        is_revision = len(rest) > 2 or re.fullmatch("[0-9a-f]{40}", rest[1], re.I)
        return rest[1] if is_revision else ""
    if rest[0] == "archive" and len(rest) == 2:
        return re.sub(r"\.(?:zip|tar\.gz)$", "", rest[1])
    if len(rest) > 1:
        _refuse(typed, f"something follows the revision: {_quote('/'.join(rest[1:]))}")
    return rest[0]


def _is(kind: re.Pattern[str], part: str) -> bool:
    return kind.fullmatch(_SUFFIX.sub("", part.partition("@")[0]).lower()) is not None


def _unwrapped(text: str) -> str:
    # What GitHub's "Embed" button copies is a script element around the address.
    embedded = _EMBEDDED.search(text)
    return (embedded[1] if embedded else text).strip(_AROUND)


def _refuse(typed: str, why: str) -> NoReturn:
    raise ModelError(
        f"{_quote(typed)} is not the address of a Gist: {why}.",
        hint="Paste gist.github.com/USER/ID as your browser shows it, or only the id; ID@REVISION pins a revision.",
    )


def _quote(text: str) -> str:
    return repr(quoted(text, _SHOWN))
