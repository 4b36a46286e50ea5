"""Give a language model the causal mask that its attention was written without."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tb_widgets.models import source_text, syntax
from tb_widgets.models.repairs.edit import CodeDraft, LeftOpen, Mended, Refused, method, models, own_line, required

_TITLE = "Add a causal mask to the attention"
_WHY = (
    "Without a causal mask, attention sees later tokens, so the model copies the next token instead of predicting it: "
    "its loss drops to almost zero, and it can't generate text. Right for a model that generates text; wrong for one "
    "that fills in masked tokens or classifies texts."
)
_BATCH_FIRST = "batch_first=True"
_ALSO_TURNED = (
    f" It also attends across the batch instead of along the text, so texts see each other: {_BATCH_FIRST} fixes that."
)
_NOT_CONTINUING = re.compile(
    r"bert|electra|mlm|mask(ed)?[_ -]?(lm|language|token)|classif|encoder[_ -]only|denois", re.I
)
_OTHER_TEXT = re.compile(r"memory|context|encoder|enc_|cond|cross|tgt|cache|past|start_pos")
# What takes the mask: the name and the position of that argument.
_MASKED = {
    "MultiheadAttention": ("attn_mask", 5),
    "TransformerEncoder": ("mask", 1),
    "TransformerEncoderLayer": ("src_mask", 1),
}
_SDPA = "scaled_dot_product_attention"


def causal_mask(code: str) -> Mended | Refused | None:
    """Add a causal mask to every unmasked self-attention of a language model."""
    draft = CodeDraft(code)
    if not any(_continues_text(node, draft) for node in models(draft.tree)):
        return None
    found = False
    try:
        for node in ast.walk(draft.tree):
            if isinstance(node, ast.ClassDef):
                for function in node.body:
                    if isinstance(function, ast.FunctionDef) and function.name != "__init__":
                        found = _mask_function(draft, node, function) or found
    except LeftOpen as reason:
        return Refused(_TITLE, str(reason))
    if not found:
        return None
    mended = draft.result()
    turned = mended.count(_BATCH_FIRST) > code.count(_BATCH_FIRST)
    return Mended(_TITLE, _WHY + (_ALSO_TURNED if turned else ""), mended)


def _continues_text(node: ast.ClassDef, draft: CodeDraft) -> bool:
    """Tell whether a class reads one text, scores the vocabulary at each token, and is not plainly an encoder."""
    forward = method(node, "forward")
    if forward is None or len(required(forward)) > 1:
        return False
    documents = [node.name, ast.get_docstring(node) or "", ast.get_docstring(draft.tree) or ""]
    if any(_NOT_CONTINUING.search(text) for text in documents):
        return False
    arguments = forward.args.args + forward.args.kwonlyargs
    if any(_OTHER_TEXT.search(argument.arg) or argument.arg == "pixel_values" for argument in arguments):
        return False
    return _scores_vocabulary(draft.tree, node, forward) and not any(_is_pooling(part) for part in ast.walk(forward))


def _scores_vocabulary(tree: ast.Module, node: ast.ClassDef, forward: ast.FunctionDef) -> bool:
    if syntax.output_layers(node, tree):
        return True
    tables = syntax.token_tables(node)
    weights = [part.value for part in ast.walk(forward) if isinstance(part, ast.Attribute) and part.attr == "weight"]
    return any(syntax.dotted(part).rpartition(".")[2] in tables for part in weights)


def _is_pooling(node: ast.AST) -> bool:
    """Tell ``x.mean(dim=1)`` and ``x[:, 0]``: one vector for a whole text."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("mean", "amax"):
        place = syntax.argument(node, 0, "dim")
        if syntax.root(node.func) == "torch":
            place = syntax.argument(node, 1, "dim")
        return isinstance(place, ast.Constant) and place.value == 1
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple) and len(node.slice.elts) > 1:
        every, first = node.slice.elts[:2]
        whole = isinstance(every, ast.Slice) and every.lower is None and every.upper is None
        return whole and isinstance(first, ast.Constant) and first.value == 0
    return False


def _mask_function(draft: CodeDraft, node: ast.ClassDef, function: ast.FunctionDef) -> bool:
    kinds = dict(_callables(node, function))
    parents = {id(child): parent for parent in ast.walk(function) for child in ast.iter_child_nodes(parent)}
    found = False
    for call in ast.walk(function):
        if not isinstance(call, ast.Call):
            continue
        made = kinds.get(_called(call))
        if syntax.dotted(call.func).rpartition(".")[2] == _SDPA:
            found = _mask_sdpa(draft, function, call) or found
        elif made is not None and _sees_everything(draft, call, syntax.kind(made)):
            _mask_call(draft, function, call, made, parents)
            found = True
    return found


