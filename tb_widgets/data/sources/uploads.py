"""Files that arrive from a browser in pieces: each is acknowledged, and the whole is compared with its checksum.

Only whole files are ever seen under ``uploads/``: they grow beside it, and what is left of an upload that broke off
for good is removed by the next one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tb_widgets.data.cache.limit import make_room
from tb_widgets.data.sources.file_names import clean_name
from tb_widgets.errors import DataError
from tb_widgets.runs.folders import default_cache_dir

_GROWING = ".upload-"


@dataclass
class _Upload:
    """A file on its way; ``next`` is the number of the piece that is to come."""

    name: str
    size: int
    folder: Path
    next: int = 0
    here: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def file(self) -> Path:
        return self.folder / self.name


_uploads: dict[str, _Upload] = {}


def begin(name: str, size: int) -> str:
    """Announce a file, and return the id under which its pieces are to be sent.

    Parameters
    ----------
    name
        As the browser gives it; what no file may be called is replaced.
    size
        Bytes.

    Raises
    ------
    DataError
        If it is empty, there is no room for it, or the cache can't be written.
    """
    if size <= 0:
        raise DataError(f"{clean_name(name)} is empty.", hint="Choose a file with text in it.")
    folder = default_cache_dir() / "uploads"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_orphans(folder)
        free = shutil.disk_usage(folder).free
        if size > free:
            raise DataError(
                f"{clean_name(name)} has {size / 1e6:,.0f} MB, and the disk that holds {folder} has "
                f"{free / 1e6:,.0f} MB free.",
                hint="Make room, or set TB_CACHE_DIR to a folder on another disk.",
            )
        make_room(size)
        id = f"{os.getpid()}-{secrets.token_hex(8)}"
        upload = _Upload(clean_name(name), size, folder / f"{_GROWING}{id}")
        upload.folder.mkdir()
        upload.file.touch()
    except OSError as error:
        raise _unwritable(error, folder) from error
    _uploads[id] = upload
    return id


def add(id: str, number: int, piece: bytes) -> int:
    """Take a piece of a file, and return how many bytes are here by now.

    A piece that comes a second time, because its acknowledgement was lost, changes nothing.

    Parameters
    ----------
    number
        Which piece it is, from 0.

    Raises
    ------
    DataError
        If there is no such upload, a piece before this one is missing, it is more than was announced, or the disk is
        full; an upload that can't go on leaves nothing behind.
    """
    upload = _find(id)
    with upload.lock:
        if number < upload.next:
            return upload.here
        if number > upload.next:
            raise DataError(
                f"Piece {number} of {upload.name} came before piece {upload.next}.",
                hint=f"Send piece {upload.next} first.",
            )
        if upload.here + len(piece) > upload.size:
            cancel(id)
            raise DataError(
                f"{upload.name} sent more than the {upload.size:,} bytes that it announced.",
                hint="It may have changed meanwhile: choose it again.",
            )
        try:
            with upload.file.open("r+b") as file:
                file.seek(upload.here)
                file.write(piece)
        except OSError as error:
            cancel(id)
            raise _unwritable(error, upload.folder.parent) from error
        upload.digest.update(piece)
        upload.next, upload.here = upload.next + 1, upload.here + len(piece)
        return upload.here


def finish(id: str, sha256: str) -> Path:
    """Return the path of a file that has arrived, for ``data.source``. Asking twice gives the same answer once only.

    Parameters
    ----------
    sha256
        Of the whole file as the browser has read it, hexadecimal.

    Raises
    ------
    DataError
        If something is missing, or the checksum differs; then nothing is left of it.
    """
    upload = _find(id)
    with upload.lock:
        if upload.here != upload.size:
            raise DataError(
                f"Of {upload.name} {upload.here:,} of {upload.size:,} bytes are here.",
                hint=f"Send piece {upload.next} next.",
            )
        if upload.digest.hexdigest() != sha256.lower():
            cancel(id)
            raise DataError(
                f"{upload.name} arrived damaged: its checksum differs.",
                hint="It may have changed meanwhile: choose it again.",
            )
        folder = upload.folder.parent / upload.digest.hexdigest()
        try:
            with upload.file.open("rb") as file:
                os.fsync(file.fileno())
            folder.mkdir(exist_ok=True)
            os.utime(folder)
            path = upload.file.replace(folder / upload.name)
        except OSError as error:
            raise _unwritable(error, upload.folder.parent) from error
        finally:
            cancel(id)
    return path


def cancel(id: str) -> None:
    """Forget an upload and what has arrived of it; one that is not there is no harm."""
    upload = _uploads.pop(id, None)
    if upload is not None:
        shutil.rmtree(upload.folder, ignore_errors=True)


def is_upload(path: str | Path) -> bool:
    """Tell whether a path is that of a file that was sent here."""
    return Path(path).parent.parent == default_cache_dir() / "uploads"


def remove(path: str | Path) -> None:
    """Remove a file that was sent here and can't be used; any other is left alone."""
    if is_upload(path):
        Path(path).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another file with the same content may lie beside it
            Path(path).parent.rmdir()


def _find(id: str) -> _Upload:
    if id not in _uploads:
        raise DataError("This upload is not known here (any more).", hint="Choose the file again.")
    return _uploads[id]


def _remove_orphans(folder: Path) -> None:
    """Remove what processes left that are gone."""
    for path in folder.glob(f"{_GROWING}*"):
        pid = path.name.removeprefix(_GROWING).partition("-")[0]
        if not (pid.isdecimal() and psutil.pid_exists(int(pid))):
            shutil.rmtree(path, ignore_errors=True)


def _unwritable(error: OSError, folder: Path) -> DataError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(
            f"The disk that holds {folder} is full.",
            hint="Make room, or set TB_CACHE_DIR to a folder on another disk.",
        )
    return DataError(
        f"{folder} can't be written: {error.strerror or error}.",
        hint="Set TB_CACHE_DIR to a folder that you may write to.",
    )
