"""Writing files so that a reader, a crash or a full disk never meets half of one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tb_widgets.errors import FAILED, WRONG_INPUT, DiskFullError, RunError

LARGEST = 1 << 20  # bytes of a file of facts, such as a status or a manifest: what is larger is none of ours


_RUNS_DIR = "(--runs-dir, or TB_RUNS_DIR)"
_FULL = (
    "The disk that holds {path} is full.",
    "Free some space, then press Resume; nothing that was saved is lost.",
)
_REFUSED = ("{path} can't be written: {reason}.", f"Choose a runs folder that you may write to {_RUNS_DIR}.")
_NO_FOLDER = (
    "{path} is not a folder, or a file stands where one of its parents should be.",
    f"Choose another runs folder {_RUNS_DIR}.",
)
_WORDS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: _REFUSED,
    errno.EACCES: _REFUSED,
    errno.EPERM: _REFUSED,
    errno.EEXIST: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EFBIG: (
        "{path} can't be written: it would be larger than this process, or its disk, allows a file to be.",
        f"Raise the limit (ulimit -f), or choose a runs folder on another disk {_RUNS_DIR}.",
    ),
    errno.EIO: (
        "The disk that holds {path} reports an error of its own: {reason}.",
        "Check the disk and its connection, then press Resume; nothing that was saved is lost.",
    ),
}

_DISK_FAILS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # whatever folder was named


def is_full(error: OSError) -> bool:
    """Tell whether an error says that a disk, or somebody's share of it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def explain_os_error(error: OSError, path: Path, *, reading: bool = False) -> RunError:
    """Turn an operating-system error on a path into a sentence with a way out."""
    reason = error.strerror or error
    if reading:
        return RunError(f"{path} can't be read: {reason}.")
    sentence, hint = _WORDS.get(error.errno or 0, ("{path}: {reason}.", ""))
    code = FAILED if error.errno in _DISK_FAILS else WRONG_INPUT
    kind = DiskFullError if is_full(error) else RunError
    return kind(sentence.format(path=path, reason=reason), hint=hint, exit_code=code)


def read_json(path: Path) -> Any:
    """Read a small JSON file, whoever wrote it.

    Raises
    ------
    OSError
        If it can't be read.
    ValueError
        If it is no plain file (a pipe would never end), larger than 1 MB, or no JSON.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path.name} is no plain file")
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"{path.name} is larger than {LARGEST >> 20} MB")
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deeply") from None


def set_aside(path: Path, name: str) -> Path:
    """Give a file or folder another name, numbered where it is taken, and return its new path.

    Raises
    ------
    RunError
        If the folder can't be written.
    """
    target, number = path.with_name(name), 1
    while os.path.lexists(target):
        number += 1
        target = path.with_name(f"{Path(name).stem}-{number}{Path(name).suffix}")
    try:
        path.rename(target)
        sync_folder(path.parent)
    except OSError as error:
        raise explain_os_error(error, path) from error
    return target


def replace_text(path: Path, text: str, *, sync: bool = False) -> None:
    """Replace a file atomically; see :func:`replace_lines`."""
    replace_lines(path, [text], sync=sync)


def replace_lines(path: Path, lines: Iterable[str], *, sync: bool = False) -> None:
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
        with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.writelines(lines)
        if sync:
            sync_file(temporary)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise explain_os_error(error, path) from error


def replace_json(path: Path, value: Any) -> None:
    """Replace a file atomically with one line of JSON."""
    replace_text(path, json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def sync_file(path: Path) -> None:
    """Ask the operating system to put a file's content on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Ask the operating system to put a folder's list of names on the disk."""
    sync_file(path)
