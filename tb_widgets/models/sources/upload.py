"""Files that were dropped on the page: model.py and config.json, or a zip that holds them. Nothing is unpacked."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath

from tb_widgets.errors import ModelError
from tb_widgets.models.source import CODE, CONFIG, ModelSource
from tb_widgets.models.sources import copies
from tb_widgets.wording import listed, size_in_words

ZIP_LIMIT = 50_000_000  # bytes
ENTRIES = 5000
# What zipfile raises for archives that are damaged, packed in an unknown way, or locked.
DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError)


def from_files(files: Mapping[str, bytes]) -> ModelSource:
    """Return the model in files that were dropped, and keep it: its ``origin["source"]`` finds it again.

    Parameters
    ----------
    files
        Content by name; others than ``model.py`` and ``config.json`` are left aside.

    Raises
    ------
    ModelError
        If one of the two is missing, too large, empty, or not text.
    """
    copies.require_files(files, "")
    texts = {name: copies.as_text(files[name], name, "what was dropped") for name in (CODE, CONFIG)}
    digest = hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()
    identity = digest[:16]
    source = copies.complete(
        {
            "source": f"upload:{identity}",
            "kind": "upload",
            "id": identity,
            "revision": digest,
            "listed": [{"name": name, "bytes": len(content)} for name, content in files.items()],
        },
        texts,
    )
    copies.keep(source)
    return source


def from_zip(content: bytes) -> ModelSource:
    """Return the model in a zip archive; its two files may lie in a folder, but in one only.

    Raises
    ------
    ModelError
        If it is no zip, is locked or damaged, holds no model or several, or :func:`from_files` refuses its files.
    """
    if len(content) > ZIP_LIMIT:
        raise ModelError(
            f"The zip is larger than {size_in_words(ZIP_LIMIT)}.", hint="Put only model.py and config.json into it."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return from_files(_read(archive, _members(archive)))
    except DAMAGED as error:
        raise ModelError(f"The zip can't be read: {error}.", hint="Zip it again, without a password.") from error


def find_upload(source: str) -> ModelSource:
    """Return the upload that ``upload:ID`` names.

    Raises
    ------
    ModelError
        If it was not dropped on this machine, or its copy is gone.
    """
    kept = (
        copies.revisions("upload", source.removeprefix("upload:")) if source.removeprefix("upload:").isalnum() else []
    )
    if not kept:
        raise ModelError(
            f"model.source: {source} is no longer on this machine.",
            hint="Drop the files on the page again, or give the path of their folder.",
        )
    return kept[0]


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the files of an archive that a person put there, by the name that each has in the model's folder."""
    infos = archive.infolist()
    if len(infos) > ENTRIES:
        raise ModelError(f"The zip contains {len(infos):,} files.", hint="Put only model.py and config.json into it.")
    found: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in infos:
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if not path.parts:
            raise ModelError("The zip contains a file without a name.", hint="Zip it again.")
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0:1]:
            raise ModelError(f"The zip contains a path that leads out of it: {path}.", hint="Zip it again.")
        if info.is_dir() or path.parts[0] == "__MACOSX" or path.name.startswith("._"):
            continue
        if path in found:
            raise ModelError(f"The zip contains {path} twice.", hint="Zip it again.")
        found[path] = info
    folders = [path.parent for path in found if path.name == CODE]
    whole = [folder for folder in folders if folder / CONFIG in found]
    if len(whole) > 1:
        raise ModelError(
            f"The zip contains {len(whole)} models, in {listed([str(folder) for folder in whole], most=5)}.",
            hint="Put one of them into a zip of its own.",
        )
    chosen = whole or folders[:1] or [PurePosixPath()]
    return {
        path.relative_to(chosen[0]).as_posix(): info for path, info in found.items() if path.is_relative_to(chosen[0])
    }


def _read(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> dict[str, bytes]:
    """Read the two files; of the others only the names count. A bomb is read up to the limit and no further."""
    contents = dict.fromkeys(members, b"")
    for name in (CODE, CONFIG):
        if name in members:
            with archive.open(members[name]) as file:
                contents[name] = file.read(copies.FILE_LIMIT + 1)
    return contents
