"""Which code this is: its git commit and what was changed since, or a checksum where there is no git."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from tb_widgets.version import __version__

_PACKAGE = Path(__file__).resolve().parents[1]


@cache
def own_code() -> dict[str, Any]:
    """Return tb_widgets' version, and its commit in a checkout of it, or a checksum of what is installed."""
    # An installed package may lie in a virtual environment inside somebody's checkout, which does not track it.
    state = git_state(_PACKAGE) if _is_tracked(_PACKAGE / "version.py") else None
    return {"version": __version__, **(state or {"sha256": digest(_PACKAGE, _PACKAGE.rglob("*.py"))})}


def project_code(folder: Path) -> dict[str, Any] | None:
    """Return the commit of the checkout that a folder is in.

    Without git it is a checksum of the folder's own Python files, and ``None`` where there are none.
    """
    if (state := git_state(folder)) is not None:
        return state
    files = [path for path in folder.glob("*.py") if path.is_file()]
    return {"sha256": digest(folder, files)} if files else None


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return ``commit`` and ``dirty`` of the checkout that a folder is in; ``None`` outside one, or without git.

    Of a dirty one ``changes`` is a checksum of what ``git diff HEAD`` shows: two that differ are told apart.
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD").decode().strip()
        if not _git(folder, "status", "--porcelain", "--untracked-files=no").strip():
            return {"commit": commit, "dirty": False}
        changes = _git(folder, "diff", "--no-ext-diff", "--no-textconv", "--binary", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": True, "changes": hashlib.sha256(changes).hexdigest()}


def digest(folder: Path, files: Iterable[Path]) -> str:
    """Return one SHA-256 over names and contents of files; it does not depend on their order."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.relative_to(folder).as_posix()}" for path in files]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _is_tracked(file: Path) -> bool:
    try:
        _git(file.parent, "ls-files", "--error-unmatch", file.name)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _git(folder: Path, *words: str) -> bytes:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, timeout=5, check=True, env=environment).stdout
