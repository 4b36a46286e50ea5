"""Sentences for data that can't be learned from: the look before a run says the same as the run would."""

from __future__ import annotations

from tb_widgets.errors import DataError

MOST_CLASSES = 1000
"""A column with more different values is no label."""

_SHORT = 16  # tokens: a text that fills no such context is too short, whatever the context

_OTHER_LABEL = "Choose the label column in data.columns, for example {label: category}."


def too_many_values(column: str, name: str) -> DataError:
    """Return what is said of a label column that holds no classes."""
    return DataError(
        f"The column {column} of {name} has more than {MOST_CLASSES:,} different values: too many for classes.",
        hint=_OTHER_LABEL,
    )


def nothing_to_tell_apart(column: str, name: str, only: str | None) -> DataError:
    """Return what is said of a label column with one value, or none."""
    values = "no value" if only is None else f"the one value {only!r}"
    return DataError(f"The column {column} of {name} has {values}: there is nothing to classify.", hint=_OTHER_LABEL)


def pairs_too_long(name: str, *, longest: int, context_length: int, too_long: int, pairs: int) -> DataError:
    """Return what is said of pairs beyond the context, where they are neither cut nor left out; lengths in tokens."""
    return DataError(
        f"data.context_length: {too_long:,} of {pairs:,} pairs of {name} are longer than {context_length:,} tokens; "
        f"the longest text has {longest:,} with its end token.",
        hint=f"Set data.context_length to at least {longest}, choose a tokenizer with longer tokens, or set "
        "data.long_pairs to leave-out or cut.",
    )


def too_short(part: str, name: str, *, tokens: int, context_length: int) -> DataError:
    """Return what is said of a ``training set`` or ``validation set`` that does not fill one context."""
    longest = tokens - 1
    shorter = f"Set data.context_length to at most {longest}, " if longest >= 2 else ""
    field = "data.context_length" if longest >= _SHORT else "data.source"
    fraction = "smaller" if part == "training set" else "larger"
    return DataError(
        f"{field}: the {part} of {name} has {tokens:,} tokens, but one context needs {context_length + 1:,} "
        f"({context_length:,} and the token after it).",
        hint=f"{shorter}{'c' if shorter else 'C'}hoose a longer text, or a {fraction} data.validation_fraction.",
    )
