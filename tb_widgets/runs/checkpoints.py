"""Checkpoints on disk: whole and verified, or not there at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tb_widgets.errors import CheckpointError
from tb_widgets.runs.durable import explain_os_error, read_json, replace_json, set_aside, sync_file, sync_folder
from tb_widgets.runs.numbers import as_json, finite

MANIFEST = "MANIFEST.json"
META = "meta.json"
PINNED = "PINNED"


@dataclass(frozen=True)
class CheckpointInfo:
    """A checkpoint as its folder tells. ``metrics`` are the validation metrics at its step, where there are any."""

    path: Path
    step: int
    time: float
    size: int
    metrics: dict[str, float]
    pinned: bool = False
    best: bool = False


def checkpoint_name(step: int) -> str:
    """Return the folder name of a step's checkpoint, which sorts by step."""
    return f"step-{step:08d}"


def write_checkpoint(
    folder: Path, step: int, parts: Mapping[str, Callable[[Path], None]], meta: Mapping[str, Any]
) -> CheckpointInfo:
    """Write a checkpoint so that it appears at once and whole.

    Parameters
    ----------
    folder
        The run's ``checkpoints/`` folder.
    step
        Optimiser steps done.
    parts
        File name to a function that writes that file.
    meta
        Written to ``meta.json``; ``metrics`` inside decides which checkpoint is best.

    Raises
    ------
    RunError
        If the disk is full, fails or can't be written; nothing is left behind.
    CheckpointError
        If what was written can't be read back.
    """
    final = folder / checkpoint_name(step)
    temporary = folder / f".{final.name}.{os.getpid()}.tmp"
    old = folder / f".{final.name}.old.tmp"
    try:
        folder.mkdir(exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        for name, write in parts.items():
            write(temporary / name)
        (temporary / META).write_text(
            json.dumps(as_json({"step": step, "time": round(time.time(), 3), **meta})), encoding="utf-8"
        )
        hashes = {}
        for file in sorted(temporary.iterdir()):
            sync_file(file)
            hashes[file.name] = {"sha256": _sha256(file), "bytes": file.stat().st_size}
        replace_json(temporary / MANIFEST, {"step": step, "files": hashes})
        sync_file(temporary / MANIFEST)
        sync_folder(temporary)
        if final.exists():
            if (final / PINNED).exists():
                (temporary / PINNED).touch()
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
        # Killed between the two renames, remove_leftovers gives one of the two its name back.
        temporary.rename(final)
        sync_folder(folder)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not final.exists():
            old.rename(final)
        if isinstance(error, OSError):
            raise explain_os_error(error, final) from error
        # safetensors reports what the disk says with an exception of its own.
        if number := re.search(r"os error (\d+)", str(error)):
            told = int(number[1])
            raise explain_os_error(OSError(told, os.strerror(told)), final) from error
        raise
    return read_checkpoint(final)


def read_checkpoint(path: Path) -> CheckpointInfo:
    """Read what a checkpoint says of itself, without checking its hashes.

    Raises
    ------
    CheckpointError
        If there is no whole checkpoint at that path.
    """
    try:
        meta, files = read_json(path / META), read_json(path / MANIFEST)["files"]
        size = sum(_count(entry, "bytes") for entry in files.values())
        moment = finite(meta["time"])
        if moment is None:
            raise ValueError("its time is no number")  # noqa: TRY301
        metrics = {
            key: number for key, value in meta.get("metrics", {}).items() if (number := finite(value)) is not None
        }
        return CheckpointInfo(path, _count(meta, "step"), moment, size, metrics, (path / PINNED).exists())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"The checkpoint {path} is missing or not whole ({error}).", hint="Choose another one."
        ) from error


def _count(mapping: dict[str, Any], key: str) -> int:
    value = mapping[key]
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"its {key} is not a number that counts something")
    return value


def list_checkpoints(folder: Path, *, monitor: str = "val/loss", mode: str = "min") -> list[CheckpointInfo]:
    """Return the whole checkpoints of a run, oldest first, with the best one marked."""
    found = []
    for path in _folders(folder):
        try:
            found.append(read_checkpoint(path))
        except CheckpointError:
            continue  # a folder without its manifest is not a checkpoint: it is never offered
    found.sort(key=lambda info: info.step)
    ranked = _ranked(found, monitor, mode)
    return [replace(info, best=True) if ranked and info.path == ranked[0].path else info for info in found]


