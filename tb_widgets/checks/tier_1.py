"""Tier 1: what every model must pass before training is worth its time.

Each check leaves the model as it was. Thresholds are for a fresh model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from tb_widgets.checks.inputs import choices, loss_of, make_batch, tokens_in, usual_batch, usual_length
from tb_widgets.checks.measure import left_behind, matrix_speed, megabytes, peak_memory, seconds_for, trial_step
from tb_widgets.checks.result import CheckResult, Verdict
from tb_widgets.checks.told import told
from tb_widgets.engine.causality import Causality, measure_causality
from tb_widgets.engine.undisturbed import device_of, filled_zeros, undisturbed
from tb_widgets.models.adapter import Batch
from tb_widgets.models.load import LoadedModel

LARGEST_SCORES = 64e6  # numbers: 256 MB
LARGEST_PASS = 5e10  # multiplications: about a second on two cores
LONGEST_TRIED = 2048  # tokens

FAINT, STEEP = 1e-7, 1000.0  # norm of a parameter's gradient
FLAT, WILD, OFF_CENTRE = 0.01, 100.0, 10.0  # standard deviation and mean of scores
WEIGHTS_NARROW, WEIGHTS_WIDE, WEIGHTS_OFF_CENTRE = 0.001, 2.0, 0.1
MOSTLY_ZERO = 0.6
ROUNDING = 1e-3  # of the scores' standard deviation
MOST_BARS = 24
SLOW, HOPELESS = 30.0, 300.0  # times slower than its own multiplications would take


_Fault = tuple[Verdict, str, str]  # with what happened, and what to do


def loads(model: LoadedModel) -> CheckResult:
    """The model was built and has answered: say what it is."""
    size = f"{model.parameters / 1e6:.2f} million" if model.parameters >= 1e5 else f"{model.parameters:,}"
    return CheckResult(
        "loads", "Loads", 1, "pass", f"{model.task}, {size} parameters.", float(model.parameters), "parameters"
    )


# ---- shapes ----------------------------------------------------------------------------------------------------------


def shapes(model: LoadedModel) -> CheckResult:
    """Try small, odd and long inputs: batch of one, one token, the longest context."""
    with undisturbed(model.module), torch.no_grad():
        verdict, message, advice, longest = _edge_case_fault(model) or _longest_context(model)
    unit, bound = ("tokens", "every length up to the limit") if longest else ("", "")
    return CheckResult("shapes", "Shapes", 1, verdict, message, longest, unit, bound, advice)


_Shapes = tuple[Verdict, str, str, float | None]


def _edge_case_fault(model: LoadedModel) -> _Shapes | None:
    for rows, length, target in _edge_cases(model):
        if wrong := _wrong_shape(model, rows, length, target):
            size = f"{rows} x {length} tokens" if model.adapter.image is None else f"{rows} images"
            advice = "Mend forward so that any batch and length works."
            return "fail", f"An input of {size} fails: {wrong}.", advice, None
    return None


def _longest_context(model: LoadedModel) -> _Shapes:
    if model.task == "vision-classification":
        return "pass", f"Batches of 1 and 3 images of {model.adapter.image} work.", "", None
    limit, longest = model.context_limit, _longest(model)
    works = longest
    while wrong := _wrong_shape(model, 1, works, None):
        if works == limit:
            message = f"{works:,} tokens fail, though its position table has as many rows: {wrong}."
            return "fail", message, "Mend forward so that the whole position table can be used.", float(works)
        if (works := works // 2) < 8:
            return "fail", f"{works * 2} tokens fail: {wrong}.", "Mend forward so that longer texts work.", None
    if works < longest:
        advice = f"Keep data.context_length at {works:,} or less."
        return "warn", f"{works:,} tokens work, {works * 2:,} fail.", advice, float(works)
    if limit is None:
        message = f"Every length tried up to {works:,} tokens works; no limit was found."
    elif longest < limit:
        message = f"Every length tried up to {works:,} of {limit:,} tokens works."
    else:
        message = f"Every length up to its limit of {limit:,} tokens works; longer texts it can't read."
    return "pass", message, "", float(works)


def _edge_cases(model: LoadedModel) -> Iterator[tuple[int, int, int | None]]:
    few = usual_length(model, 5)
    if model.task == "seq2seq":
        yield from ((1, 1, 1), (3, few, min(few, 2)), (2, min(few, 3), few))
    else:
        yield from ((1, 1, None), (1, few, None), (3, min(few, 3), None))


def _longest(model: LoadedModel) -> int:
    """The longest text worth trying: the limit, unless it would take too much memory or time."""
    affordable = min(LARGEST_SCORES / choices(model), LARGEST_PASS / max(1, model.parameters), LONGEST_TRIED)
    return max(8, min(model.context_limit or 256, int(affordable))) if model.context_limit != 1 else 1


def _wrong_shape(model: LoadedModel, rows: int, length: int, target: int | None) -> str:
    batch = make_batch(model, rows=rows, length=length, target_length=target)
    try:
        scores = model.scores(batch)
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        return told(error)
    wanted = (*batch["labels"].shape, scores.shape[-1])
    if tuple(scores.shape) != wanted or scores.shape[-1] < choices(model):
        return f"the scores have the shape {tuple(scores.shape)} instead of {(*wanted[:-1], choices(model))}"
    return ""


# ---- gradients -------------------------------------------------------------------------------------------------------


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
    good: _Fault = ("pass", f"All {len(found)} parameters get a gradient.", "")
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


def _gradient_faults(found: list[_Gradient]) -> Iterator[_Fault]:
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


# ---- stability -------------------------------------------------------------------------------------------------------


def stability(model: LoadedModel) -> CheckResult:
    """See whether scores are numbers of a sensible size, and the same each time and in any company."""
    with undisturbed(model.module), filled_zeros(model.module), torch.no_grad():
        length = usual_length(model, 32)
        batch = make_batch(model, rows=4, length=length)
        scores, again = model.scores(batch).float(), model.scores(batch).float()
        alone = model.scores({role: value[:1] for role, value in batch.items()}).float()
        longer = scores
        if model.task != "vision-classification" and usual_length(model, 4 * length) > length:
            longer = model.scores(make_batch(model, rows=1, length=usual_length(model, 4 * length))).float()
    good: _Fault = ("pass", "Scores are steady, and the same each time.", "")
    verdict, message, advice = next(_stability_faults(scores, again, alone, longer), good)
    bound = f"between {FLAT:g} and {WILD:g}"
    spread = scores.std().item()
    return CheckResult("stability", "Stability", 1, verdict, message, spread, "standard deviation", bound, advice)


def _stability_faults(scores: Tensor, again: Tensor, alone: Tensor, longer: Tensor) -> Iterator[_Fault]:
    spread, spread_longer, mean = scores.std().item(), longer.std().item(), scores.mean().item()
    room = ROUNDING * max(spread, ROUNDING)
    if not scores.isfinite().all() or not longer.isfinite().all():
        yield "fail", "Some scores are not numbers (NaN or infinite).", "Look for divisions, logarithms and masks."
    if (again - scores).abs().max().item() > room:
        advice = "Use nn.Dropout, or pass training=self.training to functional.dropout."
        yield "fail", "The same input gives other scores each time, also when the model is not training.", advice
    if (alone - scores[:1]).abs().max().item() > room:
        advice = "Look for a missing batch_first=True, and for sums over the first dimension."
        yield "fail", "What an input gets depends on the others in its batch.", advice
    if spread > WILD:
        yield "fail", "The scores are very large.", "Add a norm before the output, or begin with smaller weights."
    if spread_longer > WILD:
        yield "fail", "The scores of long texts are very large.", "Normalise what is added up over positions."
    if abs(mean) > OFF_CENTRE:
        yield "warn", f"The scores lie around {mean:.3g}, not around 0.", "Begin the output bias at zero."
    if spread < FLAT:
        advice = "Look for a norm, a scale or an activation that swallows the signal."
        yield "fail", "All scores are nearly the same.", advice
    if spread_longer > 5 * spread:
        yield "warn", "The scores grow with the length of the text.", "Normalise what is added up over positions."


# ---- initialisation --------------------------------------------------------------------------------------------------


def initialisation(model: LoadedModel) -> CheckResult:
    """See whether the first weights are of a sensible size, and the first guess is about even."""
    even = math.log(choices(model))
    with undisturbed(model.module), torch.no_grad():
        first = loss_of(model, make_batch(model, rows=8, length=usual_length(model, 32))).item()
    good: _Fault = ("pass", f"The first loss is {first:.2f}; an even guess has {even:.2f}.", "")
    verdict, message, advice = next(_weight_faults(model.module, first, even), good)
    bound = f"about ln({choices(model):,}) = {even:.2f}"
    return CheckResult("initialisation", "First weights", 1, verdict, message, first, "nats", bound, advice)


def _weight_faults(module: nn.Module, first: float, even: float) -> Iterator[_Fault]:
    for name, parameter in module.named_parameters():
        if not parameter.isfinite().all():
            yield "fail", f"{name} holds values that are not numbers.", "Initialise it."
    weights = list(_weights(module))
    for name, weight in weights:
        if sentence := _odd(name, weight):
            yield "fail", sentence, "Begin with PyTorch's own values, or normal ones of 0.02."
    zero, every = sum(w.numel() for _, w in weights if not w.any()), sum(w.numel() for _, w in weights)
    if zero > MOSTLY_ZERO * every:
        yield (
            "fail",
            f"{zero / every:.0%} of the weights are zero.",
            "Only the last layer of a block may begin at zero.",
        )
    if not math.isfinite(first):
        yield "fail", "The first loss is not a number.", "Mend what the check of stability found."
    if first > 2 * even + 1:
        advice = "Begin the output layer, or the token table that it is tied to, smaller: normal values of 0.02."
        yield "warn", f"The first loss is {first:.1f}: the fresh model is wrong with confidence.", advice


def _weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The weights of usual layers; what a model does with a parameter of its own can't be known."""
    usual = (nn.Linear, nn.Embedding, nn.MultiheadAttention, nn.RNNBase, nn.Conv1d, nn.Conv2d, nn.Bilinear)
    for path, part in module.named_modules():
        if isinstance(part, usual):
            for name, parameter in part.named_parameters(recurse=False):
                if parameter.dim() > 1 and parameter.numel() >= 64:
                    yield f"{path}.{name}".lstrip("."), parameter.detach().float()


