"""Where the logits are in what a forward returns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from tb_widgets.errors import ModelError
from tb_widgets.models.adapter import Adapter, Conclusion, leaves
from tb_widgets.models.probe.case import Case, Found
from tb_widgets.models.probe.trial import (
    DECODER_LENGTH,
    LENGTH,
    PROBABILITIES,
    ROWS,
    Seen,
    are_probabilities,
    shapes_in_words,
)
from tb_widgets.spec import Task


def find_logits(case: Case, adapter: Adapter, found: Found) -> tuple[Adapter, Found]:
    """Choose the tensor that holds the logits, by its shape, and complete what it lacks."""
    output, seen = found
    tensors = may_hold_logits(output, case.spec.output)
    rows = case.rows(seen, "decoder_tokens" if adapter.task == "seq2seq" else "tokens")
    options = [(key, layout, leaf) for key, leaf in tensors if (layout := layout_of(leaf, adapter))]
    chosen = next((o for o in options if o[1] != "text" and rows in (None, o[2].shape[-1])), None)
    chosen = chosen or (options[0] if options else None)
    if _is_one_per_text(tensors[0][1] if chosen is None else chosen[2]):
        raise ModelError(
            f"For token ids of shape ({ROWS}, {LENGTH}) the model's forward returned "
            f"{shapes_in_words([tensors[0] if chosen is None else chosen[::2]])}: one logit per text. "
            "It is a binary classifier with a single logit, which can't be trained here.",
            hint="Give its last layer two outputs, for no and yes, and return them without a sigmoid.",
        )
    if chosen is None:
        raise ModelError(
            f"For token ids of shape ({ROWS}, {LENGTH}) the model's forward returned {shapes_in_words(tensors)}"
            f"{told_by(case.spec.output)}.",
            hint=f"A language model returns logits of shape ({ROWS}, {LENGTH}, vocabulary), a classifier "
            f"({ROWS}, classes).",
        )
    key, layout, leaf = chosen
    last_only = layout == "text" and (leaf.dim() == 3 or leaf.shape[-1] == rows) and "tokens" in adapter.arguments
    if last_only and case.reading.labels and "labels" not in adapter.arguments:
        told = replace(adapter, arguments={**adapter.arguments, "labels": case.reading.labels})
        try:
            again = case.trial.watch(told, case.trial.first_batch(decoder=False))
        except Exception:  # noqa: BLE001  (labels of another kind: then these are not targets)
            again = None
        if again is not None and any(layout_of(t, told) not in ("", "text") for _, t in leaves(again[0])):
            case.say(
                "output",
                f"logits of every position when {case.reading.labels} is given",
                "Without it, forward returns only the logits of the last position.",
            )
            return find_logits(case, told, again)
    if said := conclusion(output, key, case.spec.output):
        case.conclusions.append(said)
    if layout == "flat":
        why = "Inferred from the shape of forward's output; reordered for the loss."
        case.say("output", "all texts in one: (B * T, V)", why, "model.output")
    task: Task = "sequence-classification" if layout == "text" else adapter.task
    adapter = replace(adapter, output=key, layout="btv" if layout == "text" else layout, task=task)
    return _complete(case, adapter, leaf, seen, rows), found


def may_hold_logits(output: Any, wanted: str | None) -> list[tuple[str | int | None, Tensor]]:
    """Return the tensors of what a forward returned that may be the logits: the one that the user names, or all.

    Raises
    ------
    ModelError
        If there is no tensor, or none of that name.
    """
    tensors = leaves(output)
    if wanted is None:
        return tensors
    named = [(key, leaf) for key, leaf in tensors if str(key) == wanted]
    if not named:
        one = tensors[0][0] is None
        names = ", ".join(f"{key} {tuple(leaf.shape)}" for key, leaf in tensors)
        raise ModelError(
            f"model.output: forward returns {'a single tensor' if one else f'no tensor {wanted!r}'}.",
            hint="Leave model.output empty." if one else f"It returns {names}.",
        )
    return named


def told_by(wanted: str | None) -> str:
    """Say, at the end of a sentence about the output, that the user has chosen it."""
    return f" (model.output is {wanted})" if wanted else ""


def conclusion(output: Any, key: str | int | None, wanted: str | None) -> Conclusion | None:
    """Say which of several tensors the logits are; ``None`` where there is no choice."""
    others = [str(name) for name, _ in leaves(output) if name != key]
    counted = isinstance(output, tuple | list)
    if wanted:
        return Conclusion("output", wanted, "Set by model.output.", "model.output")
    if not others:
        return None
    rest = f"{'item' if len(others) == 1 else 'items'} " if counted else ""
    why = f"It has the shape of logits; forward also returns {rest}{' and '.join(others)}."
    return Conclusion("output", f"item {key} of {len(output)}" if counted else str(key), why, "model.output")


def _complete(case: Case, adapter: Adapter, leaf: Tensor, seen: Seen, rows: int | None) -> Adapter:
    """Find the head that forward leaves out, and tell probabilities from logits."""
    width = leaf.shape[-1]
    if adapter.task != "sequence-classification" and rows is not None and width < rows:
        head = _unused_head(case, leaf, seen, rows)
        if not head:
            raise ModelError(
                f"The model's vocabulary has {rows:,} tokens, but it returns {width:,} logits per token: the output "
                "layer is missing, or it is a tagger, which can't be trained here.",
                hint=f"End forward with a linear layer to {rows:,} logits for a language model, or return one row of "
                "logits per text for a classifier.",
            )
        case.say(
            "output", f"{head} of the output of forward", f"forward stops before {head}, which computes the logits."
        )
        adapter = replace(adapter, head=head)
        leaf = case.trial.module.get_submodule(head)(leaf)
    if are_probabilities(leaf):
        case.conclusions.append(PROBABILITIES)
        adapter = replace(adapter, probabilities=True)
    return adapter


def layout_of(leaf: Tensor, adapter: Adapter) -> str:
    """Tell how the logits lie in a tensor; empty where they can't be in it, ``text`` for one row per text."""
    length = DECODER_LENGTH if adapter.task == "seq2seq" else LENGTH
    shape = tuple(leaf.shape)
    if not leaf.is_floating_point():
        return ""
    if len(shape) == 3 and shape[:2] in {(ROWS, length), (length, ROWS)}:
        rows_first = shape[0] == ROWS
        return "btv" if rows_first != adapter.sequence_first else "tbv"
    if len(shape) == 2 and shape[0] == ROWS * length:
        return "flat"
    one_row = len(shape) == 2 or (len(shape) == 3 and 1 in shape[:2])
    return "text" if one_row and ROWS in shape[:2] and adapter.task != "seq2seq" else ""


def _is_one_per_text(leaf: Tensor) -> bool:
    return leaf.is_floating_point() and tuple(leaf.shape) in {(ROWS,), (ROWS, 1), (ROWS, 1, 1)}


def _unused_head(case: Case, leaf: Tensor, seen: Seen, rows: int) -> str:
    name: str
    for name, part in case.trial.module.named_modules():
        if not name or name in seen.called:
            continue
        try:
            logits: Any = part(leaf)
        except Exception:  # noqa: BLE001, S112  (then it is no head for this)
            continue
        if isinstance(logits, Tensor) and logits.shape[:-1] == leaf.shape[:-1] and logits.shape[-1] >= rows:
            return name
    return ""
