"""What went wrong in a model's own code, in one sentence. Importing this file imports no torch."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

from tb_widgets.errors import quoted

_NOT_THEIRS = (
    *(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")),  # torch and other packages
    str(Path(__file__).parents[1]),
    "<frozen ",
    "<string>",
)


def quoted_error(error: BaseException) -> str:
    """Return an error, and the last line of the user's code that it passed through."""
    said = f"{type(error).__name__}: {quoted(str(error)).rstrip('.') or 'no message'}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(_NOT_THEIRS):
            return f"{said} ({Path(frame.filename).name}, line {frame.lineno}: {quoted(frame.line or '')})"
    return said
