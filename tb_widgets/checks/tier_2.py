"""Tier 2: a closer look at what a model attends to, what its answers hang on, and how steady they are.

Each check leaves the model as it was, and says that it could not tell where it sees nothing to judge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tb_widgets.checks.attention import Attention, watch_attention
from tb_widgets.checks.inputs import make_batch, usual_length
from tb_widgets.checks.result import CheckResult, Verdict
from tb_widgets.models.load import LoadedModel
from tb_widgets.models.undisturbed import filled_zeros, undisturbed
from tb_widgets.spec import TASKS
from tb_widgets.spec.batch import Batch
from tb_widgets.wording import counted

_LENGTH = 13  # tokens: no usual number of heads, of features or of anything else
COLLAPSED = 0.02  # share of the maximum entropy that is possible
UNIFORM = 1e-5  # largest relative difference between the weights of one row
_NOTHING = 1e-6  # share of the whole
NOISE = 0.01  # of the standard deviation of what is disturbed
_WILD = 30.0  # times as much change as went in
_MOST_CELLS = 16

_Fault = tuple[Verdict, str, str]


# ---- attention -------------------------------------------------------------------------------------------------------


def attention(model: LoadedModel) -> CheckResult:
    """Look at the attention patterns: entropy of each head, heads that see one place only, heads that see all alike."""
    length = usual_length(model, _LENGTH)
    with undisturbed(model.module), filled_zeros(model.module), torch.no_grad():
        batch = make_batch(model, rows=2, length=length, target_length=length)
        with watch_attention() as seen:
            model.logits(batch)
    result = CheckResult("attention", "Attention", 2, "unknown", "No attention layers found.")
    if not seen:
        return result
    spread = torch.cat([attention.entropies().flatten() for attention in seen])
    finite = spread[spread.isfinite()]
    size = f"{counted(len(spread), 'head')}, {counted(len(seen), 'layer')}"
    good: _Fault = ("pass", f"Attention is neither uniform nor stuck on one position ({size}).", "")
    verdict, message, advice = next(_attention_faults(seen, spread), good)
    return CheckResult(
        "attention",
        "Attention",
        2,
        verdict,
        message,
        finite.mean().item() if len(finite) else None,
        "of the maximum entropy",
        f"more than {COLLAPSED:g} per head",
        advice,
        _attention_picture(seen[0]),
    )


def _attention_faults(seen: list[Attention], spread: Tensor) -> Iterator[_Fault]:
    if any(not attention.weights.isfinite().all() for attention in seen):
        advice = "Check for a mask that hides everything from a position."
        yield "fail", "Some attention weights are NaN.", advice
    wrong = [attention for attention in seen if not attention.rows_sum_to_one]
    if wrong:
        advice = "Take the softmax over the last dimension, the keys: dim=-1."
        yield "fail", "Attention weights do not sum to 1: the softmax runs over the wrong dimension.", advice
    total = len(spread)
    narrow = int((spread < COLLAPSED).sum())
    if narrow:
        verdict: Verdict = "fail" if 2 * narrow > total else "warn"
        advice = "Divide the query-key products by the square root of the head width, and check the mask."
        yield verdict, f"{narrow} of {total} heads attend to a single position.", advice
    alike = sum(int(attention.uniform_heads().sum()) for attention in seen)
    if alike:
        verdict = "fail" if 2 * alike > total else "warn"
        advice = "Check for queries or keys that are the same at every position."
        yield verdict, f"{alike} of {total} heads attend to all positions equally, whatever the tokens.", advice


def _attention_picture(first: Attention) -> dict[str, Any]:
    weights = first.weights[0].mean(0)[:_MOST_CELLS, :_MOST_CELLS].nan_to_num().cpu()
    return {
        "kind": "heatmap",
        "title": "attention of the first layer, averaged over its heads",
        "rows": "query position",
        "columns": "key position",
        "values": [[round(value, 4) for value in row] for row in weights.tolist()],
    }


# ---- attribution -----------------------------------------------------------------------------------------------------


def attribution(model: LoadedModel) -> CheckResult:
    """See what an answer hangs on, by gradient times input: the input at all, and more than one place of it."""
    length = usual_length(model, _LENGTH)
    with undisturbed(model.module), filled_zeros(model.module):
        batch = make_batch(model, rows=2, length=length, target_length=length)
        with _felt_inputs(model, batch) as felt:
            logits = model.logits(batch)
        if not felt or not logits.requires_grad:
            why = "No token embedding found, so there is nothing to attribute to."
            return _attribution_result("unknown", why)
        _answer(model, logits).backward()  # type: ignore[no-untyped-call]
        # Summed over features, and over the tables that a token is looked up in.
        shares = _shares(felt)
    if not shares.isfinite().all():
        return _attribution_result("unknown", "The gradients are NaN.", "Fix what the other checks found.")
    if TASKS[model.task].reads_images:
        return _judge_image(shares)
    return _judge_tokens(model, shares)


def _judge_tokens(model: LoadedModel, shares: Tensor) -> CheckResult:
    total = shares.sum().item()
    others = 1 - (shares.max() / total).item() if total > 0 else 0.0
    where = "the last token" if model.task == "causal-lm" else "one token"
    read = "the source" if model.task == "seq2seq" else "the text"
    picture = {
        "kind": "bars",
        "title": "how much each token affects one prediction",
        "labels": [str(place) for place in range(1, len(shares) + 1)],
        "values": [round(value, 6) for value in (shares / max(total, 1e-30)).tolist()],
    }
    if total == 0:
        advice = "Trace the input through forward: it is dropped or detached somewhere."
        return _attribution_result("fail", f"The output does not depend on {read} at all.", advice, 0.0, picture)
    if len(shares) > 1 and others < _NOTHING:
        advice = "Check for missing attention or recurrence, or a mask that hides all other positions."
        return _attribution_result("fail", f"The output depends on {where} alone.", advice, others, picture)
    return _attribution_result("pass", f"The output depends on several positions of {read}.", "", others, picture)


def _judge_image(shares: Tensor) -> CheckResult:
    used = (shares > _NOTHING * shares.max()).float().mean().item()
    rows = nn.functional.adaptive_avg_pool2d(shares[None], min(_MOST_CELLS, *shares.shape))[0]
    picture = {
        "kind": "heatmap",
        "title": "how much each part of the image affects one prediction",
        "rows": "top to bottom",
        "columns": "left to right",
        "values": [[round(v, 6) for v in row] for row in (rows / rows.max().clamp(min=1e-30)).tolist()],
    }
    if shares.max() == 0:
        advice = "Trace the image through forward: it is dropped or detached somewhere."
        return _attribution_result("fail", "The output does not depend on the image at all.", advice, 0.0, picture)
    if used < 0.5:
        advice = "Check for a stride, crop or patch selection that drops the rest."
        return _attribution_result(
            "warn", f"Only {100 * used:.0f} % of the image affects the output.", advice, used, picture
        )
    return _attribution_result("pass", f"{100 * used:.0f} % of the image affects the output.", "", used, picture)


def _attribution_result(
    verdict: Verdict,
    message: str,
    advice: str = "",
    value: float | None = None,
    picture: dict[str, Any] | None = None,
) -> CheckResult:
    unit, bound = "of the output depends on other positions", f"more than {_NOTHING:g}"
    return CheckResult("attribution", "Attribution", 2, verdict, message, value, unit, bound, advice, picture)


@contextmanager
def _felt_inputs(model: LoadedModel, batch: Batch) -> Iterator[list[Tensor]]:
    """Collect what the model makes of its input first (rows of its tables, or the image), with gradients to come."""
    felt: list[Tensor] = []
    if "images" in batch:
        batch["images"].requires_grad_()
        felt.append(batch["images"])
        yield felt
        return
    ids = batch["tokens"]

    def feel(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        # A sequence-first model turns them round before it looks them up.
        if inputs and isinstance(inputs[0], Tensor) and inputs[0].shape[:2] in (ids.shape, ids.T.shape):
            same = inputs[0] if inputs[0].shape[:2] == ids.shape else inputs[0].T
            if same.shape == ids.shape and torch.equal(same, ids) and output.requires_grad:
                output.retain_grad()
                felt.append(output)

    hooks = [part.register_forward_hook(feel) for part in model.module.modules() if isinstance(part, nn.Embedding)]
    try:
        yield felt
    finally:
        for hook in hooks:
            hook.remove()


def _answer(model: LoadedModel, logits: Tensor) -> Tensor:
    """The best logit of one place: the last for a model that goes forward, else one in the middle."""
    if "classification" in model.task:
        return logits[0].max()
    place = -1 if model.task == "causal-lm" else logits.shape[1] // 2
    return logits[0, place].max()


def _shares(felt: list[Tensor]) -> Tensor:
    """How much each place counts: ``(T,)`` for tokens, ``(H, W)`` for images."""
    total: Tensor | None = None
    for value in felt:
        gradient = torch.zeros_like(value) if value.grad is None else value.grad
        if value.dim() == 4:
            product = (gradient[0] * value.detach()[0]).sum(0).abs()
        else:
            product = (gradient * value.detach()).sum(-1).abs()
            product = product[0] if product.shape[0] == 2 else product[:, 0]
        total = product if total is None else total + product
    return (total if total is not None else torch.zeros(0)).float().cpu()


# ---- robustness ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Changes:
    """What moved the logits by how much, in standard deviations of the logits; ``None`` where it was not tried.

    ``noise`` is relative to the noise that went in; ``swap`` is for two tokens that change places; ``padding`` for
    other tokens where the mask says that none are.
    """

    noise: float | None
    swap: float | None
    padding: float | None


def robustness(model: LoadedModel) -> CheckResult:
    """Disturb the input a little: noise, two tokens that change places, other tokens under the padding."""
    with undisturbed(model.module), filled_zeros(model.module), torch.no_grad():
        changes = _changes(model)
    good: _Fault = ("pass", "Small input changes move the logits only a little.", "")
    verdict, message, advice = next(_robustness_faults(model, changes), good)
    bound = f"at most {_WILD:g} times the noise"
    unit = "times the noise"
    return CheckResult("robustness", "Robustness", 2, verdict, message, changes.noise, unit, bound, advice)


def _changes(model: LoadedModel) -> _Changes:
    length = usual_length(model, _LENGTH)
    batch = make_batch(model, rows=4, length=length, target_length=length)

    def logits(changes: Batch) -> Tensor:
        torch.manual_seed(0)  # what is drawn at random in the forward pass is the same each time
        return model.logits(batch | changes).float()

    before = logits({})
    scale = max(before.std().item(), 1e-12)
    noise = swap = padding = None
    with _noise_in_tables(model.module) as disturbed:
        noisy: Batch = {}
        if "images" in batch:
            noisy = {"images": batch["images"] + _noise_like(batch["images"], 0.5)}
        after = logits(noisy)
    if disturbed or noisy:
        noise = (after - before).std().item() / scale / NOISE
    if "tokens" in batch and length > 3:
        order = torch.tensor([1, 0, *range(2, length)])
        swapped = logits({"tokens": batch["tokens"][:, order]})
        # Where each answer belongs to a token, those of the two that moved are not compared.
        kept = slice(2, None) if model.task in ("causal-lm", "masked-lm") else slice(None)
        swap = (swapped[:, kept] - before[:, kept]).abs().max().item() / scale
    if "mask" in model.adapter.arguments and length > 3:
        padded = make_batch(model, rows=4, length=length, target_length=length, padded=True)
        other = make_batch(model, rows=4, length=length, seed=1)["tokens"]
        moved = (
            logits(padded) - logits(padded | {"tokens": torch.where(padded["mask"], padded["tokens"], other)})
        ).abs()
        if model.task in ("causal-lm", "masked-lm"):
            moved = moved[padded["mask"]]
        padding = moved.nan_to_num(nan=math.inf).max().item() / scale
    return _Changes(noise, swap, padding)


def _noise_like(value: Tensor, spread: float) -> Tensor:
    # A generator of its own: dropout that is always on must draw the same with noise as without.
    drawn = torch.randn(value.shape, generator=torch.Generator().manual_seed(1))
    return NOISE * spread * drawn.to(value.device, value.dtype)


@contextmanager
def _noise_in_tables(module: nn.Module) -> Iterator[list[nn.Module]]:
    """Add a little noise to every row that is looked up."""
    disturbed: list[nn.Module] = []

    def disturb(table: nn.Module, _: Any, output: Tensor) -> Tensor:
        disturbed.append(table)
        return output + _noise_like(output, output.std().item())

    hooks = [part.register_forward_hook(disturb) for part in module.modules() if isinstance(part, nn.Embedding)]
    try:
        yield disturbed
    finally:
        for hook in hooks:
            hook.remove()


def _robustness_faults(model: LoadedModel, changes: _Changes) -> Iterator[_Fault]:
    if changes.padding is not None and changes.padding > 1e-3:
        advice = "Pass the mask to every attention layer, and exclude padding from means."
        yield "fail", "Padding tokens change the output, although the mask hides them.", advice
    if changes.noise is not None and not changes.noise <= _WILD:
        advice = "Add a norm, and check for very large factors."
        yield "fail", f"The model amplifies input noise {changes.noise:,.0f} times.", advice
    if changes.swap is not None and changes.swap < 1e-5 and model.task != "causal-lm":
        advice = "Add a position embedding if order matters for the task."
        yield "warn", "Swapping two tokens changes no other prediction: the model ignores token order.", advice
    if changes.noise is None and changes.padding is None:
        yield "unknown", "No token embedding found to add noise to.", ""


TIER_2: tuple[Callable[[LoadedModel], CheckResult], ...] = (attention, attribution, robustness)
