"""What a model.py says about itself, read from its syntax tree without running it."""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tb_widgets.errors import ModelError, quoted

# The names that exported models carry, and the factory that settles every doubt.
DOCUMENTED_CLASSES = ("CustomTransformer", "Model")
FACTORY = "build_model"

# Bases of classes that hold values and are no models.
_PLAIN_BASES = frozenset({"NamedTuple", "TypedDict", "Enum", "IntEnum", "StrEnum", "Protocol", "BaseModel"})
_PLAIN_BASES |= {"PretrainedConfig", "Exception", "object"}
_CONFIG_CLASS = re.compile(r"(config|configuration|args|arguments|params|hparams|hyperparameters|settings)$", re.I)

# Names for the same size, as exports, config files and hand-written models spell it.
SPELLINGS = tuple(
    tuple(names.split())
    for names in (
        "vocab_size n_vocab num_embeddings vocabulary_size src_vocab_size src_vocab tgt_vocab_size tgt_vocab "
        "trg_vocab_size ntoken ntokens num_tokens n_tokens",
        "d_model n_embd hidden_size embed_dim dim n_embed emb_size emb_dim embedding_dim embed_size model_dim hidden",
        "nhead n_head n_heads num_heads num_attention_heads heads attn_heads",
        "num_layers n_layer n_layers num_hidden_layers depth num_blocks n_blocks N",
        "max_seq_len seq_length context_length block_size max_position_embeddings max_len n_positions max_length "
        "max_seq_length n_ctx ctx_len seq_len sequence_length context_size context_window",
        "d_ff dim_feedforward intermediate_size ffn_dim mlp_dim ff_dim",
        "num_labels num_classes n_classes n_labels",
        "image_size img_size",
        "num_channels in_channels in_chans n_channels channels",
    )
)


def parse(code: str, name: str) -> ast.Module:
    """Parse a model's code.

    Raises
    ------
    ModelError
        If it is not Python; the message shows the line.
    """
    with _readable(name):
        return ast.parse(code)


def place(tree: ast.Module, line: int) -> str:
    """Return the function or class in which a line stands, as ``Net.__init__``; empty at the top of the file."""
    names = [
        node.name
        for node in ast.walk(tree)  # outer ones come first
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return ".".join(names)


def scopes(code: str, name: str) -> symtable.SymbolTable:
    """Return which names belong to which scope of a model's code.

    Raises
    ------
    ModelError
        If it is not Python; the message shows the line.
    """
    with _readable(name):
        return symtable.symtable(code, name, "exec")


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except SyntaxError as error:
        line = quoted(error.text or "")
        shown = f", in “{line.strip()}”" if line.strip() else ""
        where = f"line {error.lineno}: " if error.lineno else ""
        raise ModelError(
            f"{name} is not valid Python: {where}{error.msg}{shown}.",
            hint="Fix that line, or export the model again.",
        ) from error
    except ValueError as error:  # null bytes before Python 3.12, and halves of surrogate pairs
        raise ModelError(f"{name} is not Python text: {error}.", hint="Export the model again.") from error
    except (RecursionError, MemoryError) as error:
        raise ModelError(f"{name} is nested too deeply to be read.", hint="Export the model again.") from error


def dotted(node: ast.expr) -> str:
    """Return ``a.b.c`` for such an expression, and an empty text for any other."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _last(node: ast.expr) -> str:
    return dotted(node).rpartition(".")[2]


def root(node: ast.expr) -> str:
    """Return the name that ``a.b[0](c).d`` begins with, and an empty text where there is none."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def module_classes(tree: ast.Module) -> dict[str, ast.ClassDef]:
    """Return the classes at module level that look like models: they have a base class, as an nn.Module must."""
    return {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.bases and not _PLAIN_BASES & {_last(base) for base in node.bases}
    }


def outermost(names: list[str], tree: ast.Module) -> list[str]:
    """Return those of the classes ``names`` that no other class mentions, neither as a part nor as a base."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    mentioned = {
        inner.id
        for name, node in classes.items()
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name) and inner.id != name
    }
    return [name for name in names if name not in mentioned]


def choose_class(names: list[str], tree: ast.Module) -> list[str]:
    """Narrow the classes of a model.py to the model itself: one name, or several when the file leaves it open.

    The documented names come first, then the class that no other one contains.
    """
    documented = [name for name in names if name in DOCUMENTED_CLASSES]
    candidates = documented or names
    return candidates if len(candidates) == 1 else outermost(candidates, tree) or candidates


def parameter_names(tree: ast.Module) -> set[str]:
    """Return the names that config.json can set: the arguments of what builds the model, and its config's fields."""
    builder = _builder(tree)
    names = _argument_names(builder) if builder is not None else set()
    return names.union(*(_field_names(node) for node in tree.body if isinstance(node, ast.ClassDef)))


def _argument_names(function: ast.FunctionDef) -> set[str]:
    arguments = function.args
    return {argument.arg for argument in arguments.posonlyargs + arguments.args + arguments.kwonlyargs} - {"self"}


def _field_names(node: ast.ClassDef) -> set[str]:
    """Return the fields of a config class, which holds sizes and computes nothing: a dataclass, or ``...Config``."""
    names: set[str] = set()
    for part in node.body if _is_config(node) else []:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            names.add(part.target.id)
        elif isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name):
            names.add(part.targets[0].id)
        elif isinstance(part, ast.FunctionDef) and part.name == "__init__":
            names |= _argument_names(part)
    return names


