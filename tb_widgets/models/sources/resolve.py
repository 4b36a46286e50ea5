"""Find the model that a spec names: in the zoo, on this machine, in a Gist, on the Hub, or among the uploads.

Importing this file imports no torch and no network client: a form resolves models in a kernel that stays light.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

from tb_widgets.errors import ModelError
from tb_widgets.models import syntax
from tb_widgets.models.repairs.repairs import apply_repairs
from tb_widgets.models.source import CODE, CONFIG, ModelSource, frozen, parse_config, read_source_file
from tb_widgets.models.sources import gist, hub, upload
from tb_widgets.models.sources.address import is_gist, parse_gist
from tb_widgets.models.zoo import sizes
from tb_widgets.spec import ModelSpec

_ZOO = "tb_widgets.models.zoo"


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
        return apply_repairs(source, spec.repairs)
    if is_fetched(spec.source):
        return decided(fetch(spec.source, online=online), spec)
    try:
        source = _from_path(spec.source)
    except OSError as error:
        raise ModelError(
            f"model.source: {spec.source} can't be read: {error.strerror}.", hint="Check its permissions."
        ) from error
    return decided(source, spec)


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
    if source.startswith("upload:"):
        return upload.find_upload(source)
    if source.startswith("hub:"):
        return hub.fetch_repository(source, online=online)
    return gist.fetch_gist(source, online=online)


def pinned(source: ModelSource) -> str:
    """Return the model source that names exactly these files: ``gist:ID@SHA``, ``hub:OWNER/NAME@SHA``.

    What is not fetched keeps the name that the user gave it.
    """
    origin = source.origin
    if origin.get("kind") in ("gist", "hub"):
        return f"{origin['kind']}:{origin['id']}@{origin['revision']}"
    return str(origin["source"])


def _from_zoo(
    name: str, spec: ModelSpec, *, vocab_size: int | None, context_length: int, classes: int | None
) -> ModelSource:
    if name not in sizes.ZOO_TITLES:
        raise ModelError(
            f"model.source: there is no zoo model {name!r}.",
            hint=f"Choose from: {', '.join('zoo:' + known for known in sizes.ZOO_TITLES)}.",
        )
    config = sizes.zoo_config(
        name, spec.preset, spec.config, vocab_size=vocab_size, context_length=context_length, classes=classes
    )
    files = {CODE: zoo_code(name), CONFIG: json.dumps(config, indent=2) + "\n"}
    return frozen({"source": spec.source, "kind": "zoo", "preset": spec.preset}, files)


def zoo_code(name: str) -> str:
    """Return the installed source of a zoo model, for example ``gpt``."""
    return resources.files(_ZOO).joinpath(f"{sizes.FILES[name]}.py").read_text(encoding="utf-8")


def _from_path(name: str) -> ModelSource:
    path = Path(name).expanduser()
    if not path.exists():
        if "://" in name or re.fullmatch("[0-9A-Fa-f]{16,}(@.*)?", name.strip()):
            parse_gist(name)  # says what is wrong with the address
        raise ModelError(
            f"model.source: there is no file or folder {name!r} (looked in {Path.cwd()}).",
            hint="Give the path of a model.py or its folder, the address of a Gist, or zoo:gpt.",
        )
    code_path = path / CODE if path.is_dir() else path
    if not code_path.exists():
        present = sorted(entry.name for entry in path.iterdir())[:8]
        raise ModelError(
            f"The folder {path} has no {CODE}.",
            hint=f"It contains {', '.join(present)}; names are case-sensitive." if present else "It is empty.",
        )
    config_path = code_path.parent / CONFIG
    origin: dict[str, Any] = {"source": name, "kind": "path", "path": str(code_path.resolve())}
    config = "{}\n"
    if config_path.exists():
        config = read_source_file(config_path)
    elif other := [entry.name for entry in code_path.parent.iterdir() if entry.name.lower() == CONFIG]:
        raise ModelError(
            f"There is no {CONFIG} beside {code_path}, but {other[0]}.", hint=f"Name it {CONFIG}, in lowercase."
        )
    else:  # single files have none; exports, which must have one, come as a Gist or a zip
        origin["without_config"] = True
    return frozen(origin, {CODE: read_source_file(code_path), CONFIG: config})


def decided(source: ModelSource, spec: ModelSpec) -> ModelSource:
    """Return a model that is not ours with the spec's overrides in its config, and its repairs in its code.

    Raises
    ------
    ModelError
        If one of the two files is not JSON or not Python, an override has a name that the model does not know, or a
        repair does not apply.
    """
    return apply_repairs(_overridden(source, spec), spec.repairs)


def _overridden(source: ModelSource, spec: ModelSpec) -> ModelSource:
    # A path is shown whole; what was fetched is named by the address that the user knows.
    path = source.origin.get("path")
    code_name, config_name = (path, str(Path(path).parent / CONFIG)) if path else (CODE, CONFIG)
    tree = syntax.parse(source.files[CODE], code_name)
    config = parse_config(source.files[CONFIG], config_name)
    if not spec.config:
        return source
    known = set(config) | syntax.parameter_names(tree)
    for name in spec.config:
        if name not in known:
            raise ModelError(
                f"model.config.{name}: neither {config_name} nor the model's constructor has this name.",
                hint=f"They have {', '.join(sorted(known))}." if known else "Its sizes are hard-coded.",
            )
    config_text = json.dumps({**config, **spec.config}, indent=2) + "\n"
    return frozen({**source.origin, "overrides": spec.config}, {**source.files, CONFIG: config_text})
