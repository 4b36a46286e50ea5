"""A repository of the Hugging Face Hub as a spec names it: ``hub:OWNER/NAME[@REVISION]``. No network here."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from tb_widgets.errors import DataError, ModelError, quoted

HUB = "hub:"
_ADDRESS = re.compile(
    HUB + r"([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@([\w][\w./-]{0,199}))?(?:#([1-9]\d{0,6})MB)?", re.A
)
_COMMIT = re.compile("[0-9a-f]{40}")
_SHOWN = 100  # characters of what was typed


@dataclass(frozen=True)
class HubAddress:
    """A repository ``OWNER/NAME``, and the part of it that is meant.

    Attributes
    ----------
    id
        ``OWNER/NAME``.
    revision
        Commit, branch or tag; ``None`` for the newest.
    megabytes
        How much of a dataset from its beginning; ``None`` for all of it.
    """

    id: str
    revision: str | None = None
    megabytes: int | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{HUB}{self.id}{revision}{f'#{self.megabytes}MB' if self.megabytes else ''}"

    @property
    def is_pinned(self) -> bool:
        """Whether it names a commit, which never changes."""
        return _COMMIT.fullmatch(self.revision or "") is not None

    def pinned(self, commit: str, megabytes: int | None = None) -> HubAddress:
        """Return the same repository at a commit."""
        return replace(self, revision=commit, megabytes=megabytes)


def parse_hub(text: str, kind: Literal["dataset", "model"] = "dataset") -> HubAddress:
    """Read ``hub:OWNER/NAME`` or ``hub:OWNER/NAME@REVISION``; of a dataset also with ``#16MB`` for its beginning.

    Raises
    ------
    DataError
        If it is something else, and a dataset was expected.
    ModelError
        If it is something else, and a model was expected.

    Examples
    --------
    >>> parse_hub("hub:somebody/stories@v1.0")
    HubAddress(id='somebody/stories', revision='v1.0', megabytes=None)
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or ".." in found[0] or "--" in found[1] or (found[3] and kind == "model"):
        refuse, what = (DataError, "dataset") if kind == "dataset" else (ModelError, "repository")
        raise refuse(
            f"{quoted(text, _SHOWN)!r} is not the address of a Hub {what}.",
            hint="Write hub:OWNER/NAME or hub:OWNER/NAME@REVISION.",
        )
    return HubAddress(found[1], found[2], int(found[3]) if found[3] else None)
