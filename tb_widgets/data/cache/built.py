"""Folders that are built once and then only read: complete or absent, never half-built."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tb_widgets.data.cache.limit import Growth, chosen_limit, hold, make_room
from tb_widgets.errors import DataError

_META = "entry.json"
_FORMAT = 2


def entry_key(**parts: Any) -> str:
    """Return a name for what is built from ``parts``; equal parts give equal names."""
    canonical = json.dumps({"format": _FORMAT, **parts}, sort_keys=True)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()[:32]


def find(cache_dir: Path, key: str) -> Path | None:
    """Return the folder of an entry, ``None`` if it is absent or damaged."""
    folder = cache_dir / key
    try:
        sizes = json.loads((folder / _META).read_text(encoding="utf-8"))
        whole = all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return None
    return folder if whole else None


def find_or_build(
    cache_dir: Path, key: str, build: Callable[[Path], None], *, on_wait: Callable[[], None] = lambda: None
) -> Path:
    """Return the folder of an entry, and build it first if it is absent or damaged.

    It stays for as long as this process lives; what nobody uses makes room for it, see
    :mod:`tb_widgets.data.cache.limit`.
    ``build`` fills an empty temporary folder, which is then renamed. A lock lets one process build while others wait
    for the result, which ``on_wait`` is told; the operating system releases it when its holder dies.

    Raises
    ------
    DataError
        If the cache folder can't be written, the disk is full, or the cache may not take so much.
    """
    chosen_limit()  # a setting that is no size is refused also where nothing has to be built
    found = find(cache_dir, key)
    try:
        if found is None:
            cache_dir.mkdir(parents=True, exist_ok=True)
            _sweep(cache_dir)
            with _locked(cache_dir / f"{key}.lock", on_wait):
                found = find(cache_dir, key)
                if found is None:
                    make_room()
                    found = _build(cache_dir, key, build)
        hold(found)
    except OSError as error:
        raise _explained(error, cache_dir) from error
    return found


def _locked(path: Path, on_wait: Callable[[], None]) -> AbstractContextManager[object]:
    lock = FileLock(path)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        return lock.acquire()


def _sweep(cache_dir: Path) -> None:
    """Remove what builders left that were killed: nobody holds their lock any more."""
    for left in cache_dir.glob("*.building"):
        try:
            with FileLock(cache_dir / f"{left.name.partition('.')[0]}.lock", timeout=0):
                shutil.rmtree(left, ignore_errors=True)
        except Timeout:
            continue


def _build(cache_dir: Path, key: str, build: Callable[[Path], None]) -> Path:
    folder = cache_dir / key
    growth = Growth()
    temporary = Path(tempfile.mkdtemp(prefix=f"{key}.", suffix=".building", dir=cache_dir))
    try:
        build(temporary)
        sizes = {path.name: path.stat().st_size for path in sorted(temporary.iterdir())}
        growth.finish(sum(sizes.values()))
        (temporary / _META).write_text(json.dumps(sizes), encoding="utf-8")
        for path in temporary.iterdir():
            _flush(path)
        if folder.exists():
            shutil.rmtree(folder)  # damaged, or it would have been found
        temporary.replace(folder)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)
    return folder


def _flush(path: Path) -> None:
    """Wait until a file is on disk: a rename must not outlive the content it promises."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _explained(error: OSError, cache_dir: Path) -> DataError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(
            f"The disk that holds the token cache {cache_dir} is full.",
            hint="Make room, or set TB_CACHE_DIR to a folder on another disk.",
        )
    return DataError(
        f"The token cache {cache_dir} can't be written: {error.strerror or error}.",
        hint="Set TB_CACHE_DIR to a folder that you may write to.",
    )
