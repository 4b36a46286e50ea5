"""Texts as single examples, each with its answer: labelled lines, and pairs of lines. Imports no torch."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from tb_widgets.data.order import draws, key_of
from tb_widgets.data.sources import classes_of, read_text
from tb_widgets.errors import DataError

_SHORTEST, _LONGEST = 20, 200  # characters of a line
_WORD = re.compile("[A-Za-z]{3}")
_WORDS, _PAIRS, _FEWEST, _MOST = 50, 20_000, 2, 5


@dataclass(frozen=True)
class Example:
    """A text and its answer: the name of a class, or another text."""

    text: str
    answer: str


@dataclass(frozen=True)
class ExampleSet:
    """All examples of a source.

    Attributes
    ----------
    name
        The source.
    examples
        No text occurs twice.
    classes
        Names of the classes that the answers are; empty where they are texts.
    fingerprint
        SHA-256 of all of it, hexadecimal.
    """

    name: str
    examples: tuple[Example, ...]
    classes: tuple[str, ...]
    fingerprint: str

    def parts(self, validation_fraction: float) -> tuple[list[Example], list[Example]]:
        """Return training and held-back examples.

        The part of an example follows from its own text, so that no text can be in both, and runs that differ in seed
        or sizes are tested on the same ones.

        Raises
        ------
        DataError
            If one of the parts is empty.
        """
        border = validation_fraction * 2**64
        held_back = [int(key_of("part", example.text)) < border for example in self.examples]
        parts = [
            [e for e, is_held in zip(self.examples, held_back, strict=True) if is_held is it] for it in (False, True)
        ]
        if not all(parts):
            raise DataError(
                f"data.validation_fraction is {validation_fraction}, which leaves one part of {self.name} empty.",
                hint="Set it to 0.1.",
            )
        return parts[0], parts[1]


def read_examples(source: str) -> ExampleSet:
    """Return the examples of a built-in source of labelled lines or of pairs."""
    return {"prose-or-code": _prose_or_code, "reversed-words": _reversed_words}[source]()


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
    lines = (line.strip() for line in read_text(source).text.splitlines())
    return dict.fromkeys(line for line in lines if _SHORTEST <= len(line) <= _LONGEST and _WORD.search(line))


@lru_cache(maxsize=1)
def _reversed_words() -> ExampleSet:
    """Lines of two to five of the 50 most frequent words of the reference, and the same words backwards.

    The draws follow from a fixed key and not from the run's seed, so that all runs are tested on the same lines.
    """
    counts = Counter(re.findall(r"\b[a-z]{3,8}\b", read_text("python-docs").text))
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
    return ExampleSet(name, tuple(examples), classes, digest.hexdigest())
