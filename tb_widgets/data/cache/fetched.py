"""Fetched data in the cache: whole or absent, found again by what was asked for."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tb_widgets.data.cache.limit import mark_used
from tb_widgets.runs.durable import replace_json, sync_file, sync_folder
from tb_widgets.runs.folders import default_cache_dir

ORIGIN = "origin.json"
_FORMAT = 1


def key_of(**parts: Any) -> str:
    """Return a name for what is fetched by ``parts``; equal parts give equal names."""
    return hashlib.sha256(json.dumps({"format": _FORMAT, **parts}, sort_keys=True).encode()).hexdigest()[:32]


def find(folder: Path) -> dict[str, Any] | None:
    """Return where the copy in a folder came from, ``None`` if it is absent or damaged."""
    try:
        origin = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
        whole = all((folder / name).stat().st_size == size for name, size in origin["files"].items())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return origin if whole else None


@contextmanager
def workplace(folder: Path, report: Callable[[str, float], None]) -> Iterator[Path]:
    """Lock a copy that is to be made, and give the folder in which it grows.

    What an earlier attempt left there is found again, unless the disk was full: then it is removed. Another process
    that makes the same copy is waited for.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        report("Waiting for another process that fetches the same", 0.0)
        held = lock.acquire()
    with held:
        growing = folder.parent / f".{folder.name}.part"
        try:
            growing.mkdir(exist_ok=True)
            yield growing
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                shutil.rmtree(growing, ignore_errors=True)
            raise


def finish(built: Path, folder: Path, origin: dict[str, Any]) -> dict[str, Any]:
    """Put a folder that is complete into its place, and return its origin with sizes and time."""
    files = sorted(path for path in built.rglob("*") if path.is_file() and path.name != ORIGIN)
    sizes = {path.relative_to(built).as_posix(): path.stat().st_size for path in files}
    for path in files:
        sync_file(path)
    origin = {**origin, "files": sizes, "fetched": time.time()}
    replace_json(built / ORIGIN, origin)
    sync_file(built / ORIGIN)
    if folder.exists():
        shutil.rmtree(folder)  # damaged, or the address holds something else by now
    built.replace(folder)
    sync_folder(folder.parent)
    return origin


# ---- by what was asked for -------------------------------------------------------------------------------------------


def remember(asked: dict[str, Any], folder: Path) -> None:
    """Note that a folder holds the latest answer to a question."""
    note = _note(asked)
    note.parent.mkdir(parents=True, exist_ok=True)
    replace_json(note, {"asked": asked, "folder": os.path.relpath(folder, default_cache_dir())})


def recall(asked: dict[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """Return the folder and origin of the latest whole copy that answers a question."""
    try:
        folder = default_cache_dir() / json.loads(_note(asked).read_text(encoding="utf-8"))["folder"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    origin = find(folder)
    if origin is None:
        return None
    mark_used(folder)
    return folder, origin


def _note(asked: dict[str, Any]) -> Path:
    return default_cache_dir() / "asked" / f"{key_of(**asked)}.json"
