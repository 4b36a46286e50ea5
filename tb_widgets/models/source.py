"""What a model is made of: the text of its two files, and where they came from. None of their code runs here.

Importing this file imports no torch and no network client: a form resolves models in a kernel that stays light.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from tb_widgets.errors import ModelError
from tb_widgets.models import syntax as written
from tb_widgets.models.sources.address import is_gist, parse_gist
from tb_widgets.models.zoo import sizes
from tb_widgets.spec import ModelSpec

CODE, CONFIG, ORIGIN = "model.py", "config.json", "origin.json"
_ZOO = "tb_widgets.models.zoo"


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
        return _parse_config(self.files[CONFIG], CONFIG)


def resolve(
    spec: ModelSpec,
    *,
    vocab_size: int | None,
    context_length: int,
    classes: int | None = None,
    online: bool = True,
) -> ModelSource:
    """Find the model that a spec names, and read its files.

    Parameters
    ----------
    spec
        Its ``source`` is ``zoo:gpt``, the path of a model.py or of the folder that holds it, any address of a Gist,
        ``hub:OWNER/NAME[@REVISION]``, or ``upload:ID`` for files that were dropped on the page.
    vocab_size, context_length
        Sizes in tokens that the text asks for. A zoo model takes them; a model of the user's own has its own.
    classes
        How many classes the data have, as far as that is known; likewise.
    online
        Whether a model that is not on this machine may be fetched.

    Raises
    ------
    ModelError
        If the path or its model.py is missing, or one of the two files is unreadable, not JSON or not Python, or an
        override in ``model.config`` has a name that the model does not know; if a Gist or Hub repository can't be
        fetched; if a repair in ``model.repairs`` does not apply.
    """
    kind, _, name = spec.source.partition(":")
    if kind == "zoo":
        source = _from_zoo(name, spec, vocab_size=vocab_size, context_length=context_length, classes=classes)
    elif is_fetched(spec.source):
        source = _checked(fetch(spec.source, online=online), spec)
    else:
        try:
            source = _from_path(spec)
        except OSError as error:
            raise ModelError(
                f"model.source: {spec.source} can't be read: {error.strerror}.", hint="Check its permissions."
            ) from error
    from tb_widgets.models.repairs.repairs import apply_repairs  # which needs this file first

    return apply_repairs(source, spec.repairs)


def is_fetched(source: str) -> bool:
    """Tell whether a model source names files that came from elsewhere: a Gist, a Hub repository or an upload."""
    return source.startswith(("hub:", "upload:")) or is_gist(source)


def fetch(source: str, *, online: bool = True) -> ModelSource:
    """Return the files that an address names, as they are there: unchanged, not even parsed, and kept on this machine.

    Parameters
    ----------
    source
        Any address of a Gist, ``hub:OWNER/NAME[@REVISION]``, or ``upload:ID``.
    online
        Whether the network may be asked. Without it only a revision that was fetched before is found.

    Raises
    ------
    ModelError
        If the address is wrong, or the files can't be had or are not text.
    """
    # Here, since they build on this file.
    from tb_widgets.models.sources import gist, hub, upload

    if source.startswith("upload:"):
        return upload.find(source)
    fetched: ModelSource = (hub if source.startswith("hub:") else gist).fetch(source, online=online)
    return fetched


def pinned(source: ModelSource) -> str:
    """Return the model source that names exactly these files: ``gist:ID@SHA``, ``hub:OWNER/NAME@SHA``.

    What is not fetched keeps the name that the user gave it.
    """
    origin = source.origin
    if origin.get("kind") in ("gist", "hub"):
        return f"{origin['kind']}:{origin['id']}@{origin['revision']}"
    return str(origin["source"])


def read_source(folder: Path) -> ModelSource:
    """Read a model back from a run's own model folder.

    Raises
    ------
    ModelError
        If a file is missing or unreadable, or differs from the checksum that was frozen with it.
    """
    files = {name: _read(folder / name) for name in (CODE, CONFIG)}
    origin = _parse_config(_read(folder / ORIGIN), str(folder / ORIGIN))
    frozen_with = origin.get("sha256")
    for name, found in checksums(files).items():
        if not isinstance(frozen_with, dict) or frozen_with.get(name) != found:
            raise ModelError(
                f"{folder / name} is not the file that this run started with: its checksum differs.",
                hint="Put the original back, or start a new run with the changed model.",
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
            "The disk is full: make room." if free is not None and free < 1_000_000 else "Choose another runs folder."
        )
        raise ModelError(f"The model can't be written to {folder}: {error.strerror}.", hint=hint) from error


def _from_zoo(
    name: str, spec: ModelSpec, *, vocab_size: int | None, context_length: int, classes: int | None
) -> ModelSource:
    if name not in sizes.TITLES:
        raise ModelError(
            f"model.source: there is no zoo model {name!r}.",
            hint=f"There is {', '.join('zoo:' + known for known in sizes.TITLES)}.",
        )
    config = sizes.zoo_config(
        name, spec.preset, spec.config, vocab_size=vocab_size, context_length=context_length, classes=classes
    )
    files = {CODE: zoo_code(name), CONFIG: json.dumps(config, indent=2) + "\n"}
    return frozen({"source": spec.source, "kind": "zoo", "preset": spec.preset}, files)


def zoo_code(name: str) -> str:
    """Return the installed source of a zoo model, for example ``gpt``."""
    return resources.files(_ZOO).joinpath(f"{sizes.FILES[name]}.py").read_text(encoding="utf-8")


def _from_path(spec: ModelSpec) -> ModelSource:
    path = Path(spec.source).expanduser()
    if not path.exists():
        if "://" in spec.source or re.fullmatch("[0-9A-Fa-f]{16,}(@.*)?", spec.source.strip()):
            parse_gist(spec.source)  # says what is wrong with the address
        raise ModelError(
            f"model.source: there is no file or folder {spec.source!r} (looked in {Path.cwd()}).",
            hint="Give the path of a model.py or of the folder that holds it, the address of a Gist, or zoo:gpt.",
        )
    code_path = path / CODE if path.is_dir() else path
    if not code_path.exists():
        present = sorted(entry.name for entry in path.iterdir())[:8]
        raise ModelError(
            f"The folder {path} has no {CODE}.",
            hint=f"It holds {', '.join(present)}; names are case-sensitive." if present else "It is empty.",
        )
    config_path = code_path.parent / CONFIG
    origin: dict[str, Any] = {"source": spec.source, "kind": "path", "path": str(code_path.resolve())}
    config = "{}\n"
    if config_path.exists():
        config = _read(config_path)
    elif other := [entry.name for entry in code_path.parent.iterdir() if entry.name.lower() == CONFIG]:
        raise ModelError(
            f"There is no {CONFIG} beside {code_path}, but {other[0]}.", hint=f"Name it {CONFIG}, in small letters."
        )
    else:  # single files have none; exports, which must have one, come as a Gist or a zip
        origin["without_config"] = True
    return _checked(frozen(origin, {CODE: _read(code_path), CONFIG: config}), spec)


def _checked(source: ModelSource, spec: ModelSpec) -> ModelSource:
    """Return the source with the spec's overrides in its config, if both files can be read."""
    # A path is shown whole; what was fetched is named by the address that the user knows.
    path = source.origin.get("path")
    code_name, config_name = (path, str(Path(path).parent / CONFIG)) if path else (CODE, CONFIG)
    tree = written.parse(source.files[CODE], code_name)
    config = _parse_config(source.files[CONFIG], config_name)
    if not spec.config:
        return source
    known = set(config) | written.parameter_names(tree)
    for name in spec.config:
        if name not in known:
            raise ModelError(
                f"model.config.{name}: neither {config_name} nor the model's constructor knows this name.",
                hint=f"They know {', '.join(sorted(known))}." if known else "Its sizes are written in the code.",
            )
    config_text = json.dumps({**config, **spec.config}, indent=2) + "\n"
    return frozen({**source.origin, "overrides": spec.config}, {**source.files, CONFIG: config_text})


def frozen(origin: dict[str, Any], files: dict[str, str]) -> ModelSource:
    """Return a source whose origin holds the checksums of these very files."""
    return ModelSource({**origin, "sha256": checksums(files)}, files)


def checksums(files: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of each file's text in UTF-8, hexadecimal, by name."""
    return {name: hashlib.sha256(text.encode("utf-8")).hexdigest() for name, text in files.items()}


def _read(path: Path) -> str:
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


def _parse_config(text: str, name: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise ModelError(
            f"{name} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}.",
            hint="Mend that place, or export the model again.",
        ) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or brackets without end
        raise ModelError(f"{name} can't be read as JSON: {error}.", hint="Export the model again.") from error
    if not isinstance(config, dict):
        raise ModelError(f"{name} must hold a JSON object {{...}}, not {type(config).__name__}.")
    return config


def code_tree(source: ModelSource) -> ast.Module:
    """Return the syntax tree of the model's code.

    Raises
    ------
    ModelError
        If it is not Python.
    """
    return written.parse(source.files[CODE], CODE)
