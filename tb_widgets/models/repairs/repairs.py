"""Known faults of exported models: found in their text, mended in single lines, shown as a diff.

A repair is a proposal: nothing is changed that nobody asked for, and where the source leaves open what was meant, no
repair is offered and the reason is told. No code of the model runs. Importing this file imports no torch.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tb_widgets.errors import ModelError
from tb_widgets.models import source_text, syntax
from tb_widgets.models.repairs.causal_mask import causal_mask
from tb_widgets.models.repairs.edit import CodeDraft, Mended, Refused, is_step, method, required, undefined
from tb_widgets.models.repairs.missing_steps import missing_steps
from tb_widgets.models.source import CODE, ModelSource, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Repair:
    """A fault that can be mended.

    Attributes
    ----------
    id
        ``undeclared-input``, ``missing-steps`` or ``causal-mask``.
    title
        What the repair does, as a button would say it.
    why
        What is wrong, and what it would do to the training.
    diff
        Unified diff of model.py.
    after
        Repairs that this one builds on: it applies only together with them.
    """

    id: str
    title: str
    why: str
    diff: str
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class OpenFault:
    """A fault that was recognised and can't be mended from the source alone: which, and why not."""

    id: str
    title: str
    why: str


def repairs(source: ModelSource) -> list[Repair]:
    """List the repairs that a model's code could do with, in the order in which they are applied.

    Raises
    ------
    ModelError
        If model.py is not Python.
    """
    return _examine(source)[0]


def open_faults(source: ModelSource) -> list[OpenFault]:
    """List the faults that were recognised but are left to the model's author, with the reason.

    Raises
    ------
    ModelError
        If model.py is not Python.
    """
    return _examine(source)[1]


def way_out(source: ModelSource) -> str:
    """Say how to mend the known faults of a model that does not run; empty where none was recognised.

    A missing causal mask is no such fault: the model runs without it.

    Raises
    ------
    ModelError
        If model.py is not Python.
    """
    found, left = (
        [fault for fault in kind if fault.id != "causal-mask"] for kind in (repairs(source), open_faults(source))
    )
    if found:
        ids = ", ".join(fault.id for fault in found)
        faults = "a known export fault that can be repaired" if len(found) == 1 else "known faults that can be repaired"
        return f"It has {faults}: set model.repairs to [{ids}], or press Apply in the Model step."
    return " ".join(f"{fault.title}: not possible from the source alone, because {fault.why}" for fault in left)


def apply_repairs(source: ModelSource, ids: Iterable[str]) -> ModelSource:
    """Return the model with some of its faults mended.

    The origin says so: ``repairs`` holds the ids, ``sha256_before`` the checksums of the files as they came.

    Raises
    ------
    ModelError
        If there is no such repair, or it does not apply to this code.
    """
    wanted = set(ids)
    for name in sorted(wanted - set(_MENDERS)):
        raise ModelError(f"model.repairs: there is no repair {name!r}.", hint=f"Choose from: {', '.join(_MENDERS)}.")
    code = source.files[CODE]
    applied = [name for name in _MENDERS if name in wanted]
    for name in applied:
        outcome = _MENDERS[name](code)
        if not isinstance(outcome, Mended):
            reason = f": {outcome.why}" if outcome is not None else ", which does not have that fault."
            offered = ", ".join(repair.id for repair in repairs(source))
            raise ModelError(
                f"model.repairs: {name} does not apply to this model.py{reason}",
                hint=f"Available: {offered}." if offered else "Remove it from model.repairs.",
            )
        code = outcome.code
    if not applied:
        return source
    before = source.origin.get("sha256_before", source.origin.get("sha256", {}))
    done = [*source.origin.get("repairs", []), *applied]
    return frozen({**source.origin, "repairs": done, "sha256_before": before}, {**source.files, CODE: code})


def _examine(source: ModelSource) -> tuple[list[Repair], list[OpenFault]]:
    original = code = source.files[CODE]
    found: list[Repair] = []
    left: list[OpenFault] = []
    for name, mend in _MENDERS.items():
        # On its own where it can be; else on top of the repairs before it.
        alone = mend(original)
        together = mend(code) if code != original else alone
        outcome = alone if isinstance(alone, Mended) else together
        if isinstance(outcome, Mended):
            before, after = (original, ()) if outcome is alone else (code, tuple(repair.id for repair in found))
            found.append(Repair(name, outcome.title, outcome.why, _diff(before, outcome.code), after))
            code = together.code if isinstance(together, Mended) else code
        elif outcome is not None:
            left.append(OpenFault(name, outcome.title, outcome.why))
    return found, left


def _diff(before: str, after: str) -> str:
    lines = difflib.unified_diff(
        source_text.lines(before), source_text.lines(after), fromfile=f"a/{CODE}", tofile=f"b/{CODE}", lineterm=""
    )
    return "\n".join(lines) + "\n"


def _declare_input(code: str) -> Mended | Refused | None:
    """Declare the one name that a forward without inputs reads as if it were given it."""
    draft = CodeDraft(code)
    title = "Declare the input of forward"
    names = []
    for node in syntax.module_classes(draft.tree).values():
        forward = method(node, "forward")
        if forward is None or not forward.args.args:
            continue
        missing = [name for name in undefined(code, forward) if not is_step(name)]
        inputs = [name for name in missing if _is_read_as_input(name, forward)]
        given = [name for name in required(forward) if not is_step(name)]
        if not inputs:
            continue
        if len(missing) > 1:
            return Refused(
                title, f"forward uses {_and(missing)}, which are undefined: it is unclear which one is the input."
            )
        if given:
            return Refused(
                title,
                f"forward takes {_and(given)} and also uses {inputs[0]}, which is undefined: it is unclear whether "
                "they are the same.",
            )
        place = draft.end(forward.args.args[0])
        blank = re.match(r"\s*,\s*(?=\))", draft.text(place, draft.start(forward.body[0])))
        draft.replace(place, place + len(blank.group().encode() if blank else b""), f", {inputs[0]}")
        names += inputs
    if not names:
        return None
    return Mended(
        title,
        f"forward uses {_and(sorted(set(names)))}, but does not declare it as an argument, so the model has no input. "
        "Every call would raise a NameError, and training would fail at its first step.",
        draft.result(),
    )


def _is_read_as_input(name: str, function: ast.FunctionDef) -> bool:
    """Tell whether a name is given to a part of the model, or asked for its shape."""
    for node in ast.walk(function):
        read = None
        if isinstance(node, ast.Call) and node.args and syntax.root(node.func) == "self":
            read = node.args[0]
        elif isinstance(node, ast.Attribute) and node.attr in ("shape", "size", "device"):
            read = node.value
        if isinstance(read, ast.Name) and read.id == name:
            return True
    return False


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


_MENDERS: dict[str, Callable[[str], Mended | Refused | None]] = {
    "undeclared-input": _declare_input,
    "missing-steps": missing_steps,
    "causal-mask": causal_mask,
}
