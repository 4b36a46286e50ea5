"""Texts as single examples, each with its answer: labelled texts, and pairs of texts. Imports no torch."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from tb_widgets.data.keyed_random import draws, key_of
from tb_widgets.data.reading.columns import map_columns
from tb_widgets.data.reading.open import Column, Table, Texts, open_data
from tb_widgets.data.refusals import MOST_CLASSES, nothing_to_tell_apart, too_many_values
from tb_widgets.data.sources.builtin import classes_of, read_text
from tb_widgets.errors import DataError
from tb_widgets.spec import TASKS, DataSpec, Task

_SHORTEST, _LONGEST = 20, 200  # characters of a line
_WHOLE_FLOAT = re.compile(r"^([+-]?\d+)\.0+$")
_WORD = re.compile("[A-Za-z]{3}")
_WORDS, _PAIRS, _FEWEST, _MOST = 50, 20_000, 2, 5


class Example(NamedTuple):
    """A text and its answer: the name of a class, or another text."""

    text: str
    answer: str


Read = Callable[[], Iterator["Example | None"]]


@dataclass(frozen=True)
class ExampleSet:
    """All examples of a source.

    Attributes
    ----------
    name
        The source.
    classes
        Names of the classes that the answers are; empty where they are texts.
    fingerprint
        SHA-256 of all that decides what the examples are, hexadecimal.
    read
        Yields the examples, as often as it is called; ``None`` for a row without text or answer.
    read_held_back
        Yields those that the dataset itself holds back, if it is to say which.
    notes
        Sentences about what was found out on opening, for example an encoding.
    """

    name: str
    classes: tuple[str, ...]
    fingerprint: str
    read: Read
    read_held_back: Read | None = None
    notes: tuple[str, ...] = ()

    @property
    def sides(self) -> tuple[str, str]:
        """What each row must have."""
        return ("text", "label") if self.classes else ("source", "target")

    def rows(self, data: DataSpec) -> Iterator[tuple[bool, Example] | None]:
        """Yield each example and whether it is held back; ``None`` for a row without text or answer.

        The part of an example follows from its own text, so that no text can be in both, and runs that differ in seed
        or sizes are tested on the same ones. Where the dataset itself holds some back, those come first, and
        whatever training row has the text of one is skipped.
        """
        if self.read_held_back is None:
            border = data.validation_fraction * 2**64
            for row in self.read():
                yield None if row is None else (int(key_of("part", row.text)) < border, row)
            return
        seen = set()
        for row in self.read_held_back():
            if row is not None:
                seen.add(key_of("part", row.text))
            yield None if row is None else (True, row)
        for row in self.read():
            if row is None or key_of("part", row.text) not in seen:
                yield None if row is None else (False, row)

    def training_texts(self, data: DataSpec) -> Iterator[str]:
        """Yield the texts that are not held back, and their answers where these are texts, a line each."""
        for row in self.rows(data):
            if row is not None and not row[0]:
                yield f"{row[1].text}\n" if self.classes else f"{row[1].text}\n{row[1].answer}\n"


def find_examples(data: DataSpec, task: Task) -> ExampleSet:
    """Return the examples of a source: one of ours, or a table of rows.

    Raises
    ------
    DataError
        If it is a plain text, its columns can't be told, or its labels are no classes.
    """
    if data.source in _BUILT_IN:
        return _BUILT_IN[data.source]()
    table = open_data(data)
    if isinstance(table, Texts):
        doing, need = TASKS[task].does, TASKS[task].needs
        raise DataError(
            f"data.source: the model {doing} ({task}) and needs {need}, but {table.name} is plain text.",
            hint="Choose a table (csv, tsv, json, jsonl or parquet).",
        )
    roles = map_columns(table, task, data.columns).roles
    classes: tuple[str, ...] = ()
    answer: Callable[[Any], str] = cell_text
    if task == "seq2seq":
        names = (roles["source"], roles["target"])
    else:
        names = (roles["text"], roles["label"])
        column = next(column for column in table.columns if column.name == names[1])
        classes = _classes(table, column)
        answer = class_name(column)
    digest = hashlib.sha256(f"{table.fingerprint}/{names}/{classes}".encode())
    held_back = table.own_validation
    if held_back is not None:
        digest.update(f"/{held_back.fingerprint}".encode())
    return ExampleSet(
        table.name,
        classes,
        digest.hexdigest(),
        lambda: _examples(table, names, answer),
        None if held_back is None else lambda: _examples(held_back, names, answer),
        table.notes,
    )


def _examples(table: Table, names: tuple[str, str], answer: Callable[[Any], str]) -> Iterator[Example | None]:
    for text, given in table.rows(names):
        example = Example(cell_text(text), answer(given))
        yield example if example.text and example.answer else None


def cell_text(value: Any) -> str:
    """Return what a cell of a table says; empty where it says nothing."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else str(value)
    return text if text.strip() else ""


