"""What somebody should know about data before a run: numbers, a batch to look at, and warnings. Imports no torch.

Everything is judged by the beginning of the data, read in about two seconds; :attr:`Preview.looked_at` says how much
that was.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tb_widgets.data.preview.result import Bar, ColumnChoice, Preview
from tb_widgets.data.preview.sample import Sample, read_sample
from tb_widgets.data.preview.shown_batch import show_batch
from tb_widgets.data.preview.warnings import warnings_of
from tb_widgets.data.reading.repeated_lines import ValidationLines, copies_note
from tb_widgets.data.reading.split import split_text
from tb_widgets.data.sources.builtin import check_serves, classes_of
from tb_widgets.data.sources.resolve import resolve_source
from tb_widgets.data.tokenizers.make import Tokenizer, train_tokenizer
from tb_widgets.data.tokenizers.special_tokens import span_sizes, vocabulary_with_specials
from tb_widgets.spec import DataSpec, Task, TokenizerSpec

_LEARNED_FROM = 300_000  # characters of the sample that a vocabulary is learned from
_COUNTED = 300_000  # characters of the sample that are turned into tokens
_SHORT_LINE = 40  # bytes; shorter lines of a plain text are often the same without being copies
_LONG_ENOUGH = 0.2  # share of the lines; where fewer are longer than that, the short ones are the text
_MOST_CHARACTERS = 3000  # different ones that are looked for among the tokenizer's


def preview_data(
    data: DataSpec,
    tokenizer: TokenizerSpec,
    task: Task,
    *,
    context_limit: int | None = None,
    parameters: int | None = None,
    batch_size: int = 32,
) -> Preview:
    """Read the beginning of some data, and tell what a task makes of them.

    Parameters
    ----------
    data, tokenizer
        Sections of the run spec.
    task
        What the model is built for.
    context_limit, parameters
        Tokens that the model reads at once, and its weights, as far as they are known.
    batch_size
        Sequences per step.

    Raises
    ------
    DataError
        If the data can't be opened, do not serve the task, or the tokenizer can't be made.
    """
    check_serves(data.source, task)
    if task == "vision-classification":
        classes = tuple((name, 0) for name in classes_of(data.source))
        return Preview(data.source, "nothing: images are drawn on demand", "image", classes=classes)
    sample = read_sample(data, task)
    if context_limit is not None and data.context_length > context_limit:
        data = data.model_copy(update={"context_length": context_limit})
    made = train_tokenizer(tokenizer, _beginning(sample, _LEARNED_FROM))
    lengths = _measure(sample, made)
    labels = Counter(sample.answers if sample.classes else ())
    del labels[""]
    unknown, unknown_characters = _unknown(sample, made)
    units = None if sample.share is None else round(len(sample.whole) / sample.share)
    tokens = _tokens_in_all(sample, made, lengths)
    trained_on = 1.0 if data.validation_split is not None else 1 - data.validation_fraction
    per_step = batch_size * (data.context_length if sample.answers is None else 1)
    # What a built-in text repeats nobody can change; its description says it.
    copied = "" if resolve_source(data).is_built_in else _copied(sample, data)
    things = tokens if sample.answers is None else units
    is_exact = sample.share == 1.0 and len(lengths) == len(sample.whole) and made.kind in ("byte", "char")
    sentinels = span_sizes(data.context_length)[1] if task == "seq2seq" and sample.answers is None else 0
    found = Preview(
        name=sample.name,
        looked_at=_looked_at(sample),
        unit=sample.unit,
        share=sample.share,
        documents=sample.documents,
        columns=_columns(sample),
        header=sample.header,
        first_rows=sample.first_rows,
        batch=show_batch(sample, made, data, task),
        lengths=_bars(lengths),
        typical_length=int(np.median(lengths)) if lengths.size else 0,
        long_length=int(np.quantile(lengths, 0.95)) if lengths.size else 0,
        longest=int(lengths.max()) if lengths.size else 0,
        classes=tuple(labels.most_common()),
        truncated=float((lengths > data.context_length).mean()) if sample.answers and lengths.size else None,
        empty=1 - len(sample.whole) / max(1, len(sample.texts)),
        duplicates=_duplicates(sample),
        longer_column=sample.longer_column,
        unknown=unknown,
        unknown_characters=unknown_characters,
        units=units,
        tokens=tokens,
        counted="exact" if is_exact else "about",
        vocab_size=vocabulary_with_specials(
            made.vocab_size, task, own=made.special, documents=sample.documents, sentinels=sentinels
        ),
        tokens_per_parameter=tokens * trained_on / parameters if tokens and parameters else None,
        steps_per_epoch=things * trained_on / per_step if things else None,
        notes=(
            *sample.notes,
            *([made.note] if made.note and sample.share == 1.0 else []),
        ),
    )
    warnings = warnings_of(found, data, context_limit=context_limit)
    return replace(found, warnings=(*warnings, *filter(None, [copied])))


def _copied(sample: Sample, data: DataSpec) -> str:
    """Return what is said of validation lines that are trained on too, as far as the beginning of a text tells."""
    if sample.unit != "line" or sample.documents or data.validation_split is not None:
        return ""
    text = "".join(sample.texts)
    spans, lines = list(split_text([text], len(text), data.validation_fraction)), ValidationLines()
    lines.note(spans)
    return copies_note(lines.copies(spans, len(text)))


def _beginning(sample: Sample, characters: int) -> str:
    """Return what a vocabulary is learned from."""
    taken: list[str] = []
    size = 0
    for place, text in enumerate(sample.texts):
        taken.append(text if sample.unit == "line" else f"{text}\n")
        if sample.answers is not None and not sample.classes:
            taken.append(f"{sample.answers[place]}\n")
        size += len(text)
        if size > characters:
            break
    return "".join(taken)


def _measure(sample: Sample, tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Return how many tokens units have, as far as they count for the context, for the first of the whole ones."""
    places: list[int] = []
    characters = 0
    for place in sample.whole:
        places.append(place)
        characters += len(sample.texts[place])
        if characters > _COUNTED:
            break
    lengths = _token_counts(tokenizer, [sample.texts[place] for place in places])
    if sample.answers is None or sample.classes:
        return lengths
    # A pair needs room for its longer side, and an end.
    return np.maximum(lengths, _token_counts(tokenizer, [sample.answers[place] for place in places])) + 1


