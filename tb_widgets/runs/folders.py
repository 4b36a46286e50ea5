"""Where things lie that outlive a run: what can be fetched or built again, and what the user decided."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache_dir() -> Path:
    """Return where prepared texts and fetched models are kept: ``TB_CACHE_DIR``, or the user's cache folder."""
    if folder := os.environ.get("TB_CACHE_DIR"):
        return Path(folder).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tb_widgets"


def default_config_dir() -> Path:
    """Return where decisions are kept, such as whose code may run: ``TB_CONFIG_DIR``, or the user's config folder."""
    if folder := os.environ.get("TB_CONFIG_DIR"):
        return Path(folder).expanduser().absolute()
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "tb_widgets"