def _odd(name: str, weight: Tensor) -> str:
    if not weight.any():
        return ""  # a layer that begins at zero is good practice
    mean, spread = weight.mean().item(), weight.std().item()
    if spread < WEIGHTS_NARROW:
        return f"All values of {name} are nearly the same (standard deviation {spread:.2g})."
    if spread > WEIGHTS_WIDE:
        return f"The values of {name} are very large (standard deviation {spread:.3g})."
    if abs(mean) > WEIGHTS_OFF_CENTRE:
        return f"The values of {name} lie around {mean:.2g}, not around 0."
    return ""


# ---- causality -------------------------------------------------------------------------------------------------------


def causality(model: LoadedModel) -> CheckResult:
    """See whether a language model looks at the tokens that it shall predict."""
    if "classification" in model.task:
        return _causality_result(None, "pass", "Not needed: a classifier may look at its whole input.")
    found = measure_causality(model)
    if found.moved is None:
        return _causality_result(None, "unknown", found.why_not, "Mend what the other checks found, then check again.")
    if model.task == "masked-lm":
        good: _Fault = ("pass", "Every position sees the tokens on both sides, as it should.", "")
        advice = "A model for masked tokens needs no causal mask: take it out, or train it as causal-lm."
        bad: _Fault = ("warn", "Each position sees the tokens before it only.", advice)
        return _causality_result(found, *(good if found.leaks else bad))
    good = ("pass", "Later tokens change no earlier score.", "")
    advice = "Give its attention a causal mask; without one a wonderful loss means nothing."
    bad = ("fail", "Changing later tokens moves earlier scores: the model sees what it shall predict.", advice)
    return _causality_result(found, *(bad if found.leaks else good))


