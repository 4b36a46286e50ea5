"""What a form shows about a model before anything is loaded: no torch, and no code of the user's is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tb_widgets.errors import quoted
from tb_widgets.models import syntax
from tb_widgets.models.source import ModelSource, code_tree
from tb_widgets.models.zoo import sizes

LONGEST_NAME = 80  # characters
_GENERATED = re.compile(r"Generated model:[ \t]*(\S.*)")
_EXPORTED = re.compile(r"(.*\S)\s+-\s+Transformer Builder Export")


@dataclass(frozen=True)
class ModelSummary:
    """A model in a few words. A field is ``None`` where only building the model would tell.

    Attributes
    ----------
    title
        Name to show.
    parameters
        Number of weights, tied ones counted once.
    vocab_size, context_limit
        Largest vocabulary and longest context, in tokens. ``unlimited_context`` tells a missing limit from an
        unknown one.
    sizes
        Of one of our models: ``n_layer``, ``n_head``, ``n_embd``, how many ``stacks`` of layers there are, its
        ``vocab_size``, and how many ``tokens`` an image becomes. Empty for any other.
    """

    title: str
    parameters: int | None
    vocab_size: int | None
    context_limit: int | None
    unlimited_context: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict)


def describe(source: ModelSource) -> ModelSummary:
    """Summarise a model from its files.

    Raises
    ------
    ModelError
        If one of the files can't be read.
    """
    if source.origin.get("kind") == "zoo":
        return _describe_zoo(source)
    return ModelSummary(_title(source), parameters=None, vocab_size=None, context_limit=None)


def _describe_zoo(source: ModelSource) -> ModelSummary:
    name, config = source.origin["source"].partition(":")[2], source.config
    # Only learned positions end somewhere; images have no context at all.
    is_learned = sizes.FILES[name] == "bert" or config.get("positions") == "learned"
    limit = config["context_length"] if is_learned else None
    return ModelSummary(
        title=f"{sizes.ZOO_TITLES[name]} {source.origin['preset']}",
        parameters=sizes.count_parameters(name, config),
        vocab_size=config.get("vocab_size"),
        context_limit=limit,
        unlimited_context=limit is None and "vocab_size" in config,
        sizes=_sizes(name, config),
    )


def _sizes(name: str, config: Mapping[str, Any]) -> dict[str, int]:
    found = {key: config[key] for key in ("n_layer", "n_head", "n_embd", "vocab_size") if config.get(key)}
    if sizes.FILES[name] == "t5":
        found["stacks"] = 2
    if "patch_size" in config:
        found["tokens"] = (config["image_size"] // config["patch_size"]) ** 2
    return found


def given_name(source: ModelSource) -> str:
    """Return what its author calls a model: in config.json, in the docstring of model.py, or in a Gist's description.

    Empty where none of them says it.

    Raises
    ------
    ModelError
        If one of the files can't be read.
    """
    name = source.config.get("model_name")
    if not isinstance(name, str) or not name.strip():
        said = _GENERATED.search(ast.get_docstring(code_tree(source)) or "")
        said = said or _EXPORTED.fullmatch(str(source.origin.get("description") or "").strip())
        name = said.group(1) if said else ""
    return quoted(name, LONGEST_NAME)  # it goes into lists, file names and terminals


def _title(source: ModelSource) -> str:
    name = given_name(source)
    if name:
        return name
    tree = code_tree(source)
    chosen = syntax.choose_class(list(syntax.module_classes(tree)), tree)
    return chosen[0] if len(chosen) == 1 else "Model of your own"
