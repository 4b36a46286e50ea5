"""What holds for every model from elsewhere: its two files must be there and be text, and are kept by revision."""

from __future__ import annotations

import difflib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from pathlib import Path
from typing import Any, TypeVar

from tb_widgets.errors import ModelError
from tb_widgets.models.source import CODE, CONFIG, ModelSource, frozen, read_source, write_source
from tb_widgets.runs.folders import default_cache_dir
from tb_widgets.wording import listed, size_in_words

FILE_LIMIT = 10_000_000  # bytes: what GitHub gives out of a Gist's file at most
_Result = TypeVar("_Result")


def require_files(names: Iterable[str], place: str, *, more: str = "") -> None:
    """Check that ``model.py`` and ``config.json`` are among the names in a place.

    Parameters
    ----------
    place
        For the sentence: ``Gist 0123…``; empty for files that were dropped.
    more
        What else could explain that a file is missing.

    Raises
    ------
    ModelError
        If one is missing; names that are like it are listed.
    """
    present = sorted(names)
    for wanted in (CODE, CONFIG):
        if wanted in present:
            continue
        folded = {name.rpartition("/")[2].casefold(): name for name in present}
        near = [folded[name] for name in difflib.get_close_matches(wanted, folded, n=3, cutoff=0.7)]
        held = f"It contains {listed(present)}." if present else "It contains no files."
        if near:
            held = f"It has {listed(near)}; the name must be exactly {wanted}, in lowercase, in no folder."
        if not place:
            raise ModelError(f"{wanted} is missing.", hint=f"{held} Drop {CODE} and {CONFIG} together.")
        raise ModelError(f"{place} has no {wanted}.{more}", hint=held)


def as_text(content: bytes, name: str, place: str) -> str:
    """Return a file's text.

    Raises
    ------
    ModelError
        If it is too large, empty, or not text in UTF-8.
    """
    if len(content) > FILE_LIMIT:
        raise too_large(name, place)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelError(
            f"{name} in {place} is not text in UTF-8 (byte {error.start}).", hint="Export the model again."
        ) from error
    if "\0" in text:
        raise ModelError(f"{name} in {place} is not text: it contains null bytes.", hint="Export the model again.")
    if not text.strip():
        raise ModelError(f"{name} in {place} is empty.", hint="Export the model again.")
    return text


def too_large(name: str, place: str) -> ModelError:
    """Return the error for a file that no model.py or config.json can be."""
    return ModelError(
        f"{name} in {place} is larger than {size_in_words(FILE_LIMIT)}.",
        hint="model.py is for code and config.json for sizes; keep weights and data elsewhere.",
    )


def complete(origin: dict[str, Any], files: dict[str, str]) -> ModelSource:
    """Return a source as it was fetched, with its checksums in the origin."""
    source = frozen(origin, files)
    return frozen({**origin, "fetched": source.origin["sha256"]}, files)


def within(seconds: float, work: Callable[[], _Result], late: Callable[[], ModelError]) -> _Result:
    """Return what ``work`` returns, or raise ``late()`` if it takes longer.

    Time limits of sockets start anew with every byte that arrives, so a slow server could hold us for ever. The work
    goes on in its thread until it meets a limit of its own.
    """
    outcome: Future[_Result] = Future()

    def do() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again where the caller waits
            outcome.set_exception(error)

    threading.Thread(target=do, name="fetch-model", daemon=True).start()
    try:
        return outcome.result(timeout=seconds)
    except TooLate:
        raise late() from None


# ---- copies ----------------------------------------------------------------------------------------------------------


def keep(source: ModelSource) -> None:
    """Keep a copy of fetched files for ever: a revision never changes.

    Raises
    ------
    ModelError
        If the cache folder can't be written.
    """
    origin = source.origin
    folder = _folder(origin["kind"], origin["id"]) / origin["revision"]
    if find_copy(origin["kind"], origin["id"], origin["revision"]) is not None:
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as temporary:
            built = Path(temporary) / "built"
            write_source(source, built)
            if folder.exists():
                shutil.rmtree(folder)  # damaged, or it would have been found
            built.replace(folder)
    except (OSError, ModelError) as error:
        if find_copy(origin["kind"], origin["id"], origin["revision"]) is not None:
            return  # another process was quicker
        raise ModelError(
            f"The fetched model can't be kept in {folder.parent}: {getattr(error, 'strerror', None) or error}.",
            hint="Free some space there, or set TB_CACHE_DIR to a folder you can write to.",
        ) from error


def find_copy(kind: str, identity: str, revision: str) -> ModelSource | None:
    """Return the copy of a revision, ``None`` if it is absent or damaged."""
    folder = _folder(kind, identity) / revision
    try:
        source = read_source(folder) if folder.is_dir() else None
    except ModelError:
        return None
    if source is None or source.origin.get("revision") != revision:
        return None
    # Consent is for the files as they came: a copy that claims to be altered is none.
    return source if source.origin.get("fetched") == source.origin["sha256"] else None


def revisions(kind: str, identity: str) -> list[ModelSource]:
    """Return every kept revision of a Gist or repository, the latest one first."""
    folder = _folder(kind, identity)
    names = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")] if folder.is_dir() else []
    found = [source for name in names if (source := find_copy(kind, identity, name)) is not None]
    return sorted(found, key=lambda source: str(source.origin.get("updated")), reverse=True)


def offer(kind: str, identity: str) -> str:
    """Return a sentence that offers the latest kept copy; empty if there is none."""
    kept = revisions(kind, identity)
    if not kept:
        return ""
    origin = kept[0].origin
    day = str(origin.get("updated"))[:10]
    address = f"{identity}@{origin['revision']}" if kind == "gist" else f"{kind}:{identity}@{origin['revision']}"
    return f"A copy of its revision {origin['revision'][:10]} from {day} is on this machine: ask for {address}"


def _folder(kind: str, identity: str) -> Path:
    return default_cache_dir() / "models" / kind / identity
