"""Whether every part of a model learns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tb_widgets.checks.inputs import loss_of, make_batch, usual_length
from tb_widgets.checks.result import CheckResult, Fault, Verdict
from tb_widgets.models.load import LoadedModel
from tb_widgets.models.quoted_error import quoted_error
from tb_widgets.models.undisturbed import filled_zeros, undisturbed
from tb_widgets.spec.batch import Batch
from tb_widgets.wording import listed

FAINT, STEEP = 1e-7, 1000.0  # norm of a parameter's gradient
_ROUNDING = 1e-6  # share of the largest logit
MOST_BARS = 24


@dataclass(frozen=True)
class _Gradient:
    """What reached one parameter: the norm, ``None`` where nothing came; ``counts`` where the logits depend on it."""

    name: str
    norm: float | None
    is_weight: bool
    counts: bool


def gradients(model: LoadedModel) -> CheckResult:
    """See whether learning reaches every parameter, with a force that is neither nothing nor too much."""
    try:
        found = _gradients(model)
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        fault = f"The backward pass fails: {quoted_error(error)}."
        return _gradient_result("fail", fault, "Check that line for no_grad, detach or in-place operations.")
    good: Fault = ("pass", f"All {len(found)} weight tensors receive a gradient.", "")
    verdict, message, advice = next(_gradient_faults(found), good)
    largest = max((gradient.norm for gradient in found if gradient.norm is not None), default=None)
    return _gradient_result(verdict, message, advice, largest, _by_layer(found))


def _gradient_result(
    verdict: Verdict, message: str, advice: str, value: float | None = None, picture: dict[str, Any] | None = None
) -> CheckResult:
    bound = f"every weight between {FAINT:g} and {STEEP:g}"
    return CheckResult("gradients", "Gradients", 1, verdict, message, value, "largest norm", bound, advice, picture)


def _gradients(model: LoadedModel) -> list[_Gradient]:
    module, batch = model.module, make_batch(model, rows=3, length=usual_length(model, 32))
    named = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    with filled_zeros(module):
        with undisturbed(module, training=True):
            loss_of(model, batch).backward()  # type: ignore[no-untyped-call]
            norms = {name: None if p.grad is None else p.grad.norm().item() for name, p in named}
        padding = _padding_rows(module)
        doubtful = [(n, p) for n, p in named if norms[n] is None or (norms[n] == 0 and n in padding)]
        idle = _idle(model, batch, doubtful, padding)
    return [_Gradient(name, norms[name], parameter.dim() > 1, name not in idle) for name, parameter in named]


def _padding_rows(module: nn.Module) -> dict[str, int]:
    """Return the row of each table that never learns, since its ``padding_idx`` says so."""
    tables = {path: part for path, part in module.named_modules() if isinstance(part, nn.Embedding)}
    return {f"{path}.weight": t.padding_idx for path, t in tables.items() if t.padding_idx is not None}


def _idle(
    model: LoadedModel, batch: Batch, parameters: list[tuple[str, nn.Parameter]], padding: dict[str, int]
) -> set[str]:
    """Return which of these parameters no logit depends on: other values in them move nothing."""
    if not parameters or not _move(model, batch, parameters, padding):
        return {name for name, _ in parameters}
    return {name for name, parameter in parameters if not _move(model, batch, [(name, parameter)], padding)}


def _move(
    model: LoadedModel, batch: Batch, parameters: list[tuple[str, nn.Parameter]], padding: dict[str, int]
) -> bool:
    """Tell whether logits move when what these parameters can learn gets other values, which are put back."""
    kept = [(parameter, parameter.detach().clone()) for _, parameter in parameters]
    before = _logits(model, batch)
    generator = torch.Generator().manual_seed(0)
    try:
        for name, parameter in parameters:
            noise = torch.randn(parameter.shape, generator=generator).to(parameter)
            if name in padding:
                noise[padding[name]] = 0.0
            parameter.data.add_(noise * max(0.1, parameter.detach().abs().mean().item()))
        after = _logits(model, batch)
    finally:
        for parameter, values in kept:
            parameter.data.copy_(values)
    return bool((before - after).abs().max() > _ROUNDING * before.abs().max().clamp_min(1.0))


def _logits(model: LoadedModel, batch: Batch) -> Tensor:
    with undisturbed(model.module), torch.no_grad():
        return torch.nan_to_num(model.logits(batch).float())


def _gradient_faults(found: list[_Gradient]) -> Iterator[Fault]:
    reached = [(gradient, gradient.norm) for gradient in found if gradient.norm is not None and gradient.counts]
    without = [gradient for gradient in found if not gradient.counts]
    if cut := [gradient for gradient in found if gradient.norm is None and gradient.counts]:
        yield "fail", f"No gradient reaches {_names(cut)}.", "Check the path to it for detach, no_grad or .data."
    if wrong := [gradient for gradient, norm in reached if not math.isfinite(norm)]:
        advice = "Check for a division by zero, or the logarithm or root of zero."
        yield "fail", f"The gradient of {_names(wrong)} is NaN or infinite.", advice
    if steep := [gradient for gradient, norm in reached if norm > STEEP]:
        yield "fail", f"The gradient of {_names(steep)} explodes.", "Normalise, or initialise smaller weights."
    # A key's bias moves no attention, and so has no gradient in any healthy model: only weights count here.
    if faint := [gradient for gradient, norm in reached if norm < FAINT and gradient.is_weight]:
        advice = "Add residual connections or norms, and check for saturated or constant activations."
        yield "fail", f"Almost no gradient reaches {_names(faint)}.", advice
    if without:
        advice = "Unused weights never learn. That is fine for a pooler or another task's head; otherwise use them."
        do = "does" if len(without) == 1 else "do"
        yield "warn", f"{_names(without)} {do} not affect the logits.", advice


def _names(gradients: list[_Gradient]) -> str:
    return listed([gradient.name for gradient in gradients], most=3)


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
