"""Give attention that is written out, with a softmax of its own, the causal mask that it lacks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tb_widgets.models import syntax
from tb_widgets.models.repairs.edit import Draft, LeftOpen, own_line, required

_PRODUCTS = ("matmul", "bmm", "einsum", "baddbmm")
_HIDES = re.compile(r"mask|tril|triu|causal|where|^-?inf|finfo")
_FAR_DOWN = 1000.0  # what is taken off a score to hide a place
OTHER_TEXT = re.compile(r"memory|context|encoder|enc_|cond|cross|tgt|cache|past|start_pos")
SCORES = "attention_scores"


def mask_written_attention(draft: Draft, node: ast.ClassDef, function: ast.FunctionDef) -> bool:
    """Hide later tokens in each softmax over the products of queries and keys; tell whether there was one.

    Raises
    ------
    LeftOpen
        If the source does not tell how.
    """
    if any(_hides(part) for statement in function.body for part in ast.walk(statement)):
        return False  # it hides something, or can be told to: whether that is enough shows when it is tried
    products = [part for part in ast.walk(function) if _is_product(part)]
    parents = {id(child): parent for parent in ast.walk(function) for child in ast.iter_child_nodes(parent)}
    found = False
    for call, scores, side in _softmaxes(node, function):
        # One product makes the scores; another one, with them, takes from the values.
        if len(products) < 2 or not any(_compares(part) for part in _sources(scores, function)):
            continue
        if not (isinstance(side, int) and side in (-1, 3)):
            raise LeftOpen(f"line {call.lineno} does not say that its softmax goes along the last side.")
        arguments = [argument.arg for argument in function.args.args + function.args.kwonlyargs]
        if len(required(function)) > 1 or any(OTHER_TEXT.search(name) for name in arguments):
            raise LeftOpen(f"line {call.lineno} may attend from one text to another, or to remembered tokens.")
        _hide_later(draft, call, scores, parents)
        found = True
    return found


def _hides(part: ast.AST) -> bool:
    """Tell whether a part of some code speaks of hiding places from an attention."""
    if isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.USub) and isinstance(part.operand, ast.Constant):
        number = part.operand.value
        return isinstance(number, int | float) and number >= _FAR_DOWN
    said = getattr(part, "id", None) or getattr(part, "attr", None) or getattr(part, "arg", None)
    if isinstance(part, ast.Constant):
        said = part.value
    return isinstance(said, str) and _HIDES.search(said) is not None


def _softmaxes(node: ast.ClassDef, function: ast.FunctionDef) -> Iterator[tuple[ast.Call, ast.expr, object]]:
    """Yield each softmax with what it is taken of, and along which side: ``F.softmax(x, -1)``, ``x.softmax(-1)``."""
    parts = {f"self.{name}": call for name, call in syntax.parts(node).items() if syntax.kind(call) == "Softmax"}
    for call in ast.walk(function):
        if not isinstance(call, ast.Call):
            continue
        made = parts.get(syntax.dotted(call.func))
        if made is not None and call.args:
            yield call, call.args[0], _number(syntax.argument(made, 0, "dim"))
        elif isinstance(call.func, ast.Attribute) and call.func.attr == "softmax":
            of_module = syntax.root(call.func) in ("torch", "nn", "F", "functional")
            scores = syntax.argument(call, 0, "input") if of_module else call.func.value
            if scores is not None:
                yield call, scores, _number(syntax.argument(call, int(of_module), "dim"))


def _number(node: ast.expr | None) -> object:
    try:
        return None if node is None else ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError):  # no number, whatever it is
        return None


def _sources(scores: ast.expr, function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Yield the expressions that scores are made of, through the variables of the function."""
    waiting: list[ast.expr] = [scores]
    seen: set[str] = set()
    while waiting:
        for part in ast.walk(waiting.pop()):
            yield part
            if isinstance(part, ast.Name) and part.id not in seen:
                seen.add(part.id)
                waiting += [
                    statement.value
                    for statement in ast.walk(function)
                    if isinstance(statement, ast.Assign | ast.AugAssign)
                    and any(syntax.dotted(target) == part.id for target in _targets(statement))
                ]


def _targets(statement: ast.Assign | ast.AugAssign) -> list[ast.expr]:
    return statement.targets if isinstance(statement, ast.Assign) else [statement.target]


def _is_product(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.MatMult)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _PRODUCTS


def _compares(node: ast.AST) -> bool:
    """Tell whether a product is one of tokens with tokens: with something turned that is no weight."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "einsum":
        return len(node.args) == 3
    if isinstance(node, ast.BinOp):
        factors = [node.left, node.right]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        factors = [*node.args] if syntax.root(node.func) == "torch" else [node.func.value, *node.args]
    else:
        return False
    return _is_product(node) and any(_is_turned(factor) for factor in factors)


def _is_turned(node: ast.expr) -> bool:
    """Tell ``k.transpose(-2, -1)`` and ``k.mT``, but not ``table.weight.t()``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        turned = node.func.attr in ("transpose", "swapaxes", "permute")
        inner = node.func.value
    elif isinstance(node, ast.Attribute):
        turned, inner = node.attr == "mT", node.value
    else:
        return False
    return turned and not (isinstance(inner, ast.Attribute) and inner.attr == "weight")


def _hide_later(draft: Draft, call: ast.Call, scores: ast.expr, parents: dict[int, ast.AST]) -> None:
    line = own_line(draft, call, parents)
    if line is None:
        raise LeftOpen(f"line {call.lineno} computes its attention where no line can be put before it.")
    indent = draft.lines[line - 1][: -len(draft.lines[line - 1].lstrip())]
    name = scores.id if isinstance(scores, ast.Name) else SCORES
    if name == SCORES and SCORES in draft.code:
        raise LeftOpen(f"line {call.lineno} computes the scores within the softmax.")
    draft.need_torch()
    if name == SCORES:
        draft.insert_line(line, f"{indent}{SCORES} = ({draft.said(scores)})")
    length = f"{name}.size(-2), {name}.size(-1)"
    draft.insert_line(line, f"{indent}# True where a token may not look: at the tokens after it.")
    draft.insert_line(
        line, f"{indent}causal_mask = torch.ones({length}, dtype=torch.bool, device={name}.device).triu(1)"
    )
    draft.replace(draft.start(scores), draft.end(scores), f'{name}.masked_fill(causal_mask, float("-inf"))')