def class_name(column: Column) -> Callable[[Any], str]:
    """Return what names the class of a label column's value; the name is empty where there is none."""
    if not column.names:
        if column.kind == "whole":
            return lambda value: _WHOLE_FLOAT.sub(r"\1", cell_text(value).strip())
        return lambda value: cell_text(value).strip()
    # Datasets mark rows whose label is secret with -1.
    return lambda value: column.names[value] if value is not None and 0 <= value < len(column.names) else ""


def _classes(table: Table, column: Column) -> tuple[str, ...]:
    """Return the names of a label column's classes, in the order of their numbers.

    Raises
    ------
    DataError
        If there are too few or too many.
    """
    if column.names:
        return column.names
    name_of, counts = class_name(column), Counter[str]()
    for (value,) in table.rows([column.name]):
        counts[name_of(value)] += 1
        if len(counts) > MOST_CLASSES + 1:
            raise too_many_values(column.name, table.name)
    found = [name for name in counts if name]
    if len(found) < 2:
        raise nothing_to_tell_apart(column.name, table.name, found[0] if found else None)
    return tuple(sorted(found, key=_number_first))


def _number_first(name: str) -> tuple[float, str]:
    """Order 2 before 10, and numbers before words."""
    return (int(name) if re.fullmatch(r"-?\d{1,15}", name) else float("inf"), name)


@lru_cache(maxsize=1)
def _prose_or_code() -> ExampleSet:
    """Lines of the reference against lines of the library, as many of each; what is in both is left out."""
    prose, code = _lines("python-docs"), _lines("python-source")
    only_prose = [line for line in prose if line not in code]
    only_code = [line for line in code if line not in prose]
    number = min(len(only_prose), len(only_code))
    classes = classes_of("prose-or-code")
    examples = []
    for place in range(number):  # the two take turns, each spread over all of its text
        examples.append(Example(only_prose[place * len(only_prose) // number], classes[0]))
        examples.append(Example(only_code[place * len(only_code) // number], classes[1]))
    return _set("prose-or-code", examples, classes)


def _lines(source: str) -> dict[str, None]:
    """Return the different lines of a text, in order, without their indentation, which would give them away."""
    lines = (line.strip() for line in read_text(source).splitlines())
    return dict.fromkeys(line for line in lines if _SHORTEST <= len(line) <= _LONGEST and _WORD.search(line))


@lru_cache(maxsize=1)
def _reversed_words() -> ExampleSet:
    """Lines of two to five of the 50 most frequent words of the reference, and the same words backwards.

    The draws follow from a fixed key and not from the run's seed, so that all runs are tested on the same lines.
    """
    counts = Counter(re.findall(r"\b[a-z]{3,8}\b", read_text("python-docs")))
    words = sorted(counts, key=lambda word: (-counts[word], word))[:_WORDS]
    found: dict[str, str] = {}
    for row in draws(key_of("reversed-words"), _PAIRS * 4 * _MOST).reshape(_PAIRS, 4 * _MOST):
        number = _FEWEST + int(row[0]) % (_MOST - _FEWEST + 1)
        line = list(dict.fromkeys(words[int(draw) % len(words)] for draw in row[1:]))[:number]
        found[" ".join(line)] = " ".join(reversed(line))
    return _set("reversed-words", [Example(text, answer) for text, answer in found.items()], ())


def _set(name: str, examples: list[Example], classes: tuple[str, ...]) -> ExampleSet:
    digest = hashlib.sha256()
    for example in examples:
        digest.update(f"{example.text}\n{example.answer}\n".encode("utf-8", "surrogatepass"))
    return ExampleSet(name, classes, digest.hexdigest(), lambda: iter(examples))


_BUILT_IN: dict[str, Callable[[], ExampleSet]] = {"prose-or-code": _prose_or_code, "reversed-words": _reversed_words}
