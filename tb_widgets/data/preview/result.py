"""What a preview has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from tb_widgets.data.preview.shown_batch import BatchRow
from tb_widgets.spec.tasks import Role


class ColumnChoice(NamedTuple):
    """A column, the role that it plays, and why."""

    role: Role
    column: str
    why: str


class Bar(NamedTuple):
    """One bar of a histogram: how many texts have at most so many tokens, and more than the bar before it."""

    up_to: int
    texts: int


@dataclass(frozen=True)
class Preview:
    """What a task makes of some data.

    Attributes
    ----------
    name
        Built-in source or file name.
    looked_at
        How much was read, in words.
    unit
        What is counted: ``line`` of a plain text, or ``row``; ``image``.
    share
        How much was read, 0 to 1; ``None`` where that can't be told.
    documents
        Whether there are several, so that whole ones are held back.
    columns
        Which columns are read, and why.
    header, first_rows
        The first rows as a person reads them.
    batch
        Some rows of a batch as the model gets it.
    lengths
        How many units have how many tokens.
    typical_length, long_length, longest
        Tokens of a unit in the middle of them, of one that 95 in a hundred do not exceed, and of the longest.
    classes
        Names of the classes in the sample, and how many rows each has; the most frequent first.
    truncated
        Share of the units that are longer than the context; ``None`` where nothing is cut.
    empty, duplicates
        Shares of the units: without content (of rows: without text or without answer), and seen before.
    longer_column
        A column whose texts are much longer than those that are read, and how many times as long.
    unknown
        Share of the characters that the tokenizer does not know; ``unknown_characters`` are the most frequent ones.
    units, tokens
        How many there are in all; ``None`` where that can't be told. ``counted`` says whether that is ``exact`` or
        ``about`` right.
    vocab_size
        Token ids that the model must know.
    tokens_per_parameter, steps_per_epoch
        Of the part that is trained on.
    notes
        What was found out on opening the data.
    warnings
        What would waste the user's time, in sentences.
    """

    name: str
    looked_at: str
    unit: str
    share: float | None = 1.0
    documents: bool = False
    columns: tuple[ColumnChoice, ...] = ()
    header: tuple[str, ...] = ()
    first_rows: tuple[tuple[str, ...], ...] = ()
    batch: tuple[BatchRow, ...] = ()
    lengths: tuple[Bar, ...] = ()
    typical_length: int = 0
    long_length: int = 0
    longest: int = 0
    classes: tuple[tuple[str, int], ...] = ()
    truncated: float | None = None
    empty: float = 0.0
    duplicates: float = 0.0
    longer_column: tuple[str, float] | None = None
    unknown: float = 0.0
    unknown_characters: str = ""
    units: int | None = None
    tokens: int | None = None
    counted: Literal["exact", "about"] = "about"
    vocab_size: int | None = None
    tokens_per_parameter: float | None = None
    steps_per_epoch: float | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