def _called(call: ast.Call) -> str:
    """Return ``self.name`` for ``self.name(x)`` and ``self.name[i](x)``, and ``name`` for ``name(x)``."""
    function = call.func.value if isinstance(call.func, ast.Subscript) else call.func
    return syntax.dotted(function)


def _callables(node: ast.ClassDef, function: ast.FunctionDef) -> Iterator[tuple[str, ast.Call]]:
    """Yield what attention is called by in a function: attributes, lists, and the variables of loops over them."""
    made: dict[str, ast.Call] = {}
    for name, call in syntax.parts(node).items():
        for part in [call] if syntax.kind(call) != "ModuleList" else ast.walk(call):
            if isinstance(part, ast.Call) and syntax.kind(part) in _MASKED:
                made[f"self.{name}"] = part
                break
    yield from made.items()
    for loop in ast.walk(function):
        if isinstance(loop, ast.For | ast.comprehension):
            yield from _looped(loop.target, loop.iter, made)


def _looped(target: ast.expr, over: ast.expr, made: dict[str, ast.Call]) -> Iterator[tuple[str, ast.Call]]:
    if isinstance(target, ast.Name) and syntax.dotted(over) in made:
        yield target.id, made[syntax.dotted(over)]
    elif isinstance(target, ast.Tuple) and isinstance(over, ast.Call) and syntax.dotted(over.func) == "enumerate":
        yield from _looped(target.elts[1], over.args[0], made)


def _sees_everything(draft: CodeDraft, call: ast.Call, kind: str) -> bool:
    """Tell whether a call is self-attention, and is given no mask over places."""
    name, position = _MASKED[kind]
    given = syntax.argument(call, position, name)
    hint = syntax.argument(call, 99, "is_causal")
    if any(isinstance(part, ast.Starred) for part in call.args) or any(k.arg is None for k in call.keywords):
        return False
    if given is not None or hint is not None:
        return False
    if kind == "MultiheadAttention":
        three = [syntax.argument(call, n, name) for n, name in enumerate(("query", "key", "value"))]
        return all(three) and len({draft.said(part) for part in three if part is not None}) == 1
    return bool(call.args)


def _mask_call(
    draft: CodeDraft, function: ast.FunctionDef, call: ast.Call, made: ast.Call, parents: dict[int, ast.AST]
) -> None:
    kind = syntax.kind(made)
    name = _length_holder(syntax.argument(call, 0, "query" if kind == "MultiheadAttention" else "src"), call.lineno)
    side = _length_side(draft, function, made)
    draft.need_torch()
    length = f"{name}.size({side})"
    mask = f"torch.ones({length}, {length}, dtype=torch.bool, device={name}.device).triu(1)"
    line = own_line(draft, call, parents)
    if line is not None and "causal_mask" not in draft.code:
        indent = draft.lines[line - 1][: -len(draft.lines[line - 1].lstrip())]
        draft.insert_line(line, f"{indent}# True where attention is masked: at later tokens.")
        draft.insert_line(line, f"{indent}causal_mask = {mask}")
        mask = "causal_mask"
    more = [f"{_MASKED[kind][0]}={mask}", "is_causal=True"]
    if kind == "MultiheadAttention" and _drops_weights(call, function, parents):
        more.append("need_weights=False")
    _add_arguments(draft, call, more)


def _length_holder(query: ast.expr | None, line: int) -> str:
    """Return the variable that is as long as what attention reads: ``x`` for ``x`` and for ``self.norm(x)``."""
    while isinstance(query, ast.Call) and syntax.root(query.func) == "self" and len(query.args) == 1:
        query = query.args[0]
    if isinstance(query, ast.Name):
        return query.id
    raise LeftOpen(f"line {line} computes the input of attention inside the call, so its length has no name.")


