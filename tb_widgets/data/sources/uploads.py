"""Files that arrive from a browser in pieces: each is acknowledged, and the whole is compared with its checksum.

Only whole files are ever seen under ``uploads/``. They grow as any entry of the cache does, so that what is left by a
process that is gone is removed as soon as room is made for another one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from tb_widgets.data.cache.built import explain_cache_error
from tb_widgets.data.cache.limit import GROWING, lock_of, make_room, part_of
from tb_widgets.data.sources.file_names import clean_name
from tb_widgets.errors import DataError
from tb_widgets.runs.durable import sync_file
from tb_widgets.runs.folders import default_cache_dir
from tb_widgets.wording import size_in_words


@dataclass
class _Upload:
    """A file on its way; ``next`` is the number of the piece that is to come."""

    name: str
    size: int
    folder: Path
    held: FileLock
    next: int = 0
    here: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def file(self) -> Path:
        return part_of(self.folder) / GROWING / self.name


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
        free = shutil.disk_usage(folder).free
        if size > free:
            raise DataError(
                f"{clean_name(name)} has {size_in_words(size)}, but the disk that holds {folder} has "
                f"{size_in_words(free)} free.",
                hint="Make room, or set TB_CACHE_DIR to a folder on another disk.",
            )
        make_room(size)
        id = secrets.token_hex(16)
        held = FileLock(lock_of(folder / id), thread_local=False)
        held.acquire()
        upload = _Upload(clean_name(name), size, folder / id, held)
        upload.file.parent.mkdir(parents=True)
        upload.file.touch()
    except OSError as error:
        raise explain_cache_error(error, folder) from error
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
                f"{upload.name} sent more than the {upload.size:,} bytes it announced.",
                hint="It may have changed: choose it again.",
            )
        try:
            with upload.file.open("r+b") as file:
                file.seek(upload.here)
                file.write(piece)
        except OSError as error:
            cancel(id)
            raise explain_cache_error(error, upload.folder.parent) from error
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
                f"Only {upload.here:,} of the {upload.size:,} bytes of {upload.name} have arrived.",
                hint=f"Send piece {upload.next} next.",
            )
        if upload.digest.hexdigest() != sha256.lower():
            cancel(id)
            raise DataError(
                f"{upload.name} arrived damaged: its checksum differs.",
                hint="It may have changed: choose it again.",
            )
        folder = upload.folder.parent / upload.digest.hexdigest()
        try:
            sync_file(upload.file)
            folder.mkdir(exist_ok=True)
            os.utime(folder)
            path = upload.file.replace(folder / upload.name)
        except OSError as error:
            raise explain_cache_error(error, upload.folder.parent) from error
        finally:
            cancel(id)
    return path


def cancel(id: str) -> None:
    """Forget an upload and what has arrived of it; one that is not there is no harm."""
    upload = _uploads.pop(id, None)
    if upload is not None:
        shutil.rmtree(part_of(upload.folder), ignore_errors=True)
        upload.held.release()
        lock_of(upload.folder).unlink(missing_ok=True)


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
        raise DataError("This upload has expired.", hint="Choose the file again.")
    return _uploads[id]
