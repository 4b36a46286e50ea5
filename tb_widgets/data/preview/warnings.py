"""What would waste somebody's night, in sentences, told before the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tb_widgets.data.reading.columns import CHOSEN
from tb_widgets.spec import DataSpec

if TYPE_CHECKING:
    from tb_widgets.data.preview.result import Preview

_MANY = 0.1  # share of rows that is worth a warning
_BLANK_LINES = 0.38  # a plain text may have a blank line after every paragraph
_COPIED_LINES = 0.3  # and repeat itself
_FEW_TOKENS = 4  # a text that is usually shorter is a name or a number
_RARE = 0.01
_ONE_CLASS = 0.95


def warnings_of(found: Preview, data: DataSpec, *, context_limit: int | None = None) -> Iterator[str]:
    """Yield a sentence for each thing that would waste time, weighed against what the model reads at once."""
    yield from _of_content(found)
    yield from _of_lengths(found, data, context_limit)
    yield from _of_classes(found)
    if found.unknown > _RARE:
        yield (
            f"The tokenizer does not know {_percent(found.unknown)} of the characters "
            f"({' '.join(found.unknown_characters[:8])}): the model can't tell them apart. Choose another tokenizer."
        )
    if found.tokens_per_parameter is not None and found.tokens_per_parameter < _RARE:
        yield (
            f"The model has {round(1 / found.tokens_per_parameter):,} parameters per training token: it will "
            "memorise the text. Choose more data or a smaller model."
        )
    if found.steps_per_epoch is not None and found.steps_per_epoch < 1:
        yield "The whole dataset fits into one batch, so every step repeats it. Choose more data or a smaller batch."


def _of_content(found: Preview) -> Iterator[str]:
    if found.unit == "line" and found.empty > _BLANK_LINES:
        yield f"{_percent(found.empty)} of the lines are empty."
    elif found.unit == "row":
        columns = " or ".join(choice.column for choice in found.columns)
        # Whoever chose the column knows it; and articles line by line have blank rows as texts have blank lines.
        was_chosen = bool(found.columns) and all(choice.why == CHOSEN for choice in found.columns)
        if found.empty > (_BLANK_LINES if was_chosen else _MANY):
            yield (
                f"{_percent(found.empty)} of the rows are empty in {columns or 'one of their columns'} and skipped."
                f"{'' if was_chosen else ' Is it the right column?'}"
            )
    if found.longer_column is not None:
        other, times = found.longer_column
        chosen = next(choice.column for choice in found.columns if choice.role == "text")
        yield f"Texts of the column {other} are {times:.0f} times as long as those of {chosen}. Is it the right one?"
    if found.duplicates > (_COPIED_LINES if found.unit == "line" else _MANY):
        yield f"{_percent(found.duplicates)} of the {found.unit}s are duplicates."
    column = next((choice.column for choice in found.columns if choice.role in ("text", "source")), None)
    if column is not None and 0 < found.typical_length < _FEW_TOKENS:
        yield (
            f"The texts of the column {column} are very short: {found.typical_length} "
            f"token{'s' if found.typical_length > 1 else ''}. Is it the right column?"
        )


def _of_lengths(found: Preview, data: DataSpec, context_limit: int | None) -> Iterator[str]:
    if found.truncated is None:
        return
    fits = context_limit is None or found.long_length <= context_limit
    if found.classes and found.truncated > _MANY:
        wanted = f"{found.long_length:,} would cover 95 % of them."
        longest = f"The model reads at most {context_limit or 0:,}: choose a tokenizer with longer tokens."
        yield (
            f"{_percent(found.truncated)} of the texts are longer than {data.context_length:,} tokens "
            f"(data.context_length) and are truncated. "
            f"{wanted if fits else longest}"
        )
    elif not found.classes and found.truncated:
        done = {"leave-out": "they are skipped", "cut": "they are truncated"}
        if data.long_pairs in done:
            yield (
                f"{_percent(found.truncated)} of the pairs are longer than data.context_length "
                f"({data.context_length:,} tokens): {done[data.long_pairs]}."
                + (f" {found.long_length:,} would cover 95 %." if fits else "")
            )


def _of_classes(found: Preview) -> Iterator[str]:
    total = sum(count for _, count in found.classes)
    if not total:
        return
    (name, most), *others = found.classes
    if not others and found.share != 1.0:
        yield f"All rows of the sample have the label {name}: nothing to classify, unless other labels follow."
    elif others and most / total > _ONE_CLASS:
        yield f"{_percent(most / total)} of the rows have the label {name}: always predicting it would be nearly right."
    if len(found.classes) > total / 2:
        yield f"There are {len(found.classes):,} different labels in {total:,} rows. Is it the right column?"


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %") if share >= _RARE else f"{share:.1%}".replace("%", " %")
