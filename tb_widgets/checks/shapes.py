"""Whether a model takes inputs of every size that training can give it."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tb_widgets.checks.inputs import choices, make_batch, usual_length
from tb_widgets.checks.result import CheckResult, Verdict
from tb_widgets.models.load import LoadedModel
from tb_widgets.models.quoted_error import quoted_error
from tb_widgets.models.undisturbed import undisturbed
from tb_widgets.spec import TASKS

LARGEST_LOGITS = 64e6  # numbers: 256 MB
LARGEST_PASS = 5e10  # multiplications: about a second on two cores
LONGEST_TRIED = 2048  # tokens


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
            size = f"{rows} × {length} tokens" if model.adapter.image is None else f"{rows} images"
            advice = "Make forward accept any batch size and length."
            return "fail", f"An input of {size} fails: {wrong}.", advice, None
    return None


def _longest_context(model: LoadedModel) -> _Shapes:
    if TASKS[model.task].reads_images:
        return "pass", f"Batches of 1 and 3 images of {model.adapter.image} work.", "", None
    limit, longest = model.context_limit, _longest(model)
    works = longest
    while wrong := _wrong_shape(model, 1, works, None):
        if works == limit:
            message = f"{works:,} tokens fail, although the position embedding has as many rows: {wrong}."
            return (
                "fail",
                message,
                "Make forward accept as many tokens as the position embedding has rows.",
                float(works),
            )
        if (works := works // 2) < 8:
            return "fail", f"{works * 2} tokens fail: {wrong}.", "Make forward accept longer texts.", None
    if works < longest:
        advice = f"Keep data.context_length at {works:,} or less."
        return "warn", f"{works:,} tokens work, {works * 2:,} fail.", advice, float(works)
    if limit is None:
        message = f"Every length tried up to {works:,} tokens works; no limit found."
    elif longest < limit:
        message = f"Every length tried up to {works:,} of {limit:,} tokens works."
    else:
        message = f"Every length up to its limit of {limit:,} tokens works; it can't read longer texts."
    return "pass", message, "", float(works)


def _edge_cases(model: LoadedModel) -> Iterator[tuple[int, int, int | None]]:
    few = usual_length(model, 5)
    if model.task == "seq2seq":
        yield from ((1, 1, 1), (3, few, min(few, 2)), (2, min(few, 3), few))
    else:
        yield from ((1, 1, None), (1, few, None), (3, min(few, 3), None))


def _longest(model: LoadedModel) -> int:
    """The longest text worth trying: the limit, unless it would take too much memory or time."""
    affordable = min(LARGEST_LOGITS / choices(model), LARGEST_PASS / max(1, model.parameters), LONGEST_TRIED)
    return max(8, min(model.context_limit or 256, int(affordable))) if model.context_limit != 1 else 1


def _wrong_shape(model: LoadedModel, rows: int, length: int, target: int | None) -> str:
    batch = make_batch(model, rows=rows, length=length, target_length=target)
    try:
        logits = model.logits(batch)
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        return quoted_error(error)
    wanted = (*batch["labels"].shape, logits.shape[-1])
    if tuple(logits.shape) != wanted or logits.shape[-1] < choices(model):
        return f"the logits have the shape {tuple(logits.shape)} instead of {(*wanted[:-1], choices(model))}"
    return ""
