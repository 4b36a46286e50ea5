"""Which column of a table plays which role for a task: what was chosen, else a guess with its reason."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from typing import Literal

from tb_widgets.data.reading.open import Column, Table, Texts, name_list, open_data
from tb_widgets.data.sources.builtin import TEXT_TASKS, tasks_of
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, Task

Role = Literal["text", "label", "source", "target"]

ROLES: dict[Task, tuple[Role, ...]] = {
    "causal-lm": ("text",),
    "masked-lm": ("text",),
    "sequence-classification": ("text", "label"),
    "seq2seq": ("source", "target"),
}
"""What the columns of a table can be for each task; images are not among them."""

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
    if task not in ROLES:
        raise DataError(
            f"data.source: {table.name} is a table, and this version reads no images from tables.",
            hint="Set data.source to drawn-shapes.",
        )
    known = {column.name: column for column in table.columns}
    for role, name in chosen.items():
        if name not in known:
            raise DataError(
                f"data.columns: {table.name} has no column {name!r} for the {role}; it has {name_list(list(known))}.",
                hint="Choose one of these.",
            )
    needed = ROLES[task]
    if task == "seq2seq" and not {"source", "target"} & chosen.keys():
        texts = [column for column in table.columns if column.kind == "text"]
        needed = ("text",) if "text" in chosen or len(texts) == 1 else needed
    found: dict[Role, tuple[Column, str]] = {role: (known[chosen[role]], CHOSEN) for role in needed if role in chosen}
    guess = _Guess(table, [column for column in table.columns if column.name not in chosen.values()])
    if needed == ROLES["seq2seq"]:
        if len(found) < 2:
            found |= {role: value for role, value in guess.pair(known, found).items() if role not in found}
    else:
        if "label" in needed and "label" not in found:
            found["label"] = guess.label()
            guess.free.remove(found["label"][0])
        if "text" not in found:
            found["text"] = guess.text()
    for role, (column, _) in found.items():
        _check_kind(role, column, table)
    roles: dict[Role, str] = {role: found[role][0].name for role in needed}
    if len(set(roles.values())) < len(roles):
        raise DataError(
            f"data.columns: {' and '.join(roles)} are both the column {next(iter(roles.values()))!r}.",
            hint="Choose two columns.",
        )
    return ColumnRoles(roles, {role: found[role][1] for role in needed})


def _check_kind(role: Role, column: Column, table: Table) -> None:
    if not _can_be(role, column):
        need = "classes are whole numbers, words, or true and false" if role == "label" else "texts are needed"
        raise DataError(
            f"The column {column.name!r} of {table.name} can't be the {role}: it holds {column.holds}, and {need}.",
            hint="Choose another column in data.columns.",
        )


def _can_be(role: Role, column: Column) -> bool:
    return column.kind not in ("list", "image", "other") and not (role == "label" and column.kind == "number")


class _Guess:
    """Guesses among the columns that nobody chose."""

    def __init__(self, table: Table, free: list[Column]) -> None:
        self.table, self.free = table, free

    def text(self) -> tuple[Column, str]:
        named = self._named(_TEXTS.split(), ("text",))
        if named is not None:
            return named, f"It is called {named.name}."
        texts = [column for column in self.free if column.kind == "text"][:_MOST_COLUMNS]
        if len(texts) == 1:
            return texts[0], "It is the only column of texts."
        lengths = [sum(map(len, values)) / max(1, len(values)) for values in self._sampled(texts)]
        ranked = sorted(zip(lengths, texts, strict=True), key=lambda pair: -pair[0])
        if ranked and ranked[0][0] > _CLEARLY * ranked[1][0]:
            return ranked[0][1], f"Its texts are the longest: {ranked[0][0]:,.0f} characters on average."
        raise self._unclear("text")

    def label(self) -> tuple[Column, str]:
        for column in self.free:
            if column.names:
                return column, f"It holds class names: {name_list(column.names)}."
        named = self._named(_LABELS.split(), ("whole", "truth", "text", "number"))
        if named is not None:
            return named, f"It is called {named.name}."
        columns = [column for column in self.free if column.kind in ("whole", "truth", "text")][:_MOST_COLUMNS]
        few = []
        for column, values in zip(columns, self._sampled(columns), strict=True):
            number = len(set(values))
            if 2 <= number <= min(_MOST_KINDS, len(values) // 2):
                few.append((column, f"It has few different values: {number} in {len(values)} rows."))
        if len(few) == 1:
            return few[0]
        raise self._unclear("label")

    def pair(
        self, known: abc.Mapping[str, Column], found: abc.Mapping[Role, tuple[Column, str]]
    ) -> dict[Role, tuple[Column, str]]:
        taken = {role: column for role, (column, _) in found.items()}
        texts = [column for column in known.values() if column.kind == "text"]
        by_name = {name.lower(): column for name, column in known.items()}
        for source, target in (pair.split("/") for pair in _PAIRS.split()):
            if source in by_name and target in by_name and _agrees(taken, by_name[source], by_name[target]):
                return self._pair(by_name[source], by_name[target], "They are called {} and {}.")
        spoken = [column for column in texts if column.name.lower().rpartition(".")[2] in _LANGUAGES.split()]
        if len(spoken) == 3:  # beside two languages, id is a number and not Indonesian
            spoken = [column for column in spoken if column.name.lower() != "id"]
        if len(spoken) == 2:
            return self._in_order(spoken, taken, "They are called by two languages, {} and {}.")
        if len(texts) == 2:
            return self._in_order(texts, taken, "They are the two columns of texts, {} and {}.")
        raise self._unclear("target" if "source" in taken else "source")

    def _in_order(
        self, two: list[Column], taken: abc.Mapping[Role, Column], why: str
    ) -> dict[Role, tuple[Column, str]]:
        pairs = [(two[0], two[1]), (two[1], two[0])]
        fitting = [pair for pair in pairs if _agrees(taken, *pair)]
        if not fitting:
            raise self._unclear("target" if "source" in taken else "source")
        return self._pair(*fitting[0], why)

    @staticmethod
    def _pair(source: Column, target: Column, why: str) -> dict[Role, tuple[Column, str]]:
        reason = why.format(source.name, target.name)
        return {"source": (source, reason), "target": (target, reason)}

    def _named(self, names: list[str], kinds: tuple[str, ...]) -> Column | None:
        by_name = {column.name.lower().rpartition(".")[2]: column for column in reversed(self.free)}
        return next((by_name[name] for name in names if name in by_name and by_name[name].kind in kinds), None)

    def _sampled(self, columns: list[Column]) -> list[list[str]]:
        """Return the values of columns in the first rows, as texts, without empty ones."""
        rows = self.table.first_rows([column.name for column in columns], _SAMPLE)
        return [[str(row[n]) for row in rows if row[n] not in (None, "")] for n in range(len(columns))]

    def _unclear(self, role: Role) -> DataError:
        held = name_list([f"{column.name} ({column.holds})" for column in self.table.columns])
        fitting = [column.name for column in self.free if _can_be(role, column)]
        if not fitting:
            need = "classes (whole numbers, words, or true and false)" if role == "label" else "texts"
            return DataError(
                f"data.columns: no column of {self.table.name} that is left can be the {role}. It has {held}.",
                hint=f"Give a table with a column of {need}; lists and nested values are not read.",
            )
        return DataError(
            f"data.columns: which column of {self.table.name} is the {role} can't be told. It has {held}.",
            hint=f"Choose one, for example {{{role}: {fitting[0]}}}.",
        )


def _agrees(taken: abc.Mapping[Role, Column], source: Column, target: Column) -> bool:
    return taken.get("source", source) == source and taken.get("target", target) == target
