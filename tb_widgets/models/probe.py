"""Try a built model on a few tokens or a few images, and conclude how it is called and what it was built for.

The evidence, in this order: what the user says, what config.json says, the names of the arguments, the shape of the
output, and how the scores behave: whether earlier ones move when a later token changes, and which mask keeps padding
out of sight.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tb_widgets.errors import ModelError
from tb_widgets.models import written
from tb_widgets.models.adapter import Adapter, Batch, Conclusion, Extra
from tb_widgets.models.construct import explain
from tb_widgets.models.evidence import Claim, claimed_task, words_about
from tb_widgets.models.pictures import looks_like_images, probe_images
from tb_widgets.models.signature import (
    CAUSAL,
    CAUSAL_FORMS,
    DECODER_FORMS,
    DECODER_MASKS,
    LABELS,
    PADDING,
    PADDING_FORMS,
    Reading,
    read_signature,
)
from tb_widgets.models.source import CONFIG, ModelSource
from tb_widgets.models.trial import (
    DECODER_LENGTH,
    LENGTH,
    PROBABILITIES,
    ROWS,
    Seen,
    Trial,
    are_probabilities,
    leaves,
    moved,
    shapes,
    undisturbed,
)
from tb_widgets.spec import ModelSpec, Task


def probe(module: nn.Module, source: ModelSource, spec: ModelSpec | None = None) -> Adapter:
    """Conclude how a model is called, from its signature, its source and a few tiny forward passes.

    The state of torch's generators, the training mode of each part and the weights stay as they were.

    Parameters
    ----------
    module
        The model.
    source
        The files that it came from, for what they say; empty for a live module.
    spec
        What the user decides: ``task``, ``input`` and ``mask``.

    Raises
    ------
    ModelError
        If the pass fails, its output fits no task, or the evidence does not decide between two tasks.
    """
    spec = spec or ModelSpec()
    reading = read_signature(module, spec.input)
    claim = claimed_task(spec.task, source)
    with undisturbed(module):
        if looks_like_images(module, reading, claim):
            return probe_images(module, reading, source, claim, overridden=spec.input is not None)
        try:
            return _Texts(module, source, spec, reading, claim).adapter()
        except ModelError:
            if reading.decoder not in LABELS:
                raise
        # An argument called y may be the targets, where it did not run as what a decoder reads.
        reading = replace(reading, decoder=None, labels=reading.decoder)
        return _Texts(module, source, spec, reading, claim).adapter()


Found = tuple[Any, Seen]  # what a forward returned, and what was seen during it


class _Texts:
    """The conclusions about a model that reads tokens, drawn one after another."""

    def __init__(
        self, module: nn.Module, source: ModelSource, spec: ModelSpec, reading: Reading, claim: Claim | None
    ) -> None:
        self.trial = Trial(module)
        self.source = source
        self.spec = spec
        self.reading = reading
        self.claim = claim
        self.conclusions: list[Conclusion] = []
        self._known: tuple[Any, Batch, Tensor] | None = None

    def adapter(self) -> Adapter:
        adapter, found = self._first_pass()
        adapter, found = self._find_scores(adapter, found)
        adapter, found = self._orient(adapter, found)
        adapter = self._measure(adapter, found)
        adapter = self._conclude_task(adapter)
        adapter = self._find_mask(adapter)
        return replace(adapter, conclusions=tuple(self.conclusions))

    def say(self, what: str, value: str, why: str, override: str = "") -> None:
        self.conclusions.append(Conclusion(what, value, why, override))

    # The first pass: which way of filling the arguments runs at all.

    def _first_pass(self) -> tuple[Adapter, Found]:
        reading = self.reading
        arguments = {"tokens": reading.input}
        decodes = reading.decoder is not None
        if reading.decoder is not None:
            arguments["decoder_tokens"] = reading.decoder
        if reading.labels in reading.required:
            arguments["labels"] = reading.labels or ""
        batch = self.trial.first_batch(decoder=decodes)
        first: Exception | None = None
        for extras, sequence_first in self._ways():
            adapter = Adapter(
                task="seq2seq" if decodes else "causal-lm",
                arguments=arguments,
                extras=extras,
                sequence_first=sequence_first,
            )
            try:
                found = self.trial.watch(adapter, batch)
            except Exception as error:  # noqa: BLE001  (whatever the model's code raises)
                first = first or error
                continue
            why = "by its position" if reading.input == "" else "by its name"
            said = f"model.input says {reading.shown}." if self.spec.input else f"forward takes it {why}."
            self.say("input", reading.shown, said, "model.input")
            return adapter, found
        assert first is not None  # noqa: S101  (there is always one way to fill no arguments)
        raise ModelError(
            f"The model's forward fails on token ids of shape ({ROWS}, {LENGTH}): {explain(first, self.source)}.",
            hint="It must take token ids (B, T) and return logits (B, T, vocabulary) or (B, classes).",
        ) from first

    def _ways(self) -> Iterator[tuple[dict[str, Extra], bool]]:
        """Yield ways to call the model: time second as a rule, time first a little later."""
        later: deque[dict[str, Extra]] = deque()
        for extras in self.reading.fillings():
            yield extras, False
            later.append(extras)
            if len(later) > 3:
                yield later.popleft(), True
        for extras in later:
            yield extras, True

    # Where the scores are in what came back.

    def _find_scores(self, adapter: Adapter, found: Found) -> tuple[Adapter, Found]:
        output, seen = found
        tensors = leaves(output)
        if not tensors:
            adapter.pick(output)  # raises
        rows = self._rows(seen, "decoder_tokens" if adapter.task == "seq2seq" else "tokens")
        options = [(key, layout, leaf) for key, leaf in tensors if (layout := self._layout(leaf, adapter))]
        chosen = next((o for o in options if o[1] != "text" and rows in (None, o[2].shape[_side(o[1])])), None)
        chosen = chosen or (options[0] if options else None)
        if chosen is None:
            raise ModelError(
                f"The model's forward turns token ids of shape ({ROWS}, {LENGTH}) into {shapes(tensors)}.",
                hint=f"A language model returns logits of shape ({ROWS}, {LENGTH}, vocabulary), a classifier "
                f"({ROWS}, classes).",
            )
        key, layout, leaf = chosen
        last_only = layout == "text" and (leaf.dim() == 3 or leaf.shape[-1] == rows) and "tokens" in adapter.arguments
        if last_only and self.reading.labels and "labels" not in adapter.arguments:
            told = replace(adapter, arguments={**adapter.arguments, "labels": self.reading.labels})
            try:
                again = self.trial.watch(told, self.trial.first_batch(decoder=False))
            except Exception:  # noqa: BLE001  (labels of another kind: then these are not targets)
                again = None
            if again is not None and any(self._layout(t, told) not in ("", "text") for _, t in leaves(again[0])):
                self.say(
                    "output",
                    f"scores of every position when {self.reading.labels} is given",
                    "Without it, forward scores the last position only.",
                )
                return self._find_scores(told, again)
        task: Task = "sequence-classification" if layout == "text" else adapter.task
        adapter = replace(adapter, output=key, layout="btv" if layout == "text" else layout, task=task)
        return self._complete(adapter, leaf, seen, rows, layout), found

    def _complete(self, adapter: Adapter, leaf: Tensor, seen: Seen, rows: int | None, layout: str) -> Adapter:
        """Find the head that forward leaves out, and tell probabilities from scores."""
        width = leaf.shape[_side(layout)]
        if layout != "text" and rows is not None and width < rows:
            head = self._unused_head(leaf, seen, rows)
            if not head:
                raise ModelError(
                    f"The model reads {rows:,} different tokens but scores only {width:,}: the output layer is "
                    "missing.",
                    hint="End forward with a linear layer from the model's width to the vocabulary.",
                )
            self.say(
                "output", f"{head} of what forward returns", f"forward ends before {head}, which makes the scores."
            )
            adapter = replace(adapter, head=head)
            leaf = self.trial.module.get_submodule(head)(leaf)
        if are_probabilities(leaf, _side(layout)):
            self.conclusions.append(PROBABILITIES)
            adapter = replace(adapter, probabilities=True)
        return adapter

    def _layout(self, leaf: Tensor, adapter: Adapter) -> str:
        """Tell how the scores lie in a tensor; empty where they can't be in it, ``text`` for one row per text."""
        length = DECODER_LENGTH if adapter.task == "seq2seq" else LENGTH
        shape = tuple(leaf.shape)
        if not leaf.is_floating_point():
            return ""
        if len(shape) == 3 and shape[:2] in {(ROWS, length), (length, ROWS)}:
            rows_first = shape[0] == ROWS
            return "btv" if rows_first != adapter.sequence_first else "tbv"
        if len(shape) == 3 and (shape[0], shape[2]) == (ROWS, length):
            return "bvt"
        if len(shape) == 2 and shape[0] == ROWS * length:
            return "flat"
        one_row = len(shape) == 2 or (len(shape) == 3 and 1 in shape[:2])
        return "text" if one_row and ROWS in shape[:2] and adapter.task != "seq2seq" else ""

    def _unused_head(self, leaf: Tensor, seen: Seen, rows: int) -> str:
        name: str
        for name, part in self.trial.module.named_modules():
            if not name or name in seen.called:
                continue
            try:
                scores: Any = part(leaf)
            except Exception:  # noqa: BLE001, S112  (then it is no head for this)
                continue
            if isinstance(scores, Tensor) and scores.shape[:-1] == leaf.shape[:-1] and scores.shape[-1] >= rows:
                return name
        return ""

    # Which side of the tensors is time.

    def _orient(self, adapter: Adapter, found: Found) -> tuple[Adapter, Found]:
        seen = found[1]
        if not self._rows_mix(adapter, seen):
            if adapter.sequence_first:
                self.say("batch", "time first", "It runs on tokens of shape (T, B) only.")
            return adapter, found
        turned = self._turned(adapter)
        if turned is not None and not self._rows_mix(turned[0], seen):
            where = "time first" if turned[0].sequence_first else "rows first"
            self.say("batch", where, "Read the other way round, one text of a batch changes the scores of another.")
            return turned
        self.say("batch", "rows mix", "One text of a batch changes the scores of another: results depend on the batch.")
        return adapter, found

    def _turned(self, adapter: Adapter) -> tuple[Adapter, Found] | None:
        """Read a model the other way round; ``None`` where it does not run so."""
        other = replace(adapter, sequence_first=not adapter.sequence_first)
        try:
            found = self.trial.watch(other, self.trial.first_batch(decoder="decoder_tokens" in other.arguments))
            layout = self._layout(other.pick(found[0]), other)
        except Exception:  # noqa: BLE001  (whatever the model's code raises)
            return None
        if not layout or (layout == "text") != (adapter.task == "sequence-classification"):
            return None
        return replace(other, layout="btv" if layout == "text" else layout), found

    def _rows_mix(self, adapter: Adapter, seen: Seen) -> bool:
        sizes = {role: self._rows(seen, role) for role in ("tokens", "decoder_tokens")}
        adapter = replace(adapter, vocab_size=sizes["tokens"], decoder_vocab_size=sizes["decoder_tokens"])
        batch, before = self._base(adapter)
        changed = {role: tokens.clone() for role, tokens in batch.items()}
        for role, tokens in changed.items():
            tokens[0] = self.trial.other(batch[role][0], sizes[role])
        after = self.trial.scores(adapter, changed)
        return moved(before[1:], after[1:], (before[0] - after[0]).abs().max())

    # Vocabulary and context.

    def _rows(self, seen: Seen, role: str = "tokens") -> int | None:
        """Return the number of rows of the table that the first batch's tokens were looked up in."""
        ids = self.trial.first_batch(decoder=True)[role]
        rows = [rows for rows, index in seen.lookups if _same_tokens(index, ids)]
        return max(rows) if rows else None

    def _measure(self, adapter: Adapter, found: Found) -> Adapter:
        decodes = "decoder_tokens" in adapter.arguments
        output, seen = found
        leaf = adapter.pick(output)
        if adapter.head:
            leaf = self.trial.module.get_submodule(adapter.head)(leaf)
        width = leaf.shape[_side(adapter.layout)]
        reads = self._rows(seen)
        vocabulary: int | None = reads
        if decodes:
            decoder = self._rows(seen, "decoder_tokens")
            writes = min(width, decoder) if decoder else width
            adapter = replace(adapter, decoder_vocab_size=writes)
            self.say("vocabulary", f"{reads or writes:,} read, {writes:,} written", "The tables and the last layer.")
            vocabulary = reads or writes
        elif adapter.task == "sequence-classification":
            adapter = replace(adapter, classes=width)
            self.say("classes", f"{width:,}", "Each text gets one row of that many scores.")
            self.say("vocabulary", f"{reads:,}" if reads else "unknown", "The table that token ids are looked up in.")
        else:
            vocabulary = min(width, reads) if reads else width
            self.say("vocabulary", f"{vocabulary:,}", "The table that token ids are looked up in, and the last layer.")
        adapter = replace(adapter, vocab_size=vocabulary)
        limit, why = self._limit(adapter, seen)
        self.say("context", f"{limit:,} tokens" if limit else "no limit", why)
        return replace(adapter, context_limit=limit)

    def _limit(self, adapter: Adapter, seen: Seen) -> tuple[int | None, str]:
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
            if limit > max(lengths) and not self.trial.reads_beyond(adapter, limit):
                return limit, f"It cuts a table to the length of the text, and fails at {limit + 1:,}."
        for name, limit in _named_limits(self.trial.module, self.source):
            if self.trial.ends_at(adapter, limit):
                return limit, f"{name} says so, and it fails at {limit + 1:,}."
        return None, "No table of positions was seen."

    # The task.

    def _conclude_task(self, adapter: Adapter) -> Adapter:
        claim = self.claim
        fits: tuple[Task, ...]
        if adapter.task == "sequence-classification":
            fits, shape = ("sequence-classification",), "one row of scores per text"
        elif adapter.task == "seq2seq":
            fits, shape = ("seq2seq",), f"scores for every token of {self.reading.decoder}"
        else:
            fits, shape = ("causal-lm", "masked-lm"), "scores for every token"
        if claim is not None and claim.task not in fits:
            raise ModelError(
                f"{claim.why.rstrip('.')}: {claim.task}. But the model gives {shape}, which fits {' or '.join(fits)}.",
                hint="Set model.task to what it was built for, or change what forward returns.",
            )
        if adapter.task == "sequence-classification":
            extras = {n: Extra("none") if e.recipe == "causal" else e for n, e in adapter.extras.items()}
            adapter = replace(adapter, extras=extras)  # a mask that must be given hides padding here
            self._ask_about_last_position(adapter)
            self._say_task(adapter.task, "Its output has one row of scores per text.")
            return adapter
        if adapter.task == "seq2seq":
            return self._conclude_decoder(adapter)
        return self._conclude_language_model(adapter)

    def _say_task(self, task: Task, why: str) -> None:
        self.conclusions.insert(0, Conclusion("task", task, self.claim.why if self.claim else why, "model.task"))

    def _ask_about_last_position(self, adapter: Adapter) -> None:
        if adapter.classes is not None and adapter.classes == adapter.vocab_size and self.claim is None:
            raise ModelError(
                f"The model's forward turns token ids of shape ({ROWS}, {LENGTH}) into ({ROWS}, {adapter.classes}): "
                "one row per text, with as many scores as it knows tokens.",
                hint="A language model must return the scores of every position. If these are classes, set model.task "
                "to sequence-classification.",
            )

    def _conclude_decoder(self, adapter: Adapter) -> Adapter:
        leaks = self._sees_later(adapter, "decoder_tokens")
        for name in [name for name in self.reading.masks if name in DECODER_MASKS] if leaks else ():
            if found := self._hiding_mask(adapter, "decoder_tokens", name, DECODER_FORMS):
                adapter, leaks = found, False
                break
        self._say_task("seq2seq", f"forward takes {self.reading.decoder} beside {self.reading.shown}.")
        if leaks:
            self.say("leak", "yes", "An earlier score of the decoder moves when a later token of its input changes.")
        return replace(adapter, leaks=leaks)

    def _conclude_language_model(self, adapter: Adapter) -> Adapter:
        words = words_about(self.trial.module, self.source)
        leaks = self._sees_later(adapter, "tokens")
        task = self.claim.task if self.claim else None
        asked = [name for name in adapter.extras if self._is_causal(adapter, name) and name in PADDING]
        if asked and (task or words.kind) in ("masked", "masked-lm"):
            # A mask that must be given, and that was only taken for a causal one: it hides padding.
            self._say_task("masked-lm", f"{words.why[:1].upper()}{words.why[1:]}.")
            extras = {name: Extra("none") if name in asked else extra for name, extra in adapter.extras.items()}
            return replace(adapter, task="masked-lm", extras=extras)
        if "mask" in asked and task is None and not words.kind:
            raise ModelError(
                "The model's forward asks for a mask, and nothing in the model says whether that hides later tokens or "
                "padding.",
                hint="Set model.task to causal-lm or to masked-lm.",
            )
        if leaks and (task or words.kind) != "masked-lm" and words.kind != "masked":
            # A mask that is only used when it is given.
            for name in self.reading.masks:
                if name in CAUSAL and (found := self._hiding_mask(adapter, "tokens", name, CAUSAL_FORMS)):
                    if task is None and not words.kind and name in PADDING and name not in self.reading.required:
                        break  # it may as well hide padding
                    adapter, leaks = found, False
                    break
        why = ""
        if task is None and not leaks:
            task, why = "causal-lm", "No score moves when a later token changes."
        elif task is None and words.kind == "masked":
            task, why = "masked-lm", f"Scores move when a later token changes, and {words.why}."
        elif task is None and (words.kind == "causal" or words.export):
            said = words.why or "it is an export of the documented form, and nothing in it speaks of masked tokens"
            task, why = "causal-lm", f"{said[0].upper()}{said[1:]}; but its scores see later tokens."
        if task is None:
            raise ModelError(
                "The model scores every token and sees later tokens as well: it may be a masked language model, or a "
                "causal one whose attention lacks its mask, and nothing in it says which.",
                hint="Set model.task to masked-lm or to causal-lm.",
            )
        self._say_task(task, why)
        if task == "causal-lm" and leaks:
            self.say(
                "leak",
                "yes",
                "An earlier score moves when a later token changes: it sees the answers that it is trained to give.",
            )
        elif task == "masked-lm" and not leaks:
            self.say("leak", "no", "No score moves when a later token changes: it fills gaps from what is before them.")
        return replace(adapter, task=task, leaks=leaks and task == "causal-lm")

    def _hiding_mask(self, adapter: Adapter, role: str, name: str, forms: tuple[Extra, ...]) -> Adapter | None:
        """Give a mask argument the causal mask, in the convention that hides later tokens."""
        for form in forms:
            masked = replace(adapter, extras={**adapter.extras, name: form})
            try:
                hides = not self._sees_later(masked, role, must_read=True)
            except Exception:  # noqa: BLE001, S112  (then it is another convention)
                continue
            if hides:
                self.say("causal mask", f"{name}: {form.convention}", "With it, no score moves with a later token.")
                return masked
        return None

    def _base(self, adapter: Adapter) -> tuple[Batch, Tensor]:
        """Return a batch and its scores, which others are compared with; the last one is kept, as it takes its time."""
        how = (
            adapter.arguments,
            adapter.extras,
            adapter.sequence_first,
            adapter.vocab_size,
            adapter.decoder_vocab_size,
        )
        if self._known is None or self._known[0] != how:
            batch = self._batch(adapter)
            self._known = (how, batch, self.trial.scores(adapter, batch))
        return self._known[1:]

    def _batch(self, adapter: Adapter) -> Batch:
        batch = {"tokens": self.trial.tokens(adapter.vocab_size, LENGTH)}
        if "decoder_tokens" in adapter.arguments:
            batch["decoder_tokens"] = self.trial.tokens(adapter.decoder_vocab_size, DECODER_LENGTH)
        return batch

    def _sees_later(self, adapter: Adapter, role: str, *, must_read: bool = False) -> bool:
        """Tell whether an earlier score moves when the later tokens change."""
        rows = adapter.decoder_vocab_size if role == "decoder_tokens" else adapter.vocab_size
        batch, before = self._base(adapter)
        half = batch[role].shape[1] // 2
        changed = dict(batch)
        changed[role] = batch[role].clone()
        changed[role][:, half:] = self.trial.other(batch[role][:, half:], rows)
        after = self.trial.scores(adapter, changed)
        scale = (before - after).abs().max()
        if must_read:
            changed[role] = batch[role].clone()
            changed[role][:, :half] = self.trial.other(batch[role][:, :half], rows)
            if not moved(before[:, -1], self.trial.scores(adapter, changed)[:, -1]):
                return True  # it hides everything: no causal mask
        return moved(before[:, :half], after[:, :half], scale)

    # The padding mask.

    def _find_mask(self, adapter: Adapter) -> Adapter:
        names = [n for n in self.reading.masks if n in PADDING and not self._is_causal(adapter, n)]
        wanted = self.spec.mask
        if wanted == "none":
            self.say("mask", "none", "model.mask says so.", "model.mask")
            return adapter
        if not names:
            return self._without_mask(adapter)
        if wanted == "auto" and adapter.task == "causal-lm" and not adapter.leaks and not self._given(adapter):
            self.say("mask", "none", "Padding comes after the text, where a causal model does not look.", "model.mask")
            return adapter
        runs: Adapter | None = None
        for name, masked in self._masked_ways(adapter, names):
            required = name in self.reading.required
            bare = replace(adapter, extras={n: e for n, e in adapter.extras.items() if n not in names})
            try:
                hides = self._hides_padding(masked, None if required else bare)
            except Exception:  # noqa: BLE001, S112  (then it is another convention)
                continue
            runs = runs or (masked if wanted != "auto" or required else None)
            if hides:
                why = "With it, other padding tokens change no score of the text."
                self.say("mask", f"{name}: {masked.mask}", why, "model.mask")
                return masked
        if runs is None and wanted != "auto":
            raise ModelError(
                f"model.mask: forward fails when {' or '.join(names)} is given as {wanted}.",
                hint="Set model.mask to auto or none.",
            )
        if runs is None:
            why = f"No convention of {' or '.join(names)} hides padding: it sees padding as if it were text."
            self.say("mask", "none", why, "model.mask")
            return adapter
        said = "model.mask says so" if wanted != "auto" else "forward asks for one"
        self.say(
            "mask", f"{runs.arguments['mask']}: {runs.mask}", f"{said}; it sees padding all the same.", "model.mask"
        )
        return runs

    def _without_mask(self, adapter: Adapter) -> Adapter:
        if self.spec.mask != "auto":
            raise ModelError("model.mask: forward takes no mask for padding.", hint="Set model.mask to auto or none.")
        lengths = any(extra.recipe == "lengths" for extra in adapter.extras.values())
        if lengths and self._hides_padding(adapter, None):
            self.say("mask", "by length", "With the lengths of the texts, other padding tokens change no score.")
        elif adapter.task != "causal-lm":
            self.say("mask", "none", "forward takes no mask: it sees padding as if it were text.", "model.mask")
        return adapter

    def _masked_ways(self, adapter: Adapter, names: list[str]) -> Iterator[tuple[str, Adapter]]:
        """Yield the mask arguments with each convention that may be meant."""
        # The decoder's look at the source has a mask of its own in some models, for the same padding.
        memory = [n for n in self.reading.masks if n.startswith("memory") and "pad" in n]
        for name in names:
            for form in PADDING_FORMS:
                if self.spec.mask not in ("auto", form.convention, {"numbers": "keep"}.get(form.convention)):
                    continue
                given = [*memory, *([name] if name in self.reading.required else [])]
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

    def _is_causal(self, adapter: Adapter, name: str) -> bool:
        return name in adapter.extras and adapter.extras[name].recipe.endswith("causal")

    def _given(self, adapter: Adapter) -> bool:
        return any(extra.recipe == "padding" for extra in adapter.extras.values())

    def _hides_padding(self, adapter: Adapter, bare: Adapter | None) -> bool:
        """Tell whether padding does not count under a mask, all else being read as before."""
        batch = self._batch(adapter)
        real = torch.ones_like(batch["tokens"], dtype=torch.bool)
        full = adapter.scores(self.trial.module, {**batch, "mask": real})
        if not torch.isfinite(full).all():
            return False
        if bare is not None and moved(self.trial.scores(bare, batch), full.float()):
            return False
        end = LENGTH - 2
        real = real.clone()
        real[0, end:] = False
        padded = {**batch, "mask": real}
        other = dict(padded)
        other["tokens"] = batch["tokens"].clone()
        other["tokens"][0, end:] = self.trial.other(batch["tokens"][0, end:], adapter.vocab_size)
        before, after = adapter.scores(self.trial.module, padded), adapter.scores(self.trial.module, other)
        per_token = adapter.task in ("causal-lm", "masked-lm")
        kept = (before[:1, :end], after[:1, :end]) if per_token else (before[:1], after[:1])
        if not all(torch.isfinite(part).all() for part in kept):
            return False
        unmasked = {**other, "mask": torch.ones_like(real)}
        scale = (full - adapter.scores(self.trial.module, unmasked)).abs().max()
        return not moved(kept[0], kept[1], scale) and not moved(before[1:], full[1:])


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


def _side(layout: str) -> int:
    return 1 if layout == "bvt" else -1


def _same_tokens(index: Tensor, ids: Tensor) -> bool:
    """Tell whether an index is the tokens, whichever way round, maybe with a few more in front or behind."""
    for rows in (ids, ids.t()):
        if index.shape == rows.shape and torch.equal(index.long(), rows):
            return True
    if index.dim() == 2 and index.shape[0] == ids.shape[0] and 0 < index.shape[1] - ids.shape[1] <= 2:
        more = index.shape[1] - ids.shape[1]
        return any(torch.equal(index[:, start : start + ids.shape[1]].long(), ids) for start in range(more + 1))
    return index.numel() == ids.numel() and any(
        torch.equal(index.flatten().long(), rows.flatten()) for rows in (ids, ids.t())
    )


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