def _causality_result(found: Causality | None, verdict: Verdict, message: str, advice: str = "") -> CheckResult:
    result = CheckResult("causality", "Causality", 1, verdict, message, advice=advice)
    if found is None:
        return result
    picture = {
        "kind": "heatmap",
        "title": "how far each score moves when the tokens from a place on are others",
        "rows": "first changed token",
        "columns": "score",
        "values": [[round(min(value, 1e6), 4) for value in row] for row in found.moves],
    }
    bound = f"at most {found.tolerance:.1g}"
    return replace(result, value=found.moved, unit="standard deviations", threshold=bound, picture=picture)


# ---- memory and speed ------------------------------------------------------------------------------------------------


def memory(model: LoadedModel) -> CheckResult:
    """Measure the peak of a training step, and whether memory is given back afterwards."""
    batch = usual_batch(model)
    device = device_of(model.module)
    size = _size(batch)

    def result(verdict: Verdict, message: str, advice: str = "", value: float | None = None) -> CheckResult:
        bound = "no more after every step than before it"
        return CheckResult("memory", "Memory", 1, verdict, message, value, "MB", bound, advice)

    try:
        with undisturbed(model.module, training=True):
            step = trial_step(model)
            with peak_memory(device) as peak:
                step(batch)
            step(batch)  # what is made once, such as a table of rotations, is made now
            growth = left_behind(lambda: step(batch))
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
            raise
        return result("fail", f"A training step with {size} does not fit: {told(error)}.", "Make the model smaller.")
    if growth > 0:
        return result(
            "fail",
            f"Each step leaves {megabytes(growth)} behind, so memory will run out.",
            "Keep no outputs or losses in lists on the model; keep loss.item() instead.",
            peak.bytes / 1e6,
        )
    return result("pass", f"A training step with {size} takes {megabytes(peak.bytes)} at most.", value=peak.bytes / 1e6)


