"""How much of the disk the cache may take, what goes first when that is not enough, and clearing it by hand."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tb_widgets.errors import DataError, RunError
from tb_widgets.runs.durable import replace_json
from tb_widgets.runs.folders import default_cache_dir
from tb_widgets.runs.process import ProcessIdentity

LIMIT = "TB_CACHE_LIMIT"
USUAL_LIMIT = 20_000_000_000  # bytes
STEP = 8_000_000  # bytes that an entry grows by until the cache is looked at again
FRESH = 3600.0  # seconds: what was used so lately is in use
STALE = 7 * 86400.0  # seconds: what was left unfinished so long ago is not gone on with

_ENTRY = re.compile("[0-9a-f]{32}|[0-9a-f]{64}")
_GROUPS = ("", "datasets", "downloads", "uploads", "tokenizers")  # token files lie in the cache folder itself
_UNFINISHED = re.compile(r"\.[0-9a-f]{32}\.part|[0-9a-f]{32}\..*\.building|\.upload-.*")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class CacheUse:
    """What the cache takes: bytes, entries, and the bytes that it may take."""

    size: int
    entries: int
    limit: int


@dataclass(frozen=True)
class Cleared:
    """What clearing has freed, and what stays because it is in use; bytes."""

    freed: int
    kept: int


@dataclass(frozen=True)
class _Entry:
    folder: Path
    size: int
    used: float


def cache_use() -> CacheUse:
    """Return what the cache takes now. It looks at every file, so it is nothing for a heartbeat.

    Raises
    ------
    DataError
        If ``TB_CACHE_LIMIT`` is no size.
    """
    entries = list(_entries())
    return CacheUse(sum(entry.size for entry in entries), len(entries), cache_limit())


def cache_limit() -> int:
    """Return how many bytes the cache may take: ``TB_CACHE_LIMIT`` (``500M``, ``20 GB``), or 20 GB.

    Without the setting it is at most what the cache has and half of what is free beside it.

    Raises
    ------
    DataError
        If ``TB_CACHE_LIMIT`` is no size.
    """
    if (chosen := chosen_limit()) is not None:
        return chosen
    cache = default_cache_dir()
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    return min(USUAL_LIMIT, sum(entry.size for entry in _entries()) + shutil.disk_usage(there).free // 2)


def chosen_limit() -> int | None:
    """Return what ``TB_CACHE_LIMIT`` says in bytes, ``None`` where it is not set.

    Raises
    ------
    DataError
        If it is no size.
    """
    text = os.environ.get(LIMIT, "").strip()
    if not text:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text, re.I)
    if found is None:
        raise DataError(f"{LIMIT} is {text!r}, which is no size.", hint="Write it like 500M or 20 GB.")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def in_words(size: int) -> str:
    """Return a size as people read it.

    >>> in_words(1_234_000), in_words(20_000_000_000)
    ('1.2 MB', '20.0 GB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def make_room(size: int = 0, *, keep: Collection[Path] = (), limit: int | None = None) -> None:
    """Remove what was not used for longest, until so many bytes more fit into the cache.

    What is in use stays: what a living process holds, and what was used within the last hour.

    Parameters
    ----------
    size
        Bytes that are to come.
    keep
        Folders that stay in any case.
    limit
        What the cache may take, by default :func:`cache_limit`.

    Raises
    ------
    DataError
        If there is not enough that may go; then nothing is removed.
    """
    _sweep()
    entries, limit = sorted(_entries(), key=lambda entry: entry.used), cache_limit() if limit is None else limit
    excess = sum(entry.size for entry in entries) + size - limit
    if excess <= 0:
        return
    held, since = _held() | {folder.absolute() for folder in keep}, time.time() - FRESH
    idle = [entry for entry in entries if entry.folder not in held and entry.used < since]
    if size > 0 and sum(entry.size for entry in idle) < excess:
        raise DataError(
            f"The cache may take {in_words(limit)}, and there is no room in it for {in_words(size)} more.",
            hint=f"Clear the cache, set {LIMIT} higher, or set TB_CACHE_DIR to a folder on a larger disk.",
        )
    for entry in idle:
        if excess <= 0:
            return
        _remove(entry.folder)
        excess -= entry.size


class Growth:
    """Room for one entry while it grows. The cache is looked at again only after some megabytes more."""

    def __init__(self) -> None:
        # What grows takes from the free space that the usual limit is reckoned by, so that is asked for once.
        self._limit, self._made = cache_limit(), 0

    def reach(self, size: int) -> None:
        """Make room for an entry that has so many bytes by now, or is going to have them.

        Raises
        ------
        DataError
            If the cache may not take that much.
        """
        if size > self._made + STEP:
            self._make(size)

    def finish(self, size: int) -> None:
        """Make room for an entry that is complete, as :meth:`reach` does."""
        if size > self._made:
            self._make(size)

    def _make(self, size: int) -> None:
        make_room(size, limit=self._limit)
        self._made = size


def clear_cache(*, keep: Collection[Path] = ()) -> Cleared:
    """Remove everything that can be fetched or made again; uploaded files too.

    What another living process holds stays, and fetched models stay, which are small and agreed to.

    Parameters
    ----------
    keep
        Files or folders of entries that stay, such as the data that are selected.
    """
    _sweep(at_once=True)
    wanted = {parent for path in keep for parent in (path.absolute(), *path.absolute().parents)}
    held = _held(others_only=True) | wanted
    freed = kept = 0
    for entry in list(_entries()):
        if entry.folder in held:
            kept += entry.size
        else:
            _remove(entry.folder)
            freed += entry.size
    return Cleared(freed, kept)


# ---- in use ----------------------------------------------------------------------------------------------------------


def mark_used(folder: Path) -> None:
    """Note that an entry is used now."""
    # It may be somebody else's to write: then it is theirs to clear as well.
    with contextlib.suppress(OSError):
        os.utime(folder)


def hold(folder: Path) -> None:
    """Let an entry stay for as long as this process lives."""
    me, notes = ProcessIdentity.current(), default_cache_dir() / "held"
    note = notes / f"{me.host}-{me.pid}.json"
    before = _read_note(note)
    mine = before["folders"] if before and abs(before["started"] - me.started) < 1 else []
    mark_used(folder)
    if str(folder.absolute()) not in mine:
        facts = {"pid": me.pid, "started": me.started, "host": me.host}
        # A cache that may only be read is nobody's to clear from here.
        with contextlib.suppress(OSError, RunError):
            notes.mkdir(parents=True, exist_ok=True)
            replace_json(note, {**facts, "folders": [*mine, str(folder.absolute())]})


def _held(*, others_only: bool = False) -> set[Path]:
    found: set[Path] = set()
    notes = default_cache_dir() / "held"
    for path in notes.glob("*.json") if notes.is_dir() else ():
        note = _read_note(path)
        holder = ProcessIdentity(note["pid"], note["started"], note["host"]) if note else None
        # Of a process on another machine nobody here can tell whether it lives: a week is enough for most runs.
        if note and holder and (holder.is_alive() if holder.is_here else _is_recent(path)):
            if not (others_only and holder.is_here and holder.pid == os.getpid()):
                found |= {Path(folder) for folder in note["folders"]}
        else:
            path.unlink(missing_ok=True)
    return found


def _is_recent(path: Path) -> bool:
    return time.time() - path.stat().st_mtime < STALE


def _read_note(path: Path) -> dict[str, Any] | None:
    try:
        note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) and {"pid", "started", "host", "folders"} <= set(note) else None