def _token_counts(tokenizer: Tokenizer, texts: list[str]) -> NDArray[np.int64]:
    return np.array([len(ids) for ids in tokenizer.encode_all(texts)], dtype=np.int64)


def _tokens_in_all(sample: Sample, tokenizer: Tokenizer, lengths: NDArray[np.int64]) -> int | None:
    """Return how many tokens there are in all of the data, ends of documents among them."""
    if sample.share is None:
        return None
    if sample.unit == "line":  # a text is encoded as a whole, with its blank lines
        beginning = _beginning(sample, _COUNTED)
        per_character = len(tokenizer.encode(beginning)) / max(1, len(beginning))
        return round((per_character * sum(map(len, sample.texts)) + len(sample.ends)) / sample.share)
    ends = 1 if sample.answers is None else 0
    return round((lengths.mean() + ends) * len(sample.whole) / sample.share) if lengths.size else 0


def _looked_at(sample: Sample) -> str:
    count = f"{len(sample.texts):,} {sample.unit}{'' if len(sample.texts) == 1 else 's'}"
    first = f"the first {sample.unit}" if len(sample.texts) == 1 else f"the first {count}"
    if sample.share == 1.0:
        return f"all {count}"
    if sample.share is None:
        return first
    share = f"{sample.share:.0%}" if sample.share >= 0.01 else f"{sample.share:.2%}"
    return f"{first}, about {share.replace('%', ' %')}"


def _columns(sample: Sample) -> tuple[ColumnChoice, ...]:
    if sample.mapping is None:
        return ()
    return tuple(ColumnChoice(role, name, sample.mapping.why[role]) for role, name in sample.mapping.roles.items())


def _bars(lengths: NDArray[np.int64]) -> tuple[Bar, ...]:
    """Count lengths by powers of two."""
    if not lengths.size:
        return ()
    powers = np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64)
    return tuple(Bar(2**power, int(count)) for power, count in enumerate(np.bincount(powers)))


def _duplicates(sample: Sample) -> float:
    texts = [text.strip() for text in sample.texts if text.strip()]
    if sample.unit == "line":
        long = [text for text in texts if len(text.encode("utf-8", "surrogatepass")) >= _SHORT_LINE]
        texts = long if len(long) >= _LONG_ENOUGH * len(texts) else texts
    return 1 - len(set(texts)) / len(texts) if texts else 0.0


def _unknown(sample: Sample, tokenizer: Tokenizer) -> tuple[float, str]:
    """Return the share of characters that the tokenizer does not know, and the most frequent of them."""
    token = tokenizer.special.get("unknown")
    if token is None:
        return 0.0, ""
    counts = Counter("".join(sample.texts))
    ids = tokenizer.encode_all([character for character, _ in counts.most_common(_MOST_CHARACTERS)])
    missing = [
        (character, count)
        for (character, count), found in zip(counts.most_common(_MOST_CHARACTERS), ids, strict=True)
        if token in found
    ]
    share = sum(count for _, count in missing) / max(1, counts.total())
    return share, "".join(character for character, _ in missing[:20])
