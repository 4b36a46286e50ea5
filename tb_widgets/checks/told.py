"""What went wrong in a model's own code, in one sentence."""

from __future__ import annotations

import traceback
from pathlib import Path

import torch

from tb_widgets.errors import quoted

_NOT_THEIRS = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]), "<frozen ", "<string>")


def told(error: BaseException) -> str:
    """Return the error, and the last line of the user's code that it passed through."""
    said = f"{type(error).__name__}: {quoted(str(error)).rstrip('.') or 'no message'}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(_NOT_THEIRS):
            return f"{said} ({Path(frame.filename).name}, line {frame.lineno}: {quoted(frame.line or '')})"
    return said
