"""What is known before a run to end it: no advice, but a reason not to start. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tb_widgets.data import refusals
from tb_widgets.spec import DataSpec
from tb_widgets.spec.fit import Limits, is_beyond

if TYPE_CHECKING:
    from tb_widgets.data.preview.result import Preview
    from tb_widgets.errors import DataError

# What is counted in a look may differ a little from what a run counts: its vocabulary learns from the training part.
_SURELY = 0.8


def problems_of(
    found: Preview, data: DataSpec, *, class_limit: int | None, vocab_limit: int | None = None
) -> Iterator[DataError]:
    """Yield why no run with these data could begin.

    Parameters
    ----------
    found
        What the look has found. Where only the beginning was read, more rows may mend what is missing in it, and
        nothing mends what is too much.
    class_limit
        Classes that the model tells apart; ``None`` where it tells as many as there are.
    vocab_limit
        Token ids that the model knows; ``None`` where it knows as many as there are.
    """
    yield from _of_classes(found, class_limit)
    yield from Limits(vocab_limit).refusals(vocab_size=found.vocab_size)
    if not found.classes and found.truncated and data.long_pairs == "refuse" and found.lengths:
        pairs = sum(bar.texts for bar in found.lengths)
        yield refusals.pairs_too_long(
            found.name,
            longest=found.longest,
            context_length=data.context_length,
            too_long=max(1, round(found.truncated * pairs)),
            pairs=pairs,
        )
    is_running_text = found.truncated is None and found.unit in ("line", "row")
    if found.share == 1.0 and is_running_text and found.tokens is not None and data.validation_split is None:
        # How much whole documents that are held back hold is chance; of one text it is a share.
        larger = 0.5 if found.documents else 1 - data.validation_fraction
        for part, share in (("training set", larger), ("validation set", 1 - larger)):
            tokens = round(found.tokens * share)
            if tokens < _SURELY * (data.context_length + 1):
                yield refusals.too_short(part, found.name, tokens=tokens, context_length=data.context_length)
                return


def _of_classes(found: Preview, class_limit: int | None) -> Iterator[DataError]:
    column = next((choice.column for choice in found.columns if choice.role == "label"), None)
    if column is None:
        return
    number = len(found.classes)
    if number > refusals.MOST_CLASSES:
        yield refusals.too_many_values(column, found.name)
    elif is_beyond(number, class_limit):
        yield from Limits(classes=class_limit).refusals(classes=number)
    elif number < 2 and found.share == 1.0:
        yield refusals.nothing_to_tell_apart(column, found.name, found.classes[0][0] if found.classes else None)
