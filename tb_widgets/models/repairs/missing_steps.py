"""Rebuild a forward pass that was exported with its steps missing.

Such an export takes the results of its own steps as arguments, never adds its residuals up, and returns logits that
nothing computes. The nodes of the graph are still named: by attributes (``mhsa_0``), by comments (``# residual:
residual_0``) and by the names of the results (``residual_0_output``). Their order, and what each step reads where the
code still says it, decide; where they leave it open, nothing is rebuilt.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from tb_widgets.models import syntax
from tb_widgets.models.repairs.edit import (
    CodeDraft,
    LeftOpen,
    Mended,
    Refused,
    is_step,
    method,
    models,
    required,
    undefined,
)
from tb_widgets.models.source import CODE

_TITLE = "Compute the steps missing in forward"
_ATTENTION = frozenset({"mhsa", "mha", "attention", "attn", "selfattention"})
_NORMS = frozenset({"layernorm", "rmsnorm", "norm", "ln"})
_SUMS = frozenset({"residual", "add"})
_NODE = re.compile(r"([a-z]+)_(\d+)(?=_|$)")
_COMMENT = re.compile(r"\s*#\s*[\w ]+:\s*([a-z]+_\d+)\s*$")
# Parts of torch.nn that map one tensor to one of the same kind.
_ONE_TO_ONE = frozenset(
    ["LayerNorm", "RMSNorm", "Linear", "Sequential", "Dropout", "GELU", "ReLU", "SiLU", "Tanh", "Identity"]
)


@dataclass
class _Flow:
    """What has been computed so far, while the statements of a forward are read in their order.

    ``trunk`` is what the next sum adds to; ``current`` is the newest result; ``unread`` are results that no step has
    read yet.
    """

    trunk: str = ""
    current: str = ""
    unread: list[str] = field(default_factory=list)
    norm_first: bool | None = None

    def step(self, kind: str, name: str, read: set[str]) -> None:
        self.unread = [other for other in self.unread if other not in read]
        self.unread.append(name)
        self.current = name
        if kind in _NORMS and self.norm_first is None:
            self.norm_first = True
        if kind in _ATTENTION and self.norm_first is None:
            self.norm_first = False
        # With the norm at the head of each branch, the branch leaves the trunk there; else the norm is on the trunk.
        on_branch = kind in _ATTENTION or kind in ("ffn", "mlp") or (kind in _NORMS and self.norm_first)
        if not on_branch:
            self.trunk = name


def missing_steps(code: str) -> Mended | Refused | None:
    """Compute what the forward of the model takes as arguments, or returns, without anybody computing it."""
    draft = CodeDraft(code)
    for node in models(draft.tree):
        forward = method(node, "forward")
        if forward is None:
            continue
        arguments = [a.arg for a in forward.args.args[1:] + forward.args.kwonlyargs if is_step(a.arg)]
        unknown = [name for name in undefined(code, forward) if is_step(name)]
        if not (arguments or unknown):
            continue
        try:
            return _rebuild(draft, node, forward, arguments, unknown)
        except LeftOpen as reason:
            return Refused(_TITLE, str(reason))
    return None


def _rebuild(
    draft: CodeDraft, node: ast.ClassDef, forward: ast.FunctionDef, arguments: list[str], unknown: list[str]
) -> Mended:
    inputs = [name for name in required(forward) if name not in arguments and "mask" not in name]
    if len(inputs) != 1:
        raise LeftOpen(f"forward has {len(inputs)} inputs besides the steps, but exactly one is needed.")
    body = [s for s in forward.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    _check_body(body, set(arguments) | set(unknown), draft)
    missing = [name for name in arguments if _is_read_first(name, body)] + unknown
    maker = _Maker(draft, node, forward, inputs[0])
    first = body[0]
    indent = draft.lines[first.lineno - 1][: first.col_offset]
    for name, place, line in _places(missing, draft, node, forward, body):
        maker.read_until(body[:place])
        draft.insert_line(line, indent + maker.make(name))
    _drop_arguments(draft, forward, arguments)
    code = draft.result()
    mended = syntax.module_classes(syntax.parse(code, CODE))[node.name]
    left = undefined(code, method(mended, "forward") or forward)
    if left:
        raise LeftOpen(f"forward also uses {', '.join(left)}, which is undefined.")
    faults = []
    if arguments:
        faults.append(f"asks for {', '.join(arguments)} as if they were inputs")
    if missing:
        faults.append(f"never computes {', '.join(missing)}")
    return Mended(
        _TITLE,
        f"forward {', and '.join(faults)}, so it can't be called with a text alone and training would fail at its "
        f"first step. The repair keeps the one input and computes the rest in the order of the model's "
        f"nodes{maker.remarks()}.",
        code,
    )


def _check_body(body: list[ast.stmt], steps: set[str], draft: CodeDraft) -> None:
    if not body or not isinstance(body[-1], ast.Return):
        raise LeftOpen("forward does not end with a return.")
    for statement, after in zip(body, [*body[1:], None], strict=True):
        if draft.lines[statement.lineno - 1].encode()[: statement.col_offset].strip() or (
            after is not None and after.lineno <= (statement.end_lineno or 0)
        ):
            raise LeftOpen(f"line {statement.lineno} contains several statements.")
        if isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Expr | ast.Return | ast.Assert):
            continue
        inside = {part.id for part in ast.walk(statement) if isinstance(part, ast.Name)}
        if inside & (steps | {"self"}):
            raise LeftOpen(
                f"the steps are inside a loop or branch (line {statement.lineno}), so their order is unknown."
            )


def _is_read_first(name: str, body: list[ast.stmt]) -> bool:
    """Tell whether a name is read before it is assigned, or never assigned."""
    for statement in body:
        if name in _read(statement):
            return True
        if name in _written(statement):
            return False
    return True


def _read(statement: ast.stmt) -> set[str]:
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _written(statement: ast.stmt) -> set[str]:
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _node_of(name: str) -> str:
    found = _NODE.match(name)
    return found.group() if found else ""


def _nodes(statement: ast.stmt) -> set[str]:
    """Return the nodes that a statement computes: by the names of its parts and of its results."""
    attributes = {
        n.func.attr for n in ast.walk(statement) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    }
    return {_node_of(name) for name in attributes | _written(statement)} - {""}


def _places(
    missing: list[str], draft: CodeDraft, node: ast.ClassDef, forward: ast.FunctionDef, body: list[ast.stmt]
) -> list[tuple[str, int, int]]:
    """Decide where each missing step is computed: (name, number of the statement before which, line)."""
    notes: dict[int, str] = {}
    for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
        if found := _COMMENT.match(draft.lines[number - 1]):
            notes[number] = found[1]
    # The constructor lists the nodes in the order of the graph; where it leaves some out, forward may not.
    orders = [[note for n, note in notes.items() if (n < forward.lineno) == before] for before in (True, False)]
    order = next((nodes for nodes in orders if {_node_of(name) for name in missing} <= set(nodes)), [])
    if order:
        missing = sorted(missing, key=lambda name: order.index(_node_of(name)))
    places: list[tuple[str, int, int]] = []
    place, line = len(body) - 1, body[-1].lineno
    for name in reversed(missing):
        mine = _node_of(name)
        later = set(order[order.index(mine) + 1 :]) if mine in order else set()
        # Before whatever reads it or comes after it, and before the steps that are made later.
        needed = next((n for n, s in enumerate(body) if name in _read(s) or _nodes(s) & later), place)
        if needed < place:
            place, line = needed, body[needed].lineno
            while line - 1 in notes and notes[line - 1] != mine:  # the comment belongs to the statement
                line -= 1
        noted = next((n for n, note in notes.items() if note == mine and forward.lineno < n < line), None)
        if noted is not None:
            place, line = sum(statement.lineno < noted for statement in body), noted + 1
        places.insert(0, (name, place, line))
    return places


class _Maker:
    """Writes the missing steps, one by one, while it follows what is there."""

    def __init__(self, draft: CodeDraft, node: ast.ClassDef, forward: ast.FunctionDef, tokens: str) -> None:
        self._draft, self._node, self._forward, self._tokens = draft, node, forward, tokens
        self._parts = syntax.parts(node)
        self._classes = syntax.module_classes(draft.tree)
        self._flow = _Flow()
        self._seen = 0
        self._remarks: list[str] = []

    def remarks(self) -> str:
        """Return what was assumed, to be read after "in the order of the model's nodes"."""
        return "".join(f"; {remark}" for remark in self._remarks)

    def read_until(self, body: list[ast.stmt]) -> None:
        """Follow the statements that are there."""
        for statement in body[self._seen :]:
            if not isinstance(statement, ast.Assign):
                continue
            calls = [
                n.func.attr
                for n in ast.walk(statement.value)
                if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and syntax.root(n.func) == "self"
            ]
            values = _values(statement.value)
            known = {*self._flow.unread, self._flow.trunk, self._flow.current} - {""}
            if not (calls or values & known):
                continue
            target = statement.targets[0]
            first = target.elts[0] if isinstance(target, ast.Tuple) and target.elts else target
            if not isinstance(first, ast.Name):
                continue
            node = _node_of(first.id) or next((n for n in map(_node_of, calls) if n), "")
            kind = node.rpartition("_")[0]
            if any(call in syntax.token_tables(self._node) for call in calls):
                kind = "embedding"
            elif isinstance(statement.value, ast.BinOp) and isinstance(statement.value.op, ast.Add):
                kind = "residual"
            self._flow.step(kind, first.id, values)
        self._seen = len(body)

    def make(self, name: str) -> str:
        """Return the statement that computes a missing step."""
        node = _node_of(name)
        kind, flow = node.rpartition("_")[0], self._flow
        if kind == "embedding":
            text, read = self._embedding(node), set(flow.unread)
        else:
            if not flow.current:
                raise LeftOpen(f"nothing computed before {name} could be its input.")
            others = [value for value in flow.unread if value not in (flow.current, flow.trunk)]
            if others:
                raise LeftOpen(f"{others[0]} and {flow.current} both exist, and nothing says how {name} combines them.")
            read = {flow.current}
            if kind in _SUMS:
                if flow.current == flow.trunk:
                    raise LeftOpen(f"{name} adds two results, but only {flow.current} exists.")
                text, read = f"{flow.trunk} + {flow.current}", {flow.trunk, flow.current}
                remark = "each sum adds a step's result to its input"
                if flow.norm_first:
                    remark += ", before the norm"
                if remark not in self._remarks:
                    self._remarks.append(remark)
            elif kind in _ATTENTION:
                text = self._attention(node)
            elif kind == "output":
                text = self._output(node)
            else:
                text = self._one_to_one(node, name)
        flow.step(kind, name, read)
        return f"{name} = {text}"

    def _embedding(self, node: str) -> str:
        if f"{node}_token" not in self._parts:
            raise LeftOpen(f"there is no embedding {node}_token.")
        text = f"self.{node}_token({self._tokens})"
        if f"{node}_pos" in self._parts:
            self._draft.need_torch()
            text += f" + self.{node}_pos(torch.arange({self._tokens}.size(1), device={self._tokens}.device))"
        return text

    def _attention(self, node: str) -> str:
        current, made = self._flow.current, self._parts.get(node)
        if made is None or syntax.kind(made) != "MultiheadAttention":
            return self._one_to_one(node, node)
        return f"self.{node}({current}, {current}, {current}, need_weights=False)[0]"

    def _one_to_one(self, node: str, name: str) -> str:
        made = self._parts.get(node)
        kind = syntax.kind(made) if made is not None else ""
        own = self._classes.get(kind)
        forward = method(own, "forward") if own is not None else None
        if kind not in _ONE_TO_ONE and (forward is None or len(required(forward)) != 1 or _gives_several(forward)):
            raise LeftOpen(f"nothing in the file says how {name} is computed.")
        return f"self.{node}({self._flow.current})"

    def _output(self, node: str) -> str:
        called = {n.attr for n in ast.walk(self._forward) if isinstance(n, ast.Attribute)}
        layers = [name for name in syntax.output_layers(self._node, self._draft.tree) if name not in called]
        if node in self._parts and node not in called:
            layers = [node]
        if len(layers) > 1:
            raise LeftOpen(f"{' and '.join(layers)} could both be the output layer.")
        if layers:
            return f"self.{layers[0]}({self._flow.current})"
        tables = list(syntax.token_tables(self._node))
        if len(tables) != 1:
            raise LeftOpen("there is no output layer, and no single token embedding to use instead.")
        self._remarks.append(
            f"there is no output layer, so the logits come from the token embedding {tables[0]} (tied weights), "
            "divided by the square root of the width"
        )
        current = self._flow.current
        return f"{current} @ self.{tables[0]}.weight.t() * {current}.size(-1) ** -0.5"


def _gives_several(function: ast.FunctionDef) -> bool:
    return any(isinstance(n, ast.Return) and isinstance(n.value, ast.Tuple) for n in ast.walk(function))


def _values(node: ast.expr) -> set[str]:
    """Return the names whose values an expression reads, not only their shape or device."""
    asked = {
        id(n.value)
        for n in ast.walk(node)
        if isinstance(n, ast.Attribute) and n.attr in ("shape", "size", "device", "dtype")
    }
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and id(n) not in asked}


def _drop_arguments(draft: CodeDraft, forward: ast.FunctionDef, names: list[str]) -> None:
    """Take arguments out of the signature: with their lines, or each from the end of the one before it."""
    arguments = forward.args
    positional = arguments.posonlyargs + arguments.args
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    if any(argument.arg in names for argument in arguments.kwonlyargs):
        raise LeftOpen("the steps are keyword-only arguments.")
    before = 0
    lines, pieces = [], []
    for argument, default in zip(positional, defaults, strict=True):
        last = default or argument
        end = draft.end(last)
        if argument.arg in names:
            start, after = draft.line(argument.lineno), draft.line((last.end_lineno or last.lineno) + 1)
            alone = not draft.text(start, draft.start(argument)).strip()
            if alone and re.fullmatch(r"\s*,?\s*(#.*)?\s*", draft.text(end, after)):
                lines.append((start, after))
            pieces.append((before, end))
        before = end
    for start, end in lines if len(lines) == len(pieces) else pieces:
        draft.replace(start, end, "")
