"""How many different tokens a model knows, and how long a text it reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from tb_widgets.models import written
from tb_widgets.models.adapter import Adapter
from tb_widgets.models.probe.case import Case, Found, side_of
from tb_widgets.models.probe.trial import DECODER_LENGTH, LENGTH, Seen
from tb_widgets.models.source import CONFIG, ModelSource


def measure(case: Case, adapter: Adapter, found: Found) -> Adapter:
    """Read vocabulary, classes and context from the tables that were looked up and the last layer."""
    decodes = "decoder_tokens" in adapter.arguments
    output, seen = found
    leaf = adapter.pick(output)
    if adapter.head:
        leaf = case.trial.module.get_submodule(adapter.head)(leaf)
    width = leaf.shape[side_of(adapter.layout)]
    reads = case.rows(seen)
    vocabulary: int | None = reads
    if decodes:
        decoder = case.rows(seen, "decoder_tokens")
        writes = min(width, decoder) if decoder else width
        adapter = replace(adapter, decoder_vocab_size=writes)
        case.say("vocabulary", f"{reads or writes:,} read, {writes:,} written", "The tables and the last layer.")
        vocabulary = reads or writes
    elif adapter.task == "sequence-classification":
        adapter = replace(adapter, classes=width)
        case.say("classes", f"{width:,}", "Each text gets one row of that many scores.")
        case.say("vocabulary", f"{reads:,}" if reads else "unknown", "The table that token ids are looked up in.")
    else:
        vocabulary = min(width, reads) if reads else width
        case.say("vocabulary", f"{vocabulary:,}", "The table that token ids are looked up in, and the last layer.")
    adapter = replace(adapter, vocab_size=vocabulary)
    limit, why = _limit(case, adapter, seen)
    case.say("context", f"{limit:,} tokens" if limit else "no limit", why)
    return replace(adapter, context_limit=limit)


def _limit(case: Case, adapter: Adapter, seen: Seen) -> tuple[int | None, str]:
    lengths = (LENGTH, DECODER_LENGTH) if "decoder_tokens" in adapter.arguments else (LENGTH,)
    tables = [limit for rows, index in seen.lookups if (limit := _table_limit(rows, index, lengths)) is not None]
    if tables:
        return min(tables), "The table of positions ends there."
    # A token that the model puts in front makes it one longer.
    cuts = {
        side - (stop - start - length)
        for side, start, stop in seen.slices
        for length in lengths
        if length <= stop - start <= length + 2 and side > stop - start
    }
    for limit in sorted(cuts):
        if limit > max(lengths) and not case.trial.reads_beyond(adapter, limit):
            return limit, f"It cuts a table to the length of the text, and fails at {limit + 1:,}."
    for name, limit in _named_limits(case.trial.module, case.source):
        if case.trial.ends_at(adapter, limit):
            return limit, f"{name} says so, and it fails at {limit + 1:,}."
    return None, "No table of positions was seen."


def _named_limits(module: nn.Module, source: ModelSource) -> Iterator[tuple[str, int]]:
    """Yield the lengths that config.json, and the model's own attributes, call the longest context."""
    names = next(spellings for spellings in written.SPELLINGS if "max_seq_len" in spellings)
    found = {
        "config.json": written.sizes_in(source.config) if CONFIG in source.files else {},
        "the model": vars(module),
    }
    for name in ("config", "args", "cfg", "params"):
        holder = getattr(module, name, None)
        found[f"its {name}"] = holder if isinstance(holder, dict) else getattr(holder, "__dict__", {})
    for where, values in found.items():
        for name in names:
            if isinstance(values.get(name), int) and values[name] > LENGTH:
                yield f"{name} in {where}", values[name]


def _table_limit(rows: int, index: Tensor, lengths: tuple[int, ...]) -> int | None:
    """Return how long a text a table of positions allows; ``None`` where the index is not 0, 1, 2, ... for each row."""
    views = [index.reshape(1, -1)] if index.dim() < 2 else [index.flatten(0, -2), index.flatten(1).t()]
    for view in views:
        count = view.shape[1]
        first = int(view[0, 0]) if view.numel() else 0
        expected = torch.arange(first, first + count, device=view.device).expand_as(view)
        for length in lengths:
            if length <= count <= length + 2 and torch.equal(view.long(), expected):
                return rows - first - (count - length)
    return None
