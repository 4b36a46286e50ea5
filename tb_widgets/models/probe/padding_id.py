"""Which token id a model takes for padding by itself, whatever the tokenizer means by it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from tb_widgets.models.adapter import Adapter
from tb_widgets.models.probe.case import Case, same_tokens
from tb_widgets.models.probe.trial import LENGTH, moved

_USUAL = 0
FIRST_DRAWN = 5  # below it lie the ids that trial tokens leave alone
PLACE = 1  # of the token that is looked at: later ones of a causal model can see it


def find_padding_id(case: Case, adapter: Adapter) -> Adapter:
    """Find the token id that never learns (``padding_idx`` of its table), or whose place is hidden from the others."""
    tables = _token_tables(case, adapter)
    if not tables or adapter.vocab_size is None or adapter.vocab_size < FIRST_DRAWN + 3:
        return adapter
    # A table that is tied to the output layer learns that row there.
    unlearned = {
        table.padding_idx: name
        for name, table in tables.items()
        if table.padding_idx is not None and not _is_tied(case.trial.module, table)
    }
    for token in dict.fromkeys((*unlearned, _USUAL)):
        hidden = token < FIRST_DRAWN and _is_hidden(case, adapter, list(tables.values()), token)
        if hidden:
            why = "Other positions can't see this token, so text with this id is lost."
        elif token in unlearned:
            why = f"Its row of {unlearned[token]} is never trained (padding_idx), so text with this id is lost."
        else:
            continue
        case.say("padding", f"token {token}", why)
        return replace(adapter, padding_id=token, hides_padding_id=hidden)
    return adapter


def _is_tied(module: nn.Module, table: nn.Embedding) -> bool:
    parts = (part for part in module.modules() if part is not table)
    return any(parameter is table.weight for part in parts for parameter in part.parameters(recurse=False))


def _token_tables(case: Case, adapter: Adapter) -> dict[str, nn.Embedding]:
    """Return the tables that token ids are looked up in."""
    batch, found = case.batch(adapter), {}

    def see(name: str, part: nn.Embedding, index: Tensor) -> None:
        if any(same_tokens(index, batch[role]) for role in ("tokens", "decoder_tokens") if role in batch):
            found[name] = part

    parts = [(name, part) for name, part in case.trial.module.named_modules() if isinstance(part, nn.Embedding)]
    hooks = [p.register_forward_pre_hook(lambda part, args, name=n: see(name, part, args[0])) for n, p in parts]
    try:
        case.trial.logits(adapter, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _is_hidden(case: Case, adapter: Adapter, tables: list[nn.Embedding], token: int) -> bool:
    """Tell whether what a token means moves no logit of other places, where another token's meaning does."""
    other = next(number for number in range(1, FIRST_DRAWN) if number != token)
    return _counts(case, adapter, tables, other) and not _counts(case, adapter, tables, token)


def _counts(case: Case, adapter: Adapter, tables: list[nn.Embedding], token: int) -> bool:
    batch = case.batch(adapter)
    batch["tokens"][:, PLACE] = token
    before = case.trial.logits(adapter, batch)

    def change(part: nn.Module, args: tuple[Tensor, ...], vectors: Tensor) -> Tensor:
        noise = torch.randn(vectors.shape[-1], generator=torch.Generator().manual_seed(1)).to(vectors)
        return vectors + (args[0] == token)[..., None] * noise

    hooks = [table.register_forward_hook(change) for table in tables]
    try:
        after = case.trial.logits(adapter, batch)
    finally:
        for hook in hooks:
            hook.remove()
    if adapter.task in ("causal-lm", "masked-lm"):
        elsewhere = [place for place in range(LENGTH) if place != PLACE]
        before, after = before[:, elsewhere], after[:, elsewhere]
    return moved(before, after, before.abs().max().clamp_min(1e-3))
