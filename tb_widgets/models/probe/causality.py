"""Whether earlier logits see later tokens, and which mask keeps them from it."""

from __future__ import annotations

from dataclasses import replace

from tb_widgets.models.adapter import Adapter, Extra
from tb_widgets.models.probe.case import ARGUMENTS, Case
from tb_widgets.models.probe.trial import moved


def sees_later(case: Case, adapter: Adapter, role: str, *, must_read: bool = False) -> bool:
    """Tell whether an earlier logit moves when the later tokens change."""
    rows = adapter.decoder_vocab_size if role == "decoder_tokens" else adapter.vocab_size
    batch, before = case.base(adapter)
    half = batch[role].shape[1] // 2
    changed = dict(batch)
    changed[role] = batch[role].clone()
    changed[role][:, half:] = case.trial.other(batch[role][:, half:], rows)
    after = case.trial.logits(adapter, changed)
    scale = (before - after).abs().max()
    if must_read:
        changed[role] = batch[role].clone()
        changed[role][:, :half] = case.trial.other(batch[role][:, :half], rows)
        if not moved(before[:, -1], case.trial.logits(adapter, changed)[:, -1]):
            return True  # it hides everything: no causal mask
    return moved(before[:, :half], after[:, :half], scale)


def answers_late(case: Case, adapter: Adapter) -> bool:
    """Tell whether a decoder's logits at a place are those for its own token, and not for the one after it."""
    batch, before = case.base(adapter)
    place = batch["decoder_tokens"].shape[1] // 2
    changed = {**batch, "decoder_tokens": batch["decoder_tokens"].clone()}
    changed["decoder_tokens"][:, place] = case.trial.other(
        batch["decoder_tokens"][:, place], adapter.decoder_vocab_size
    )
    after = case.trial.logits(adapter, changed)
    moves = moved(before[:, place + 1], after[:, place + 1])
    return moves and not moved(before[:, : place + 1], after[:, : place + 1], (before - after).abs().max())


def hiding_mask(case: Case, adapter: Adapter, role: str, name: str, forms: tuple[Extra, ...]) -> Adapter | None:
    """Give a mask argument the causal mask, in the convention that hides later tokens."""
    for form in forms:
        masked = replace(adapter, extras={**adapter.extras, name: form})
        try:
            hides = not sees_later(case, masked, role, must_read=True)
        except Exception:  # noqa: BLE001, S112  (then it is another convention)
            continue
        if hides:
            case.say(
                "causal mask",
                f"{name}: {form.convention}",
                "With it, later tokens change no earlier logits.",
                ARGUMENTS,
            )
            return masked
    return None


def is_causal(adapter: Adapter, name: str) -> bool:
    """Tell whether an argument is given the causal mask."""
    return name in adapter.extras and adapter.extras[name].recipe.endswith("causal")
