"""The page's own files, read once."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def read_asset(name: str) -> str:
    """Return a text file of ``tb_widgets/app``."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