def speed(model: LoadedModel) -> CheckResult:
    """Measure tokens (or images) a second, forward only and in a training step."""
    batch = usual_batch(model)
    unit = "images/s" if model.task == "vision-classification" else "tokens/s"
    count = tokens_in(batch)
    with undisturbed(model.module, training=True):
        step = trial_step(model)
        training = seconds_for(lambda: step(batch), times=1)
        with torch.no_grad():
            forward = seconds_for(lambda: model.scores(batch), times=2)
    # A forward pass multiplies each token with each weight about once; small models are bound by their many calls.
    own = 2 * model.parameters * count / matrix_speed(device_of(model.module)) + 0.01
    slower = forward / own
    verdict: Verdict = "pass" if slower < SLOW else "warn" if slower < HOPELESS else "fail"
    return CheckResult(
        "speed",
        "Speed",
        1,
        verdict,
        f"{count / training:,.0f} {unit} in training, {count / forward:,.0f} forward only, with {_size(batch)}.",
        count / training,
        unit,
        f"at most {SLOW:g} times what its multiplications take",
        "" if verdict == "pass" else f"It is {slower:,.0f} times slower: look for Python loops over tokens in forward.",
    )


def _size(batch: Batch) -> str:
    if "images" in batch:
        return f"{len(batch['images'])} images"
    rows, length = batch["tokens"].shape
    return f"{rows} x {length} tokens"


TIER_1: tuple[Callable[[LoadedModel], CheckResult], ...] = (
    loads,
    shapes,
    gradients,
    stability,
    initialisation,
    causality,
    memory,
    speed,
)
