"""Which way of filling the arguments of a forward runs at all, and which side of the tensors is time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from tb_widgets.errors import ModelError
from tb_widgets.models.adapter import Adapter, Extra
from tb_widgets.models.probe.case import ARGUMENTS, Case, Found
from tb_widgets.models.probe.outputs import layout_of
from tb_widgets.models.probe.signature import ALWAYS
from tb_widgets.models.probe.trial import LENGTH, ROWS, Seen, moved
from tb_widgets.models.quoted_error import quoted_error

_ORDER = "model.order"


def first_pass(case: Case) -> tuple[Adapter, Found]:
    """Call the model, filling its arguments in each way that may be meant, until one runs."""
    reading = case.reading
    arguments = {"tokens": reading.input}
    decodes = reading.decoder is not None
    if reading.decoder is not None:
        arguments["decoder_tokens"] = reading.decoder
    if reading.labels in reading.required:
        arguments["labels"] = reading.labels or ""
    batch = case.trial.first_batch(decoder=decodes)
    first: Exception | None = None
    for extras, sequence_first in _ways(case):
        adapter = Adapter(
            task="seq2seq" if decodes else "causal-lm",
            arguments=arguments,
            extras=extras,
            sequence_first=sequence_first,
        )
        try:
            found = case.trial.watch(adapter, batch)
        except Exception as error:  # noqa: BLE001  (whatever the model's code raises)
            first = first or error
            continue
        why = "as the first positional argument" if reading.input == "" else "by its name"
        said = "Set by model.input." if case.spec.input else f"Passed {why}."
        case.say("input", reading.shown, said, "model.input")
        _say_extras(case, extras)
        return adapter, found
    assert first is not None  # noqa: S101  (there is always one way to fill no arguments)
    raise ModelError(
        f"The model's forward fails on token ids of shape ({ROWS}, {LENGTH}): {quoted_error(first)}.",
        hint="It must take token ids (B, T) and return logits (B, T, vocabulary) or (B, classes).",
    ) from first


def _say_extras(case: Case, extras: dict[str, Extra]) -> None:
    for name, extra in extras.items():
        if name in case.spec.arguments:
            case.say(name, str(case.spec.arguments[name]), "Set by model.arguments.", ARGUMENTS)
        elif extra == ALWAYS:
            why = f"With {name} = 1 the decoder reads the true token before each position."
            case.say("teacher forcing", "always", why, ARGUMENTS)


def _ways(case: Case) -> Iterator[tuple[dict[str, Extra], bool]]:
    """Yield ways to call the model: time second as a rule, time first a little later; or as the user wants it."""
    if case.spec.order != "auto":
        for extras in case.reading.fillings():
            yield extras, case.spec.order == "time-first"
        return
    later: deque[dict[str, Extra]] = deque()
    for extras in case.reading.fillings():
        yield extras, False
        later.append(extras)
        if len(later) > 3:
            yield later.popleft(), True
    for extras in later:
        yield extras, True


def orient(case: Case, adapter: Adapter, found: Found) -> tuple[Adapter, Found]:
    """Tell rows from time: where one text changes the logits of another, the model is read the other way round."""
    seen = found[1]
    if case.spec.order != "auto":
        case.say("batch", case.spec.order.replace("-", " "), "Set by model.order.", _ORDER)
        return adapter, found
    if not _rows_mix(case, adapter, seen):
        if adapter.sequence_first:
            case.say("batch", "time first", "It only accepts tokens of shape (T, B).", _ORDER)
        return adapter, found
    turned = _turned(case, adapter)
    if turned is not None and not _rows_mix(case, turned[0], seen):
        where = "time first" if turned[0].sequence_first else "rows first"
        case.say("batch", where, "In the other order, one text of a batch changes the logits of another.", _ORDER)
        return turned
    why = "One text of a batch changes the logits of another: results depend on the batch."
    case.say("batch", "rows mix", why, _ORDER)
    return adapter, found


def _turned(case: Case, adapter: Adapter) -> tuple[Adapter, Found] | None:
    """Read a model the other way round; ``None`` where it does not run so."""
    other = replace(adapter, sequence_first=not adapter.sequence_first)
    try:
        found = case.trial.watch(other, case.trial.first_batch(decoder="decoder_tokens" in other.arguments))
        layout = layout_of(other.pick(found[0]), other)
    except Exception:  # noqa: BLE001  (whatever the model's code raises)
        return None
    if not layout or (layout == "text") != (adapter.task == "sequence-classification"):
        return None
    return replace(other, layout="btv" if layout == "text" else layout), found


def _rows_mix(case: Case, adapter: Adapter, seen: Seen) -> bool:
    sizes = {role: case.rows(seen, role) for role in ("tokens", "decoder_tokens")}
    adapter = replace(adapter, vocab_size=sizes["tokens"], decoder_vocab_size=sizes["decoder_tokens"])
    batch, before = case.base(adapter)
    changed = {role: tokens.clone() for role, tokens in batch.items()}
    for role, tokens in changed.items():
        tokens[0] = case.trial.other(batch[role][0], sizes[role])
    after = case.trial.logits(adapter, changed)
    return moved(before[1:], after[1:], (before[0] - after[0]).abs().max())