# ---- on disk ---------------------------------------------------------------------------------------------------------


def _folders() -> Iterator[Path]:
    root = default_cache_dir()
    for group in _GROUPS:
        folder = root / group
        if folder.is_dir():
            yield from (path for path in folder.iterdir() if path.is_dir())


def _entries() -> Iterator[_Entry]:
    for folder in _folders():
        if _ENTRY.fullmatch(folder.name):
            with contextlib.suppress(FileNotFoundError):  # another process was quicker
                yield _Entry(folder.absolute(), _size_of(folder), folder.stat().st_mtime)


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _sweep(*, at_once: bool = False) -> None:
    """Remove what was begun and left; at once, if nothing has been written to it for an hour."""
    before = time.time() - (FRESH if at_once else STALE)
    for folder in _folders():
        if _UNFINISHED.fullmatch(folder.name):
            with contextlib.suppress(FileNotFoundError):
                if max(path.stat().st_mtime for path in (folder, *folder.rglob("*"))) < before:
                    shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path) -> None:
    """Remove an entry: first from where it is looked for, so that nobody meets half of it."""
    gone = folder.with_name(f".{folder.name}.part")
    with contextlib.suppress(FileNotFoundError):
        if gone.exists():
            shutil.rmtree(gone)
        folder.replace(gone)
        shutil.rmtree(gone)
