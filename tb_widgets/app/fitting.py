"""Which text and sizes fit a model that has been tried. No widget is known here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tb_widgets.data.sources import NEEDS, PLAIN_TASKS, TABLE_TASKS, list_sources, tasks_of
from tb_widgets.data.special import span_sizes, vocabulary_with_specials
from tb_widgets.models.zoo import sizes
from tb_widgets.spec import RunSpec, Task

BYTES = 256  # tokens of the byte tokenizer
FEWEST = 32  # pieces of any other


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model once it has been tried; for ours, what is known anyway."""

    task: Task
    parameters: int | None = None
    vocab_size: int | None = None
    context_limit: int | None = None
    classes: int | None = None

    @classmethod
    def of_ours(cls, name: str) -> ModelFacts:
        """Return the facts of a zoo model; it takes whatever vocabulary and context it is given."""
        return cls(sizes.TASKS[name])

    @classmethod
    def of_answer(cls, answer: Mapping[str, Any]) -> ModelFacts:
        """Return the facts in the answer of :meth:`tb_widgets.service.probing.ProbeService.adapt`."""
        vocabularies = [answer.get(name) for name in ("vocab_size", "decoder_vocab_size")]
        known = [size for size in vocabularies if size is not None]
        return cls(
            task=answer["task"],
            parameters=answer["parameters"],
            vocab_size=min(known) if known else None,
            context_limit=answer["context_limit"],
            classes=answer["classes"],
        )


@dataclass(frozen=True)
class Misfit:
    """A field that does not fit the model.

    Attributes
    ----------
    path
        The field.
    value
        A value that fits; ``None`` where there is none.
    why
        What is wrong, as the end of a sentence that begins with the field's name.
    """

    path: str
    value: Any
    why: str


def misfits(spec: RunSpec, facts: ModelFacts, *, chosen: bool = True) -> list[Misfit]:
    """Return the fields of a spec that don't fit a model, each with a value that does.

    Data that nobody chose give way to data of ours that were made for the task, also where they would serve.
    """
    found = []
    task, tasks = facts.task, tasks_of(spec.data.source)
    best = list_sources(task)[0]
    if task not in tasks or (not chosen and tasks[0] != task == best.tasks[0]):
        doing, need = NEEDS[task]
        found.append(Misfit("data.source", best.name, f"the model {doing}, and needs {need}."))
    if task == "vision-classification":
        return found
    if facts.context_limit is not None and spec.data.context_length > facts.context_limit:
        why = f"the model reads {facts.context_limit:,} tokens at most."
        found.append(Misfit("data.context_length", facts.context_limit, why))
    if facts.vocab_size is None:
        return found
    documents = tasks == TABLE_TASKS  # as far as the name tells: each then ends with a sign
    # Signs stand for what is cut out of a plain text, unless other data take its place.
    is_kept = all(misfit.path != "data.source" for misfit in found)
    gaps = span_sizes(spec.data.context_length)[1] if tasks == PLAIN_TASKS and is_kept else 0
    added = vocabulary_with_specials(0, task, documents=documents, gaps=gaps)
    room = facts.vocab_size - added
    reserved = f", {added} of them for padding and other signs" if added else ""
    kind = spec.tokenizer.kind
    if kind in ("bpe", "unigram") and spec.tokenizer.vocab_size > room >= FEWEST:
        why = f"the model knows {facts.vocab_size:,} tokens{reserved}; choose at most {room:,}."
        found.append(Misfit("tokenizer.vocab_size", room, why))
    if kind == "byte" and room < BYTES:
        why = f"byte needs {BYTES} tokens; the model has {facts.vocab_size:,}{reserved}. Choose bpe."
        found.append(Misfit("tokenizer.kind", "bpe", why))
        if room >= FEWEST:
            why = f"the model knows {facts.vocab_size:,} tokens{reserved}."
            found.append(Misfit("tokenizer.vocab_size", min(room, spec.tokenizer.vocab_size), why))
    return found