def _is_config(node: ast.ClassDef) -> bool:
    if any(isinstance(part, ast.FunctionDef) and part.name == "forward" for part in node.body):
        return False
    decorated = any(
        _last(part.func if isinstance(part, ast.Call) else part) == "dataclass" for part in node.decorator_list
    )
    return decorated or _CONFIG_CLASS.search(node.name) is not None


def _builder(tree: ast.Module) -> ast.FunctionDef | None:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == FACTORY:
            return node
    classes = module_classes(tree)
    chosen = choose_class(list(classes), tree)
    if len(chosen) != 1:
        return None
    for node in classes[chosen[0]].body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return node
    return None


def sizes_in(config: dict[str, Any]) -> dict[str, Any]:
    """Return the sizes in a config.json of either documented shape: flat, or a graph with parameters on its nodes."""
    found = dict(config)
    nodes = config.get("nodes")
    for node in nodes if isinstance(nodes, list) else []:
        parameters = node.get("params") if isinstance(node, dict) else None
        for name, value in (parameters or {}).items() if isinstance(parameters, dict) else ():
            found.setdefault(name, value)
    return found


def size(name: str, found: dict[str, Any]) -> Any:
    """Return the value of a size under its own name, or under another spelling of it; ``None`` if it is not there."""
    if name in found:
        return found[name]
    for spellings in SPELLINGS:
        if name in spellings:
            return next((found[other] for other in spellings if other in found), None)
    return None


def parts(node: ast.AST) -> dict[str, ast.Call]:
    """Return the calls that a class assigns to its attributes: ``self.norm = nn.LayerNorm(8)`` under ``norm``.

    What stands in an ``nn.ModuleDict`` is there under its key.
    """
    found = {}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assign | ast.AnnAssign) and inner.value is not None:
            for target in inner.targets if isinstance(inner, ast.Assign) else [inner.target]:
                for one, value in _one_by_one(target, inner.value):
                    if isinstance(one, ast.Attribute) and dotted(one.value) == "self" and isinstance(value, ast.Call):
                        found[one.attr] = value
        elif isinstance(inner, ast.Call) and kind(inner) == "ModuleDict" and inner.args:
            found.update(_entries(inner.args[0]))
    return found


def _one_by_one(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    """Take ``self.a, self.b = f(), g()`` apart."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        return list(zip(target.elts, value.elts, strict=True))
    return [(target, value)]


def _entries(node: ast.expr) -> Iterator[tuple[str, ast.Call]]:
    """Yield the calls in ``dict(a=f())`` and ``{"a": f()}``, by key."""
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg and isinstance(keyword.value, ast.Call):
                yield keyword.arg, keyword.value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(value, ast.Call):
                yield str(key.value), value


def kind(call: ast.Call) -> str:
    """Return the last name of what is called: ``LayerNorm`` for ``nn.LayerNorm(8)``."""
    return _last(call.func)


def argument(call: ast.Call, position: int, name: str) -> ast.expr | None:
    """Return an argument of a call that may be given by position or by name."""
    named = next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
    return call.args[position] if len(call.args) > position else named


def output_layers(node: ast.ClassDef, tree: ast.Module) -> list[str]:
    """Return the attributes of a class that hold a linear layer with one output per row of a token table of the file.

    Sizes are compared as they are written: ``vocab_size``, ``self.vocab_size`` and ``config["vocab_size"]`` are the
    same.
    """
    rows = {_size_name(argument(call, 0, "num_embeddings")) for call in token_tables(tree).values()} - {""}
    return [
        name
        for name, call in parts(node).items()
        for part in ([call] if kind(call) == "Linear" else ast.walk(call) if kind(call) == "Sequential" else [])
        if isinstance(part, ast.Call) and kind(part) == "Linear"
        if _size_name(argument(part, 1, "out_features")) in rows
    ]


def token_tables(node: ast.AST) -> dict[str, ast.Call]:
    """Return the embeddings of a class or file that are not tables of positions or segments."""
    return {
        name: call
        for name, call in parts(node).items()
        if kind(call) == "Embedding" and not _NOT_TOKENS.search(name.lower())
    }


_NOT_TOKENS = re.compile(r"pos|wpe|seg|token_type|_type")


def _size_name(node: ast.expr | None) -> str:
    if isinstance(node, ast.Subscript):
        node = node.slice
    if isinstance(node, ast.Constant):
        return str(node.value)
    return _last(node) if node is not None else ""
