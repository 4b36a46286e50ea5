"""Which mask keeps padding out of sight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from tb_widgets.errors import ModelError
from tb_widgets.models.adapter import Adapter
from tb_widgets.models.probe.case import Case
from tb_widgets.models.probe.causality import is_causal
from tb_widgets.models.probe.signature import PADDING, PADDING_FORMS
from tb_widgets.models.probe.trial import LENGTH, moved


def find_mask(case: Case, adapter: Adapter) -> Adapter:
    """Give the model its padding mask, in the convention that keeps padding from changing logits."""
    names = [n for n in case.reading.masks if n in PADDING and not is_causal(adapter, n)]
    wanted = case.spec.mask
    if wanted == "none":
        case.say("mask", "none", "Set by model.mask.", "model.mask")
        return adapter
    if not names:
        return _without_mask(case, adapter)
    if wanted == "auto" and adapter.task == "causal-lm" and not adapter.leaks and not _given(adapter):
        case.say("mask", "none", "Padding follows the text, where a causal model can't see it.", "model.mask")
        return adapter
    runs: Adapter | None = None
    for name, masked in _masked_ways(case, adapter, names):
        required = name in case.reading.required
        bare = replace(adapter, extras={n: e for n, e in adapter.extras.items() if n not in names})
        try:
            hides = _hides_padding(case, masked, None if required else bare)
        except Exception:  # noqa: BLE001, S112  (then it is another convention)
            continue
        runs = runs or (masked if wanted != "auto" or required else None)
        if hides:
            why = "With it, padding tokens change no logits of the text."
            case.say("mask", f"{name}: {masked.mask}", why, "model.mask")
            return masked
    if runs is None and wanted != "auto":
        raise ModelError(
            f"model.mask: forward fails when {' or '.join(names)} is given as {wanted}.",
            hint="Set model.mask to auto or none.",
        )
    if runs is None:
        why = f"No convention of {' or '.join(names)} hides padding: the model sees padding as text."
        case.say("mask", "none", why, "model.mask")
        return adapter
    said = "Set by model.mask" if wanted != "auto" else "forward requires one"
    case.say(
        "mask", f"{runs.arguments['mask']}: {runs.mask}", f"{said}; the model sees padding all the same.", "model.mask"
    )
    return runs


def _without_mask(case: Case, adapter: Adapter) -> Adapter:
    if case.spec.mask != "auto":
        raise ModelError("model.mask: forward takes no mask for padding.", hint="Set model.mask to auto or none.")
    lengths = any(extra.recipe == "lengths" for extra in adapter.extras.values())
    if lengths and _hides_padding(case, adapter, None):
        case.say("mask", "by length", "With the lengths of the texts, padding tokens change no logits.")
    elif adapter.task != "causal-lm":
        sees = "the model sees padding as text"
        if adapter.hides_padding_id:
            sees = f"the model hides token {adapter.padding_id} itself, but sees other padding as text"
        case.say("mask", "none", f"forward takes no mask: {sees}.", "model.mask")
    return adapter


def _masked_ways(case: Case, adapter: Adapter, names: list[str]) -> Iterator[tuple[str, Adapter]]:
    """Yield the mask arguments with each convention that may be meant."""
    # The decoder's look at the source has a mask of its own in some models, for the same padding.
    memory = [n for n in case.reading.masks if n.startswith("memory") and "pad" in n]
    for name in names:
        for form in PADDING_FORMS:
            if case.spec.mask not in ("auto", form.convention, {"numbers": "keep"}.get(form.convention)):
                continue
            given = [*memory, *([name] if name in case.reading.required else [])]
            yield (
                name,
                replace(
                    adapter,
                    arguments={**adapter.arguments, "mask": name},
                    mask=form.convention,
                    mask_axes=form.axes,
                    extras={**adapter.extras, **dict.fromkeys(given, form)},
                ),
            )


def _given(adapter: Adapter) -> bool:
    return any(extra.recipe == "padding" for extra in adapter.extras.values())


def _hides_padding(case: Case, adapter: Adapter, bare: Adapter | None) -> bool:
    """Tell whether padding does not count under a mask, all else being read as before."""
    batch = case.batch(adapter)
    real = torch.ones_like(batch["tokens"], dtype=torch.bool)
    full = adapter.logits(case.trial.module, {**batch, "mask": real})
    if not torch.isfinite(full).all():
        return False
    if bare is not None and moved(case.trial.logits(bare, batch), full.float()):
        return False
    end = LENGTH - 2
    real = real.clone()
    real[0, end:] = False
    padded = {**batch, "mask": real}
    other = dict(padded)
    other["tokens"] = batch["tokens"].clone()
    other["tokens"][0, end:] = case.trial.other(batch["tokens"][0, end:], adapter.vocab_size)
    before, after = adapter.logits(case.trial.module, padded), adapter.logits(case.trial.module, other)
    per_token = adapter.task in ("causal-lm", "masked-lm")
    kept = (before[:1, :end], after[:1, :end]) if per_token else (before[:1], after[:1])
    if not all(torch.isfinite(part).all() for part in kept):
        return False
    unmasked = {**other, "mask": torch.ones_like(real)}
    scale = (full - adapter.logits(case.trial.module, unmasked)).abs().max()
    return not moved(kept[0], kept[1], scale) and not moved(before[1:], full[1:])
