"""Names of files that somebody else chose, made fit for our disk."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath

_LONGEST = 120  # bytes


def clean_name(name: str) -> str:
    """Return the last part of a path without what leads elsewhere or is no name on some system; its ending stays.

    >>> clean_name("../../etc/My texts?.csv.gz"), clean_name("C:\\\\con\\\\..")
    ('My texts_.csv.gz', 'data')
    """
    name = PureWindowsPath(PurePosixPath(name).name).name
    name = "".join(c if c.isprintable() and c not in '<>:"/\\|?*' else "_" for c in name).strip(" .")
    if not name:
        return "data"
    endings = re.search(r"(?:\.[A-Za-z0-9]{1,10}){0,2}$", name)
    ending = endings[0] if endings else ""
    stem = name[: len(name) - len(ending)] or "data"
    room = _LONGEST - len(ending)
    return stem.encode("utf-8", "replace")[:room].decode("utf-8", "ignore") + ending
