"""A look at data: what is in them, and whether the model can learn from them. No widget is known here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tb_widgets.data.preview.preview import preview_data
from tb_widgets.data.preview.problems import problems_of
from tb_widgets.data.preview.result import Preview
from tb_widgets.data.reading.columns import map_columns
from tb_widgets.data.reading.open import Column, Table, open_data
from tb_widgets.data.sources.builtin import check_serves
from tb_widgets.data.sources.resolve import resolve_source
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, Task, TokenizerSpec


class Look(NamedTuple):
    """What data are like.

    Attributes
    ----------
    columns
        Of a table; empty for plain texts and for ours.
    roles, why
        Which column is what, and how that was told.
    preview
        What the page shows of them; ``None`` where a ``problem`` leaves nothing to show.
    problem
        Why the model can't learn from them as they are.
    notes
        What was found out while they were opened, for example an encoding.
    """

    columns: tuple[Column, ...] = ()
    roles: Mapping[str, str] = {}
    why: Mapping[str, str] = {}
    preview: Preview | None = None
    problem: DataError | None = None
    notes: tuple[str, ...] = ()


class Question(NamedTuple):
    """What is asked of data: everything that a look depends on."""

    data: DataSpec
    tokenizer: TokenizerSpec
    task: Task
    vocab_limit: int | None
    context_limit: int | None
    parameters: int | None
    batch_size: int
    class_limit: int | None = None


def look_at(question: Question) -> Look:
    """Find out what data are like and whether a model can learn from them. Takes up to two seconds.

    Raises
    ------
    DataError
        If they can't be read.
    """
    data, task = question.data, question.task
    found = Look()
    is_ours = resolve_source(data).is_built_in
    if not is_ours:
        opened = open_data(data)
        found = Look(notes=opened.notes)
        if isinstance(opened, Table):
            found = found._replace(columns=opened.columns)
            try:
                mapping = map_columns(opened, task, data.columns)
            except DataError as error:
                return found._replace(problem=error)
            found = found._replace(roles=dict(mapping.roles.items()), why=dict(mapping.why.items()))
    try:
        if is_ours:
            check_serves(data.source, task)
        shown = preview_data(
            data,
            question.tokenizer,
            task,
            context_limit=question.context_limit,
            parameters=question.parameters,
            batch_size=question.batch_size,
        )
    except DataError as error:
        return found._replace(problem=error)
    problem = next(problems_of(shown, data, class_limit=question.class_limit, vocab_limit=question.vocab_limit), None)
    return found._replace(preview=shown, problem=problem)
