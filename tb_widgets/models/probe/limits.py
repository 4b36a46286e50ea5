"""How many different tokens a model knows, and how long a text it reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from tb_widgets.errors import ModelError
from tb_widgets.models import syntax
from tb_widgets.models.adapter import Adapter
from tb_widgets.models.probe.case import Case, Found
from tb_widgets.models.probe.trial import DECODER_LENGTH, LENGTH, Seen
from tb_widgets.models.source import CONFIG, ModelSource
from tb_widgets.spec.fit import ENLARGE_VOCABULARY


def measure(case: Case, adapter: Adapter, found: Found) -> Adapter:
    """Read vocabulary, classes and context from the tables that were looked up and the last layer."""
    decodes = "decoder_tokens" in adapter.arguments
    output, seen = found
    leaf = adapter.pick(output)
    if adapter.head:
        leaf = case.trial.module.get_submodule(adapter.head)(leaf)
    width = leaf.shape[-1]
    reads = case.rows(seen)
    if decodes:
        decoder = case.rows(seen, "decoder_tokens")
        writes = min(width, decoder) if decoder else width
        adapter = replace(adapter, vocab_size=reads or writes, decoder_vocab_size=writes)
        vocabulary, why = (
            f"{adapter.vocab_size:,} in, {writes:,} out",
            "Read from the embeddings and output layer.",
        )
    elif adapter.task == "sequence-classification":
        adapter = replace(adapter, classes=width, vocab_size=reads)
        case.say("classes", f"{width:,}", "Each text gets one row of that many logits.")
        vocabulary, why = f"{reads:,}" if reads else "unknown", "Read from the embedding."
    else:
        adapter = replace(adapter, vocab_size=min(width, reads) if reads else width)
        vocabulary, why = f"{adapter.vocab_size:,}", "Read from the embedding and output layer."
    if (wanted := case.spec.vocab_size) is not None:
        adapter = _with_vocabulary(case, adapter, wanted, width)
        vocabulary, why = f"{wanted:,}", "Set by model.vocab_size."
    case.say("vocabulary", vocabulary, why, "model.vocab_size")
    limit, why = _limit(case, adapter, seen)
    if (wanted := case.spec.context_limit) is not None:
        _require_reads(case, adapter, wanted, limit)
        limit, why = wanted, "Set by model.context_limit."
    case.say("context", f"{limit:,} tokens" if limit else "no limit", why, "model.context_limit")
    return replace(adapter, context_limit=limit, shortest=_shortest(case, adapter))


def _shortest(case: Case, adapter: Adapter) -> int:
    """Return how many tokens a text must have for a classifier, and say so where it is several."""
    if adapter.task != "sequence-classification":
        return 1
    least = next((length for length in range(1, LENGTH) if case.trial.reads(adapter, length)), LENGTH)
    if least > 1:
        why = f"It fails on {least - 1}, so shorter texts are padded with their last token."
        case.say("shortest text", f"{least} tokens", why)
    return least


def _with_vocabulary(case: Case, adapter: Adapter, wanted: int, width: int) -> Adapter:
    """Take the user's word for the vocabulary, as far as the model reads it and, but for classes, scores it."""
    wrong = ""
    if adapter.task != "sequence-classification" and wanted > width:
        wrong = f"the model returns only {width:,} logits"
    elif not case.trial.reads(adapter, LENGTH, token=wanted - 1):
        wrong = f"the model's forward fails on token {wanted - 1:,}"
    if wrong:
        known = [size for size in (adapter.vocab_size, adapter.decoder_vocab_size) if size is not None]
        fits = f"Set it to at most {min(known)}" if known else "Set it lower"
        raise ModelError(
            f"model.vocab_size is {wanted:,}, but {wrong}.",
            hint=f"{fits}, leave it empty, or {ENLARGE_VOCABULARY}.",
        )
    written_too = wanted if adapter.decoder_vocab_size is not None else None
    return replace(adapter, vocab_size=wanted, decoder_vocab_size=written_too)


def _require_reads(case: Case, adapter: Adapter, wanted: int, limit: int | None) -> None:
    """Refuse a context that the model can't read; where trying would take long, its tables decide."""
    by_tables = limit is None or wanted <= limit
    if not (case.trial.reads(adapter, wanted) if case.trial.is_quick(wanted) else by_tables):
        most = f"; its position embedding has {limit:,} rows" if limit else ""
        raise ModelError(
            f"model.context_limit is {wanted:,} tokens, but the model fails on that many{most}.",
            hint=f"Set it to at most {limit}, or leave it empty." if limit else "Set it lower, or leave it empty.",
        )


def _limit(case: Case, adapter: Adapter, seen: Seen) -> tuple[int | None, str]:
    lengths = (LENGTH, DECODER_LENGTH) if "decoder_tokens" in adapter.arguments else (LENGTH,)
    tables = [limit for rows, index in seen.lookups if (limit := _table_limit(rows, index, lengths)) is not None]
    if tables:
        return min(tables), "Limited by the position embedding."
    # A token that the model puts in front makes it one longer.
    cuts = {
        side - (stop - start - length)
        for side, start, stop in seen.slices
        for length in lengths
        if length <= stop - start <= length + 2 and side > stop - start
    }
    for limit in sorted(cuts):
        is_end = not case.trial.is_quick(limit) or not case.trial.reads(adapter, limit + 1)
        if limit > max(lengths) and is_end:
            return limit, f"It slices a table to the length of the text, and fails at {limit + 1:,} tokens."
    for name, limit in _named_limits(case.trial.module, case.source):
        if case.trial.ends_at(adapter, limit):
            return limit, f"Set by {name}; it fails at {limit + 1:,} tokens."
    return None, "No position embedding was found."


def _named_limits(module: nn.Module, source: ModelSource) -> Iterator[tuple[str, int]]:
    """Yield the lengths that config.json, and the model's own attributes, call the longest context."""
    names = next(spellings for spellings in syntax.SPELLINGS if "max_seq_len" in spellings)
    found = {
        "config.json": syntax.sizes_in(source.config) if CONFIG in source.files else {},
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
