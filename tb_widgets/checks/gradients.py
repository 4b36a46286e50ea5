"""Whether every part of a model learns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from tb_widgets.checks.inputs import loss_of, make_batch, usual_length
from tb_widgets.checks.result import CheckResult, Fault, Verdict
from tb_widgets.checks.told import told
from tb_widgets.engine.undisturbed import filled_zeros, undisturbed
from tb_widgets.models.load import LoadedModel

FAINT, STEEP = 1e-7, 1000.0  # norm of a parameter's gradient
MOST_BARS = 24


@dataclass(frozen=True)
class _Gradient:
    """What reached one parameter: the norm, ``None`` where nothing came; ``used`` where its layer took part."""

    name: str
    norm: float | None
    is_weight: bool
    used: bool


def gradients(model: LoadedModel) -> CheckResult:
    """See whether learning reaches every parameter, with a force that is neither nothing nor too much."""
    try:
        found = _gradients(model)
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        fault = f"The backward pass fails: {told(error)}."
        return _gradient_result("fail", fault, "Look for no_grad, detach or in-place changes in that line.")
    good: Fault = ("pass", f"All {len(found)} parameters get a gradient.", "")
    verdict, message, advice = next(_gradient_faults(found), good)
    largest = max((gradient.norm for gradient in found if gradient.norm is not None), default=None)
    return _gradient_result(verdict, message, advice, largest, _by_layer(found))


def _gradient_result(
    verdict: Verdict, message: str, advice: str, value: float | None = None, picture: dict[str, Any] | None = None
) -> CheckResult:
    bound = f"every weight between {FAINT:g} and {STEEP:g}"
    return CheckResult("gradients", "Gradients", 1, verdict, message, value, "largest norm", bound, advice, picture)


def _gradients(model: LoadedModel) -> list[_Gradient]:
    module, used = model.module, set[nn.Module]()
    owners = {f"{path}.{name}".lstrip("."): part for path, part in module.named_modules() for name in part._parameters}
    hooks = [part.register_forward_hook(lambda part, *_: used.add(part)) for part in module.modules()]
    try:
        with undisturbed(module, training=True), filled_zeros(module):
            loss_of(model, make_batch(model, rows=3, length=usual_length(model, 32))).backward()  # type: ignore[no-untyped-call]
            return [
                _Gradient(name, None if p.grad is None else p.grad.norm().item(), p.dim() > 1, owners[name] in used)
                for name, p in module.named_parameters()
                if p.requires_grad
            ]
    finally:
        for hook in hooks:
            hook.remove()


def _gradient_faults(found: list[_Gradient]) -> Iterator[Fault]:
    reached = [(gradient, gradient.norm) for gradient in found if gradient.norm is not None]
    without = [gradient for gradient in found if gradient.norm is None]
    if cut := [gradient for gradient in without if gradient.used]:
        yield "fail", f"No gradient reaches {_names(cut)}.", "Look for detach, no_grad or .data on the way to it."
    if wrong := [gradient for gradient, norm in reached if not math.isfinite(norm)]:
        advice = "Look for a division by zero, or the logarithm or root of zero."
        yield "fail", f"The gradient of {_names(wrong)} is not a number.", advice
    if steep := [gradient for gradient, norm in reached if norm > STEEP]:
        yield "fail", f"The gradient of {_names(steep)} explodes.", "Normalise, or begin with smaller weights."
    # A key's bias moves no attention, and so has no gradient in any healthy model: only weights count here.
    if faint := [gradient for gradient, norm in reached if norm < FAINT and gradient.is_weight]:
        advice = "Add residual connections or norms, and look for saturated or constant functions."
        yield "fail", f"Almost no gradient reaches {_names(faint)}.", advice
    if without:
        advice = "What takes no part never learns: use it, or take it out."
        yield "warn", f"{_names(without)} takes no part in the forward pass.", advice


def _names(gradients: list[_Gradient]) -> str:
    shown = ", ".join(gradient.name for gradient in gradients[:3])
    return f"{shown} and {len(gradients) - 3} more" if len(gradients) > 3 else shown


def _by_layer(found: list[_Gradient]) -> dict[str, Any]:
    weights = [gradient for gradient in found if gradient.is_weight]
    every = max(1, math.ceil(len(weights) / MOST_BARS))
    norms = [gradient.norm or 0.0 for gradient in weights[::every]]
    return {
        "kind": "bars",
        "title": "gradient norm of each weight" if every == 1 else f"gradient norm of every {every}th weight",
        "labels": [gradient.name for gradient in weights[::every]],
        "values": [norm if math.isfinite(norm) else None for norm in norms],
    }
