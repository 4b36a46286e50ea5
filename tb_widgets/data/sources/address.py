"""The address of a file somewhere in the web. No network here."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from tb_widgets.errors import DataError, quoted

_SHOWN = 100  # characters


def is_web(source: str) -> bool:
    """Tell whether a source is the address of a file."""
    return re.match("https?://", source, re.I) is not None


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
            f"{shown(url)} is not a web address.", hint="It looks like https://example.org/folder/text.txt."
        )
    return host


def shown(url: str) -> str:
    """Return an address that somebody typed as a sentence can bear it."""
    return repr(quoted(url, _SHOWN))
