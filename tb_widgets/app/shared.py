"""Which models a visitor may load: all of them on one's own machine, a list of pinned revisions on a shared server.

Whoever may load any Gist may run any code. On a Voila server that others can reach, that would be strangers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from tb_widgets.errors import ModelError

ONLY_HERE = "TB_LOOPBACK_ONLY"  # set by our own page server, which nobody else can reach
ALLOWED = "TB_ALLOWED_MODELS"
_PINNED = re.compile(r"gist:[0-9a-f]{1,32}@[0-9a-f]{40}|hub:[\w.-]+/[\w.-]+@[0-9a-f]{40}")


def is_shared(environment: Mapping[str, str] | None = None) -> bool:
    """Tell whether this kernel serves a Voila page that others can reach."""
    known = os.environ if environment is None else environment
    return known.get("SERVER_SOFTWARE", "").startswith("voila/") and known.get(ONLY_HERE) != "1"


def allowed_models() -> list[str]:
    """Return the pinned revisions in the file that ``TB_ALLOWED_MODELS`` names, one a line; ``#`` begins a comment.

    Raises
    ------
    ModelError
        If the file can't be read, or a line names no pinned revision.
    """
    name = os.environ.get(ALLOWED)
    if not name:
        return []
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{ALLOWED} names {name}, which can't be read: {error}.") from error
    models = [line for line in (line.partition("#")[0].strip() for line in lines) if line]
    for model in models:
        if not _PINNED.fullmatch(model):
            raise ModelError(
                f"{name}: {model!r} names no pinned revision.", hint="Write gist:ID@SHA or hub:OWNER/NAME@SHA."
            )
    return models


def require_allowed(source: str) -> None:
    """Let pass what may be loaded here.

    Raises
    ------
    ModelError
        If this is a shared server, and the model is neither ours nor on its list.
    """
    if is_shared() and not source.startswith("zoo:") and source not in allowed_models():
        raise ModelError(
            "This page is on a shared server, which runs only our own models and those on its list.",
            hint=f"Its operator lists pinned revisions in the file that {ALLOWED} names; or run tb-widgets app.",
        )
