"""How much of the disk the cache may take, what goes first when that is not enough, and clearing it by hand."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from tb_widgets.errors import DataError
from tb_widgets.runs.folders import default_cache_dir
from tb_widgets.wording import size_in_words

LIMIT = "TB_CACHE_LIMIT"
USUAL_LIMIT = 20_000_000_000  # bytes
FRESH = 3600.0  # seconds: what was used so lately is in use
STALE = 7 * 86400.0  # seconds: what was left unfinished so long ago is not gone on with
GROWING = "built"
"""Folder in the part of an entry that takes the entry's place when it is whole."""

_ENTRY = re.compile("[0-9a-f]{32}|[0-9a-f]{64}")
_GROUPS = ("", "datasets", "downloads", "uploads", "tokenizers")  # token files lie in the cache folder itself
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}

_holding: dict[Path, FileLock] = {}


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
        raise DataError(f"{LIMIT} is {text!r}, which is not a size.", hint="Write it like 500M or 20 GB.")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def make_room(size: int = 0, *, keep: Collection[Path] = ()) -> None:
    """Remove what was not used for longest, until so many bytes more fit into the cache.

    What is in use stays: what a living process holds, and what was used within the last hour.

    Parameters
    ----------
    size
        Bytes that are to come.
    keep
        Folders that stay in any case.

    Raises
    ------
    DataError
        If there is not enough that may go; then nothing is removed.
    """
    _sweep()
    entries, limit = sorted(_entries(), key=lambda entry: entry.used), cache_limit()
    excess = sum(entry.size for entry in entries) + size - limit
    if excess <= 0:
        return
    idle = _idle(entries, keep)
    if size > 0 and sum(entry.size for entry in idle) < excess:
        raise _no_room(size, limit)
    for entry in idle:
        if excess <= 0:
            return
        _remove(entry.folder)
        excess -= entry.size


def growth_check() -> Callable[[int], None]:
    """Return what refuses an entry that grows, or is going to grow, to more bytes than the cache can give it.

    It is reckoned once: what grows takes from the free space by which the usual limit is reckoned.
    """
    entries, limit = list(_entries()), cache_limit()
    most = limit - sum(entry.size for entry in entries) + sum(entry.size for entry in _idle(entries))

    def check(size: int) -> None:
        if size > most:
            raise _no_room(size, limit)

    return check


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
    staying = _held_by_others() | wanted
    freed = kept = 0
    for entry in list(_entries()):
        if entry.folder in staying:
            kept += entry.size
        else:
            _remove(entry.folder)
            freed += entry.size
    return Cleared(freed, kept)


def _no_room(size: int, limit: int) -> DataError:
    return DataError(
        f"The cache limit is {size_in_words(limit)}, which leaves no room for {size_in_words(size)} more.",
        hint=f"Clear the cache, set {LIMIT} higher, or set TB_CACHE_DIR to a folder on a larger disk.",
    )


def _idle(entries: list[_Entry], keep: Collection[Path] = ()) -> list[_Entry]:
    staying = _held_by_others() | set(_holding) | {folder.absolute() for folder in keep}
    since = time.time() - FRESH
    return [entry for entry in entries if entry.folder not in staying and entry.used < since]


# ---- in use ----------------------------------------------------------------------------------------------------------


def mark_used(folder: Path) -> None:
    """Note that an entry is used now."""
    # It may be somebody else's to write: then it is theirs to clear as well.
    with contextlib.suppress(OSError):
        os.utime(folder)


def hold(folder: Path) -> None:
    """Let an entry stay for as long as this process lives: by a lock that the system releases when it ends."""
    mark_used(folder)
    folder = folder.absolute()
    if folder not in _holding:
        with contextlib.suppress(OSError):  # as above
            _holders(folder.parent, folder.name)  # what dead ones left is not to pile up
            lock = FileLock(folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.lock"), thread_local=False)
            lock.acquire()
            _holding[folder] = lock


def _held_by_others() -> set[Path]:
    return {group / lock.name.split(".")[1] for group in _groups() for lock in _holders(group, "*")}


def _holders(group: Path, name: str) -> list[Path]:
    """Return the locks by which other processes hold entries; those of processes that are gone are removed."""
    own = {Path(lock.lock_file) for lock in _holding.values()}
    living = []
    for path in group.glob(f".{name}.*.lock"):
        if path not in own:
            try:
                with FileLock(path, timeout=0):
                    path.unlink(missing_ok=True)
            except Timeout:
                living.append(path)
    return living


# ---- on disk ---------------------------------------------------------------------------------------------------------


def lock_of(folder: Path) -> Path:
    """Return the file that is locked while an entry is built."""
    return folder.with_name(f".{folder.name}.lock")


def part_of(folder: Path) -> Path:
    """Return the folder in which an entry grows."""
    return folder.with_name(f".{folder.name}.part")


def _groups() -> Iterator[Path]:
    yield from (group.absolute() for name in _GROUPS if (group := default_cache_dir() / name).is_dir())


def _entries() -> Iterator[_Entry]:
    for group in _groups():
        for folder in group.iterdir():
            if _ENTRY.fullmatch(folder.name) and folder.is_dir():
                with contextlib.suppress(FileNotFoundError):  # another process was quicker
                    yield _Entry(folder, folder_size(folder), folder.stat().st_mtime)


def folder_size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _sweep(*, at_once: bool = False) -> None:
    """Remove what was begun by processes that are gone, and can't be gone on with; ``at_once`` also what can be."""
    for group in _groups():
        for part in group.glob(".*.part"):
            lock = FileLock(lock_of(group / part.name[1:].removesuffix(".part")), timeout=0)
            with contextlib.suppress(FileNotFoundError, Timeout), lock:
                is_stale = max(path.stat().st_mtime for path in (part, *part.rglob("*"))) < time.time() - STALE
                shutil.rmtree(part if at_once or is_stale else part / GROWING, ignore_errors=True)
                with contextlib.suppress(OSError):  # there is something to go on with
                    part.rmdir()


def _remove(folder: Path) -> None:
    """Remove an entry: first from where it is looked for, so that nobody meets half of it."""
    gone = part_of(folder.with_name(f"{folder.name}-{secrets.token_hex(4)}"))
    with contextlib.suppress(FileNotFoundError):  # another process was quicker
        folder.replace(gone)
        shutil.rmtree(gone)
