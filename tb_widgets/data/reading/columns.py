"""Which column of a table plays which role for a task: what was chosen, else a guess with its reason."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass

from tb_widgets.data.reading.open import Column, Table, Texts, open_data
from tb_widgets.data.sources.builtin import TEXT_TASKS, tasks_of
from tb_widgets.errors import DataError
from tb_widgets.spec import TASKS, DataSpec, Task
from tb_widgets.spec.tasks import Role
from tb_widgets.wording import listed

_TEXTS = (
    "text content document sentence review body article story passage message comment tweet post abstract "
    "utterance code question prompt title"
)
_LABELS = (
    "label labels class category sentiment intent topic emotion polarity genre target tag stars rating score "
    "label_text language spam y"
)
_PAIRS = (
    "source/target src/tgt input/output inputs/targets question/answer prompt/response prompt/completion "
    "instruction/output instruction/response document/summary article/highlights article/summary text/summary "
    "dialogue/summary original/simplified wrong/right from/to x/y"
)
_LANGUAGES = (
    "ar bg bn ca cs cy da de el en eo es et eu fa fi fr ga gl gu he hi hr hu hy id is it ja ka kk km ko la lt lv mk "
    "ml mn mr ms mt my nb ne nl nn no pa pl pt ro ru sa si sk sl sq sr sv sw ta te th tl tr uk ur uz vi zh"
)
CHOSEN = "You chose it."
"""The reason for a column that was not guessed."""

_SAMPLE = 200  # rows that a guess looks at
_MOST_COLUMNS = 50  # columns whose values it looks at
_CLEARLY = 2.0  # how many times longer the texts of one column must be than those of the next
_MOST_KINDS = 30  # different values among those rows, at most, that look like classes


_Found = dict[Role, tuple[Column, str]]
"""By role the column that plays it, and why."""


@dataclass(frozen=True)
class ColumnRoles:
    """Columns by role.

    Attributes
    ----------
    roles
        Name of the column for each role of the task.
    why
        For each role the reason, in words.
    """

    roles: dict[Role, str]
    why: dict[Role, str]


def learns_from_running_text(data: DataSpec, task: Task) -> bool:
    """Tell whether a task reads the data as running text, and not as examples with answers.

    Raises
    ------
    DataError
        If the data can't be opened, or no column can be told.
    """
    if task != "seq2seq":
        return task in TEXT_TASKS
    if "causal-lm" not in tasks_of(data.source):
        return False
    opened = open_data(data)
    return isinstance(opened, Texts) or "text" in map_columns(opened, task, data.columns).roles


def map_columns(table: Table, task: Task, chosen: abc.Mapping[Role, str]) -> ColumnRoles:
    """Return which columns a task reads.

    A choice is taken as it is; for roles without one, names decide, then what the columns hold in the first 200 rows.
    Choices for roles that the task does not have are left alone, so that they survive a change of the model.
    A table without pairs has a ``text`` for seq2seq: the model learns to fill in what is cut out of it.

    Raises
    ------
    DataError
        If a chosen column is missing or can't play its role, or a role has no clear column; the message names the
        columns there are.
    """
    if not TASKS[task].columns:
        raise DataError(
            f"data.source: {table.name} is a table, and this version can't read images from tables.",
            hint="Set data.source to drawn-shapes.",
        )
    known = {column.name: column for column in table.columns}
    for role, name in chosen.items():
        if name not in known:
            raise DataError(
                f"data.columns: {table.name} has no column {name!r} for the {role}; it has {listed(list(known))}.",
                hint="Choose one of these.",
            )
    needed = TASKS[task].columns
    if task == "seq2seq" and not {"source", "target"} & chosen.keys():
        texts = [column for column in table.columns if column.kind == "text"]
        needed = ("text",) if "text" in chosen or len(texts) == 1 else needed
    found: _Found = {role: (known[chosen[role]], CHOSEN) for role in needed if role in chosen}
    free = [column for column in table.columns if column.name not in chosen.values()]
    if "source" in needed and len(found) < 2:
        found = _pair(table, found, free) | found
    if "label" in needed and "label" not in found:
        found["label"] = _label(table, free)
        free.remove(found["label"][0])
    if "text" in needed and "text" not in found:
        found["text"] = _text(table, free)
    for role, (column, _) in found.items():
        if not _can_be(role, column):
            raise DataError(
                f"The column {column.name!r} of {table.name} can't be the {role}: it contains {column.holds}, but "
                f"{'classes must be whole numbers, words, or true and false' if role == 'label' else 'must be text'}.",
                hint="Choose another column in data.columns.",
            )
    roles: dict[Role, str] = {role: found[role][0].name for role in needed}
    if len(set(roles.values())) < len(roles):
        raise DataError(
            f"data.columns: {' and '.join(roles)} can't both be the column {next(iter(roles.values()))!r}.",
            hint="Choose two columns.",
        )
    return ColumnRoles(roles, {role: found[role][1] for role in needed})


def _can_be(role: Role, column: Column) -> bool:
    return column.kind not in ("list", "image", "other") and not (role == "label" and column.kind == "number")


def _text(table: Table, free: list[Column]) -> tuple[Column, str]:
    named = _named(free, _TEXTS, ("text",))
    if named is not None:
        return named, "Chosen by its name."
    texts = [column for column in free if column.kind == "text"][:_MOST_COLUMNS]
    if len(texts) == 1:
        return texts[0], "The only text column."
    lengths = [sum(map(len, values)) / max(1, len(values)) for values in _sampled(table, texts)]
    ranked = sorted(zip(lengths, texts, strict=True), key=lambda pair: -pair[0])
    if ranked and ranked[0][0] > _CLEARLY * ranked[1][0]:
        return ranked[0][1], f"The longest texts: {ranked[0][0]:,.0f} characters on average."
    raise _unclear("text", table, free)


def _label(table: Table, free: list[Column]) -> tuple[Column, str]:
    for column in free:
        if column.names:
            return column, f"Contains class names: {listed(column.names)}."
    named = _named(free, _LABELS, ("whole", "truth", "text", "number"))
    if named is not None:
        return named, "Chosen by its name."
    columns = [column for column in free if column.kind in ("whole", "truth", "text")][:_MOST_COLUMNS]
    few = []
    for column, values in zip(columns, _sampled(table, columns), strict=True):
        number = len(set(values))
        if 2 <= number <= min(_MOST_KINDS, len(values) // 2):
            few.append((column, f"Few distinct values: {number} in {len(values)} rows."))
    if len(few) == 1:
        return few[0]
    raise _unclear("label", table, free)


def _pair(table: Table, taken: _Found, free: list[Column]) -> _Found:
    """Return source and target, of which one may be taken."""
    by_name = {column.name.lower(): column for column in table.columns}
    texts = [column for column in table.columns if column.kind == "text"]
    # Beside languages, id is a number and not Indonesian.
    languages = {*_LANGUAGES.split()}
    spoken = [each for each in texts if each.name.lower().rpartition(".")[2] in languages and each.name.lower() != "id"]
    pairs = [
        (by_name[source], by_name[target], "Chosen by their names, {} and {}.")
        for source, target in (names.split("/") for names in _PAIRS.split())
        if source in by_name and target in by_name
    ]
    for two, why in (
        (spoken, "Named after two languages, {} and {}."),
        (texts, "The only two text columns, {} and {}."),
    ):
        if len(two) == 2:
            pairs += [(two[0], two[1], why), (two[1], two[0], why)]
    for source, target, why in pairs:
        reason = why.format(source.name, target.name)
        pair: _Found = {"source": (source, reason), "target": (target, reason)}
        if all(pair[role][0] == column for role, (column, _) in taken.items()):
            return pair
    raise _unclear("target" if "source" in taken else "source", table, free)


def _named(free: list[Column], names: str, kinds: tuple[str, ...]) -> Column | None:
    by_name = {column.name.lower().rpartition(".")[2]: column for column in reversed(free)}
    return next((by_name[name] for name in names.split() if name in by_name and by_name[name].kind in kinds), None)


def _sampled(table: Table, columns: list[Column]) -> list[list[str]]:
    """Return the values of columns in the first rows, as texts, without empty ones."""
    rows = table.first_rows([column.name for column in columns], _SAMPLE)
    return [[str(row[n]) for row in rows if row[n] not in (None, "")] for n in range(len(columns))]


def _unclear(role: Role, table: Table, free: list[Column]) -> DataError:
    held = listed([f"{column.name} ({column.holds})" for column in table.columns])
    fitting = [column.name for column in free if _can_be(role, column)]
    if not fitting:
        need = "classes (whole numbers, words, or true and false)" if role == "label" else "text"
        return DataError(
            f"data.columns: no remaining column of {table.name} looks like the {role}. It has {held}.",
            hint=f"Choose a table with a column of {need}; lists and nested values can't be used.",
        )
    return DataError(
        f"data.columns: which column of {table.name} holds the {role}? It has {held}.",
        hint=f"Choose one, for example {{{role}: {fitting[0]}}}.",
    )
