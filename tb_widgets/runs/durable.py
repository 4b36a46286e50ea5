"""Writing files so that a reader, a crash or a full disk never meets half of one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from tb_widgets.errors import RunError


def explain_os_error(error: OSError, path: Path, *, reading: bool = False) -> RunError:
    """Turn an operating-system error on a path into a sentence with a way out."""
    if reading:
        return RunError(f"{path} can't be read: {error.strerror or error}.")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(
            f"The disk that holds {path} is full.",
            hint="Free some space, then press Resume; nothing that was saved is lost.",
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return RunError(
            f"{path} can't be written: {error.strerror}.",
            hint="Choose a runs folder that you may write to (--runs-dir, or TB_RUNS_DIR).",
        )
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return RunError(
            f"{path} is not a folder, or a file stands where one of its parents should be.",
            hint="Choose another runs folder (--runs-dir, or TB_RUNS_DIR).",
        )
    return RunError(f"{path}: {error.strerror or error}.")


def replace_text(path: Path, text: str, *, sync: bool = False) -> None:
    """Replace a file atomically: readers see the old text or the new one, never a part.

    With ``sync`` the text is on the disk before it takes the old one's place, so that a power loss keeps one of them.

    Raises
    ------
    RunError
        If the disk is full or the folder can't be written; no temporary file is left behind.
    """
    # Two threads of one process may replace the same file, each through a file of its own.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
        if sync:
            sync_file(temporary)
        _replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise explain_os_error(error, path) from error


def _replace(temporary: Path, path: Path) -> None:
    """Rename over a file. Windows refuses that while somebody reads the file, which takes moments."""
    for _ in range(50 if os.name == "nt" else 0):
        try:
            temporary.replace(path)
        except PermissionError:
            time.sleep(0.01)
        else:
            return
    temporary.replace(path)


def replace_json(path: Path, value: Any) -> None:
    """Replace a file atomically with one line of JSON."""
    replace_text(path, json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def sync_file(path: Path) -> None:
    """Ask the operating system to put a file's content on the disk."""
    # Windows syncs only what was opened for writing; POSIX opens folders only for reading.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Ask the operating system to put a folder's list of names on the disk, where folders can be synced."""
    if os.name == "posix":
        sync_file(path)
