"""Folders that are built once and then only read: whole or absent, never half-built.

Beside a folder ``KEY`` lie ``.KEY.lock``, held by whoever builds it, ``.KEY.part``, in which it grows, and a
``.KEY.NUMBER.lock`` of each process that uses it. The operating system releases what a process holds when it ends.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tb_widgets.data.cache.limit import GROWING, chosen_limit, hold, lock_of, make_room, mark_used, part_of
from tb_widgets.errors import DataError
from tb_widgets.runs.durable import explain_os_error, is_full, replace_json, sync_file, sync_folder
from tb_widgets.runs.folders import default_cache_dir

_META = "entry.json"
_FORMAT = 4

_Build = Callable[[Path], "dict[str, Any] | None"]


def entry_key(**parts: Any) -> str:
    """Return a name for what is built from ``parts``; equal parts give equal names."""
    canonical = json.dumps({"format": _FORMAT, **parts}, sort_keys=True)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()[:32]


def read_entry(folder: Path) -> dict[str, Any] | None:
    """Return the facts of an entry; ``None`` if it is absent or damaged.

    Beside those that its builder gave they are ``files``, the size of each by its path, and ``built``, the time.
    """
    try:
        facts: dict[str, Any] = json.loads((folder / _META).read_text(encoding="utf-8"))
        whole = all((folder / name).stat().st_size == size for name, size in facts["files"].items())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return facts if whole else None


def built_folder(
    root: Path, key: str, build: _Build, *, again: bool = False, on_wait: Callable[[], None] = lambda: None
) -> Path:
    """Return the folder of an entry, and build it first if it is absent or damaged.

    It stays for as long as this process lives; what nobody uses makes room for it, see
    :mod:`tb_widgets.data.cache.limit`.

    Parameters
    ----------
    root, key
        The entry is the folder ``root/key``.
    build
        Fills an empty folder, which then takes its place, and returns facts about it for :func:`read_entry`. What it
        leaves beside that folder is found there again when it has failed and is called again.
    again
        Build also where there is an entry; it stays if ``build`` leaves its folder empty.
    on_wait
        Called if another process is building the same entry, whose end is waited for.

    Raises
    ------
    DataError
        If the cache folder can't be written, the disk is full, or the cache may not take so much.
    """
    chosen_limit()  # a setting that is no size is refused also where nothing has to be built
    folder = root / key
    try:
        if again or read_entry(folder) is None:
            root.mkdir(parents=True, exist_ok=True)
            with _locked(folder, on_wait):
                if again or read_entry(folder) is None:
                    make_room()
                    _build(folder, build)
        hold(folder)
    except OSError as error:
        raise explain_cache_error(error, root) from error
    return folder


def explain_cache_error(error: OSError, folder: Path) -> DataError:
    """Turn an operating-system error in the cache into a sentence with a way out."""
    return DataError(
        explain_os_error(error, folder).message,
        hint="Make room, or set TB_CACHE_DIR to a folder on another disk that you may write to.",
    )


def _locked(folder: Path, on_wait: Callable[[], None]) -> AbstractContextManager[object]:
    lock = FileLock(lock_of(folder))
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        return lock.acquire()


def _build(folder: Path, build: _Build) -> None:
    part = part_of(folder)
    growing = part / GROWING
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir(parents=True)
    try:
        facts = build(growing)
        files = sorted(path for path in growing.rglob("*") if path.is_file())
        if files:
            _finish(growing, folder, files, facts or {})
    except BaseException as error:
        # On a full disk what could be gone on with is in the way of everything else.
        shutil.rmtree(part if isinstance(error, OSError) and is_full(error) else growing, ignore_errors=True)
        with suppress(OSError):  # it holds something
            part.rmdir()
        raise
    shutil.rmtree(part)


def _finish(growing: Path, folder: Path, files: list[Path], facts: dict[str, Any]) -> None:
    sizes = {path.relative_to(growing).as_posix(): path.stat().st_size for path in files}
    make_room(sum(sizes.values()), keep=[folder])
    meta = json.dumps({**facts, "files": sizes, "built": time.time()})
    (growing / _META).write_text(meta, encoding="utf-8")
    for path in (*files, growing / _META):
        sync_file(path)  # the rename below must not outlive the content that it promises
    if folder.exists():
        shutil.rmtree(folder)  # damaged, or something else by now
    growing.replace(folder)
    sync_folder(folder.parent)


# ---- by what was asked for -------------------------------------------------------------------------------------------


def remember(question: dict[str, Any], folder: Path) -> None:
    """Note that an entry of the cache holds the latest answer to a question."""
    note = _note(question)
    note.parent.mkdir(parents=True, exist_ok=True)
    replace_json(note, {"asked": question, "folder": folder.relative_to(default_cache_dir()).as_posix()})


def recall(question: dict[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """Return the folder and the facts of the latest whole entry that answers a question."""
    try:
        folder = default_cache_dir() / json.loads(_note(question).read_text(encoding="utf-8"))["folder"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    facts = read_entry(folder)
    if facts is None:
        return None
    mark_used(folder)
    return folder, facts


def _note(question: dict[str, Any]) -> Path:
    return default_cache_dir() / "asked" / f"{entry_key(**question)}.json"
