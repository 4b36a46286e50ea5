"""What a model is made of: the text of its two files, and where they came from. None of their code runs here."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tb_widgets.errors import ModelError
from tb_widgets.models import syntax

CODE, CONFIG, ORIGIN = "model.py", "config.json", "origin.json"


@dataclass(frozen=True)
class ModelSource:
    """A model that was asked for, found, and not executed yet.

    Attributes
    ----------
    origin
        ``source`` as the user typed it; its ``kind``: zoo, path, upload, gist or hub; and the ``sha256`` of each
        file. A zoo model has its ``preset``; a path without a config.json, for which ``{}`` is taken, has
        ``without_config``; what was fetched has its ``id``, its full ``revision``, ``owner``,
        ``description``, ``updated`` (ISO time), ``url``, ``listed`` (name and bytes of every file there) and
        ``fetched``, the sha256 of the files as they came, before overrides or repairs.
    files
        Exactly ``model.py`` and ``config.json``: their text, as a run freezes it.
    """

    origin: dict[str, Any]
    files: dict[str, str]

    @property
    def config(self) -> dict[str, Any]:
        """The content of config.json.

        Raises
        ------
        ModelError
            If it is not a JSON object.
        """
        return parse_config(self.files[CONFIG], CONFIG)


def read_source(folder: Path) -> ModelSource:
    """Read a model back from a run's own model folder.

    Raises
    ------
    ModelError
        If a file is missing or unreadable, or differs from the checksum that was frozen with it.
    """
    files = {name: read_source_file(folder / name) for name in (CODE, CONFIG)}
    origin = parse_config(read_source_file(folder / ORIGIN), str(folder / ORIGIN))
    frozen_with = origin.get("sha256")
    for name, found in checksums(files).items():
        if not isinstance(frozen_with, dict) or frozen_with.get(name) != found:
            raise ModelError(
                f"{folder / name} is not the file this run started with: its checksum differs.",
                hint="Restore the original, or start a new run with the changed model.",
            )
    return ModelSource(origin=origin, files=files)


def write_source(source: ModelSource, folder: Path) -> None:
    """Freeze a model's files and their origin into ``folder``, which is created.

    Raises
    ------
    ModelError
        If the folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in source.files.items():
            # newline="" keeps the bytes that were hashed, on Windows too.
            with (folder / name).open("w", encoding="utf-8", newline="") as file:
                file.write(text)
        (folder / ORIGIN).write_text(json.dumps(source.origin, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        free = shutil.disk_usage(folder).free if folder.exists() else None
        hint = (
            "The disk is full: free some space."
            if free is not None and free < 1_000_000
            else "Choose another runs folder."
        )
        raise ModelError(f"The model can't be written to {folder}: {error.strerror}.", hint=hint) from error


def frozen(origin: dict[str, Any], files: dict[str, str]) -> ModelSource:
    """Return a source whose origin holds the checksums of these very files."""
    return ModelSource({**origin, "sha256": checksums(files)}, files)


def checksums(files: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of each file's text in UTF-8, hexadecimal, by name."""
    return {name: hashlib.sha256(text.encode("utf-8")).hexdigest() for name, text in files.items()}


def read_source_file(path: Path) -> str:
    """Return the text of one of a model's files.

    Raises
    ------
    ModelError
        If it is missing, unreadable, not UTF-8, or empty.
    """
    if not path.exists():
        raise ModelError(f"There is no {path}.", hint="The run folder is incomplete; copy it again from its origin.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}.", hint="Check its permissions.") from error
    except UnicodeDecodeError as error:
        raise ModelError(
            f"{path} is not UTF-8 text (byte {error.start}).", hint="Save it again with the encoding UTF-8."
        ) from error
    if not text.strip():
        raise ModelError(f"{path} is empty.", hint="Export the model again, or copy the whole file.")
    return text


def parse_config(text: str, name: str) -> dict[str, Any]:
    """Return the content of a config.json; ``name`` is what errors call the file.

    Raises
    ------
    ModelError
        If it is not a JSON object.
    """
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise ModelError(
            f"{name} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}.",
            hint="Fix it, or export the model again.",
        ) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or brackets without end
        raise ModelError(f"{name} can't be read as JSON: {error}.", hint="Export the model again.") from error
    if not isinstance(config, dict):
        raise ModelError(f"{name} must contain a JSON object {{...}}, not {type(config).__name__}.")
    return config


def code_tree(source: ModelSource) -> ast.Module:
    """Return the syntax tree of the model's code.

    Raises
    ------
    ModelError
        If it is not Python.
    """
    return syntax.parse(source.files[CODE], CODE)