def verify(path: Path) -> CheckpointInfo:
    """Compare every file of a checkpoint with its manifest, and return what the checkpoint says of itself.

    Raises
    ------
    CheckpointError
        Naming the first file that is missing or differs.
    """
    info = read_checkpoint(path)
    try:
        manifest = read_json(path / MANIFEST)
        hashes = {_plain(name): (entry["bytes"], entry["sha256"]) for name, entry in manifest["files"].items()}
        if META not in hashes or checkpoint_name(manifest["step"]) != checkpoint_name(info.step):
            raise ValueError("it belongs to another checkpoint")  # noqa: TRY301
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path / MANIFEST} is damaged ({error}).", hint="Use an earlier checkpoint.") from error
    for name, (size, sha256) in hashes.items():
        file = path / name
        try:
            found = file.stat()
            # Nothing is opened that has another size, or is a pipe or a device, which may have no end.
            if stat.S_ISREG(found.st_mode) and found.st_size == size and _sha256(file) == sha256:
                continue
        except OSError as error:
            raise CheckpointError(
                f"{file} can't be read: {error.strerror}.", hint="Use an earlier checkpoint."
            ) from error
        raise CheckpointError(f"{file} is damaged: it differs from its manifest.", hint="Use an earlier checkpoint.")
    return info


def _plain(name: str) -> str:
    if name in ("", ".", "..") or any(sign in name for sign in "/\\:\0"):
        raise ValueError(f"{name!r} is not the name of a file in this folder")
    return name


def newest_verified(folder: Path) -> tuple[CheckpointInfo | None, dict[Path, str]]:
    """Return the newest checkpoint whose hashes hold, and a sentence for each newer one that was passed over."""
    passed_over: dict[Path, str] = {}
    for path in sorted(_folders(folder), key=_named_step, reverse=True):
        try:
            return verify(path), passed_over
        except CheckpointError as error:
            passed_over[path] = error.message
    return None, passed_over


def set_damaged_aside(path: Path) -> Path:
    """Rename a checkpoint that can't be used, so that no rule counts it and no list shows it; return its new path."""
    return set_aside(path, f"damaged-{path.name}")


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.glob("step-*") if path.is_dir()] if folder.is_dir() else []


def _named_step(path: Path) -> int:
    digits = path.name.removeprefix("step-")
    return int(digits) if digits.isdecimal() and len(digits) < 20 else -1


def retain(folder: Path, *, written: Path, keep_last: int, keep_best: int, monitor: str, mode: str) -> list[Path]:
    """Delete the checkpoints that no rule keeps: the newest, the best and the pinned ones stay.

    Parameters
    ----------
    written
        The checkpoint that has just been written and verified; it stays, also where others have later steps.

    Returns
    -------
    list of Path
        What was deleted.
    """
    found = list_checkpoints(folder)
    keep = {written} | {info.path for info in found[max(0, len(found) - keep_last) :]}
    keep |= {info.path for info in _ranked(found, monitor, mode)[:keep_best]}
    keep |= {info.path for info in found if info.pinned}
    return [info.path for info in found if info.path not in keep and _delete(info.path)]


def _delete(path: Path) -> bool:
    """Delete a checkpoint, its manifest first: killed half-way, what is left is no checkpoint any more."""
    try:
        (path / MANIFEST).unlink(missing_ok=True)
    except OSError:
        return False  # somebody reads it at this moment (Windows); the next retention takes it
    shutil.rmtree(path, ignore_errors=True)
    return True


def remove_leftovers(folder: Path) -> None:
    """Delete what a killed writer left half-built or half-deleted; call only while holding the run's lock.

    A whole checkpoint that only lacks its name, for its writer was killed before the last rename, gets it.
    """
    # The number of a process sorts before "old": a new checkpoint is preferred to the one that it replaces.
    for path in sorted(folder.glob(".step-*.tmp")) if folder.is_dir() else []:
        final = folder / path.name.removeprefix(".").partition(".")[0]
        if not final.exists():
            with contextlib.suppress(CheckpointError):
                verify(path)
                path.rename(final)
                continue
        shutil.rmtree(path, ignore_errors=True)
    for path in _folders(folder):
        if not (path / MANIFEST).exists():
            shutil.rmtree(path, ignore_errors=True)


def pin(path: Path, pinned: bool = True) -> None:
    """Keep a checkpoint for ever, or let the rules decide again."""
    read_checkpoint(path)
    try:
        if pinned:
            (path / PINNED).touch()
        else:
            (path / PINNED).unlink(missing_ok=True)
    except OSError as error:
        raise explain_os_error(error, path) from error


def _ranked(found: list[CheckpointInfo], monitor: str, mode: str) -> list[CheckpointInfo]:
    sign = 1.0 if mode == "min" else -1.0
    return sorted((info for info in found if monitor in info.metrics), key=lambda info: sign * info.metrics[monitor])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        if hasattr(hashlib, "file_digest"):
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256()  # Python 3.10
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