def _length_side(draft: CodeDraft, function: ast.FunctionDef, made: ast.Call) -> int:
    """Return the side that counts the places of a text, and turn attention to it where it looks along the batch."""
    layer = made
    if syntax.kind(made) == "TransformerEncoder":
        inner = syntax.argument(made, 0, "encoder_layer")
        found = inner if isinstance(inner, ast.Call) else _assigned(draft.tree, inner)
        if found is None:
            raise LeftOpen("nothing says whether the batch dimension comes first.")
        layer = found
    position = {"MultiheadAttention": 10, "TransformerEncoderLayer": 6}
    first = syntax.argument(layer, position.get(syntax.kind(layer), 99), "batch_first")
    if isinstance(first, ast.Constant):
        if first.value is True:
            return 1
    elif first is not None:
        raise LeftOpen("batch_first is computed, not written.")
    if _turns(function):
        return 0
    if _turns(draft.tree):
        raise LeftOpen("dimensions are swapped outside the attention, so it is unclear which one is the length.")
    if first is not None:
        draft.replace(draft.start(first), draft.end(first), "True")
    else:
        _add_arguments(draft, layer, [_BATCH_FIRST])
    return 1


def _assigned(tree: ast.Module, node: ast.expr | None) -> ast.Call | None:
    """Return the call that a name was given."""
    name = syntax.dotted(node) if node is not None else ""
    calls = [
        statement.value
        for statement in ast.walk(tree)
        if isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Call)
        and any(syntax.dotted(target) == name for target in statement.targets)
    ]
    return calls[0] if name and len(calls) == 1 else None


def _turns(tree: ast.AST) -> bool:
    """Tell whether the first two sides are exchanged, or the text's length is read off the first."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        sides = [part.value for part in node.args if isinstance(part, ast.Constant)]
        if (node.func.attr in ("transpose", "swapaxes") and sorted(map(str, sides[-2:])) == ["0", "1"]) or (
            node.func.attr == "permute" and sides[:2] == [1, 0]
        ):
            return True
    ends = [node.upper for node in ast.walk(tree) if isinstance(node, ast.Slice)]
    return any(_is_first_side(end) for end in ends)


def _is_first_side(node: ast.expr | None) -> bool:
    """Tell ``x.size(0)`` and ``x.shape[0]``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "size":
        side = syntax.argument(node, 0, "dim")
    elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
        side = node.slice
    else:
        return False
    return isinstance(side, ast.Constant) and side.value == 0


def _drops_weights(call: ast.Call, function: ast.FunctionDef, parents: dict[int, ast.AST]) -> bool:
    """Tell whether nobody reads the attention weights that a call gives beside its result."""
    if syntax.argument(call, 4, "need_weights") is not None:
        return False
    parent = parents.get(id(call))
    if isinstance(parent, ast.Subscript):
        return isinstance(parent.slice, ast.Constant) and parent.slice.value == 0
    if not (isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Tuple)):
        return False
    target = parent.targets[0].elts[-1]
    reads = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return isinstance(target, ast.Name) and target.id not in reads


def _mask_sdpa(draft: CodeDraft, function: ast.FunctionDef, call: ast.Call) -> bool:
    arguments = function.args.args + function.args.kwonlyargs
    given = syntax.argument(call, 3, "attn_mask")
    empty = isinstance(given, ast.Constant) and given.value is None
    hint = syntax.argument(call, 5, "is_causal")
    if (given is not None and not empty) or any(k.arg is None for k in call.keywords):
        return False
    off = isinstance(hint, ast.Constant) and hint.value is False
    if hint is not None and not off:
        return False
    if any(_OTHER_TEXT.search(argument.arg) for argument in arguments):
        raise LeftOpen(f"line {call.lineno} attends to more than one text, or to cached tokens.")
    if hint is not None:
        draft.replace(draft.start(hint), draft.end(hint), "True")
    else:
        _add_arguments(draft, call, ["is_causal=True"])
    return True


def _add_arguments(draft: CodeDraft, call: ast.Call, more: list[str]) -> None:
    """Put arguments at the end of a call, in the way in which it is laid out."""
    close = draft.end(call) - 1
    ends = [draft.end(part) for part in call.args] + [draft.end(keyword) for keyword in call.keywords]
    last = max(ends, default=close)
    if not ends:
        draft.replace(close, close, ", ".join(more))
        return
    between = draft.text(last, close)
    if between.strip() == ",":
        indent = re.match(r"\s*", source_text.lines(draft.text(0, last))[-1])
        on_own_lines = "\n" in between and indent is not None
        blank = f"{draft.newline}{indent.group()}" if on_own_lines and indent is not None else " "
        after = last + between.index(",") + 1
        draft.replace(after, after, "".join(f"{blank}{argument}," for argument in more))
    elif not between.strip():
        draft.replace(last, last, ", " + ", ".join(more))
    else:  # a comment, or a bracket round the last argument
        bare = re.sub(r"#.*", "", between).strip()
        comma = "" if bare.endswith(",") else ", "
        draft.replace(close, close, comma + ", ".join(more))
