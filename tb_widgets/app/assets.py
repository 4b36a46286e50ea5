"""The page's own files, read once."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def read_asset(name: str) -> str:
    """Return a text file of ``tb_widgets/app``."""
    return resources.files("tb_widgets.app").joinpath(name).read_text(encoding="utf-8")
