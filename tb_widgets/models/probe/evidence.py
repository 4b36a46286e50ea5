"""What a model's files say about its task. Importing this file imports no torch."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from tb_widgets.models.source import CODE, CONFIG, ModelSource, code_tree
from tb_widgets.spec import Task

if TYPE_CHECKING:
    from torch import nn

_TASKS: tuple[Task, ...] = get_args(Task)

_ARCHITECTURES: tuple[tuple[str, Task], ...] = (
    ("ForCausalLM", "causal-lm"),
    ("LMHeadModel", "causal-lm"),
    ("ForMaskedLM", "masked-lm"),
    ("ForPreTraining", "masked-lm"),
    ("ForSequenceClassification", "sequence-classification"),
    ("ForConditionalGeneration", "seq2seq"),
    ("ForSeq2SeqLM", "seq2seq"),
    ("ForImageClassification", "vision-classification"),
)
_MASKED = re.compile(
    r"bert|electra|(?<![a-z])mlm|mask(ed)?[ _-]?(language|lm(?![a-z])|token|word)|bidirectional|encoder[ _-]?only"
    r"|(?<!auto)(?<!auto[ _-])encoder(?![ _-]?(decoder|and))"
)
_CAUSAL = re.compile(
    r"gpt|(?<![a-z])causal|decoder|auto[ _-]?regressive|llama|mistral|mamba|rwkv|next[ _-](token|word|char)"
    r"|left[ _-]to[ _-]right|text generation|generates? text"
)
_EXPORT = re.compile(r"^(mhsa|embedding|ffn|layernorm|output|residual)_\d+")


@dataclass(frozen=True)
class Claim:
    """A task, and where it says so."""

    task: Task
    why: str
    override: bool = False


def claimed_task(wanted: str, source: ModelSource) -> Claim | None:
    """Return the task that the spec or config.json names outright, if one does."""
    if wanted in _TASKS:
        return Claim(wanted, "Set by model.task.", override=True)
    config = source.config if CONFIG in source.files else {}
    if (named := config.get("task")) in _TASKS:
        return Claim(named, f"config.json says task: {named}.")
    architectures = config.get("architectures")
    for name in architectures if isinstance(architectures, list) else []:
        for ending, task in _ARCHITECTURES:
            if isinstance(name, str) and name.endswith(ending):
                return Claim(task, f"config.json says architectures: {name}.")
    return None


@dataclass(frozen=True)
class Words:
    """What the names and docstrings of a model speak of.

    Attributes
    ----------
    kind
        ``masked``, ``causal``, or empty where they say nothing, or both.
    why
        The word that was found, and where.
    export
        The model is an export of the documented form.
    """

    kind: str
    why: str
    export: bool


def words_about(module: nn.Module, source: ModelSource) -> Words:
    """Search a model's names, docstrings and config.json for words that tell a masked from a causal language model.

    The first text that points one way decides: the name of the class counts for more than a docstring.
    """
    parts = [name for name, _ in module.named_modules()]
    export = any(_EXPORT.match(name) for name in parts)
    for where, text in _texts(module, source):
        masked, causal = _MASKED.search(_spaced(text)), _CAUSAL.search(_spaced(text))
        if masked and not causal:
            return Words("masked", f"{where} says {masked.group(0)!r}", export)
        if causal and not masked:
            return Words("causal", f"{where} says {causal.group(0)!r}", export)
    if found := next((name for name in parts if re.search(r"mlm|bert|masked_lm|(^|\.)nsp", name.lower())), ""):
        return Words("masked", f"a part is called {found}", export)
    if callable(getattr(module, "generate", None)):
        return Words("causal", "it has a method generate", export)
    return Words("", "", export)


def _spaced(text: str) -> str:
    """Split ``MyEncoderLM`` into words, in lowercase."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).lower()


def _texts(module: nn.Module, source: ModelSource) -> list[tuple[str, str]]:
    kind = type(module)
    texts = [("the class", kind.__name__)]
    config: dict[str, Any] = source.config if CONFIG in source.files else {}
    for name in ("model_type", "model_name", "name", "description"):
        if isinstance(config.get(name), str):
            texts.append((f"{name} in config.json", config[name]))
    # A class without a docstring would inherit that of nn.Module.
    texts += [("the docstring", inspect.cleandoc(kind.__doc__))] if kind.__doc__ and "__doc__" in vars(kind) else []
    if CODE in source.files and (docstring := ast.get_docstring(code_tree(source))):
        texts.append(("model.py's docstring", docstring))
    return texts
