"""Which text and sizes fit a model that has been tried. No widget is known here, and no code of a model runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tb_widgets.data.sources.builtin import PLAIN_TASKS, TABLE_TASKS, list_sources, tasks_of
from tb_widgets.data.tokenizers.special_tokens import span_sizes, vocabulary_with_specials
from tb_widgets.errors import SpecError
from tb_widgets.models.zoo import sizes
from tb_widgets.spec import TASKS, RunSpec, Task
from tb_widgets.spec.fit import ENLARGE_VOCABULARY, is_beyond, knows_too_few, reads_at_most
from tb_widgets.spec.text import write_value

if TYPE_CHECKING:
    from tb_widgets.models.load import LoadedModel

BYTES = 256  # tokens of the byte tokenizer
FITTED = ("data.source", "data.context_length", "tokenizer.kind", "tokenizer.vocab_size")
"""The fields that may be changed to fit a model."""
FEWEST = 32  # pieces of any other


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model once it has been tried; for ours, what is known anyway."""

    task: Task
    parameters: int | None = None
    vocab_size: int | None = None
    context_limit: int | None = None
    classes: int | None = None
    leaks: bool = False

    @classmethod
    def of_ours(cls, name: str) -> ModelFacts:
        """Return the facts of a zoo model; it takes whatever vocabulary and context it is given."""
        return cls(sizes.ZOO_TASKS[name])

    @classmethod
    def of_answer(cls, answer: Mapping[str, Any]) -> ModelFacts:
        """Return the facts in the answer of :meth:`tb_widgets.service.probing.ProbeService.adapt`."""
        return cls(
            task=answer["task"],
            parameters=answer["parameters"],
            vocab_size=_smaller(answer["vocab_size"], answer["decoder_vocab_size"]),
            context_limit=answer["context_limit"],
            classes=answer["classes"],
            leaks=answer["leaks"],
        )

    @classmethod
    def of_loaded(cls, model: LoadedModel) -> ModelFacts:
        """Return the facts of a model that was built in this process."""
        limits = model.limits
        return cls(
            model.task,
            model.parameters,
            limits.vocab_size,
            limits.context_limit,
            limits.classes,
            model.adapter.leaks,
        )


@dataclass(frozen=True)
class Misfit:
    """A field that does not fit the model.

    Attributes
    ----------
    path
        The field.
    value
        A value that fits.
    why
        What is wrong, as the end of a sentence that begins with the field's name.
    way
        What to choose, as a sentence; empty where ``value`` says it.
    is_wrong
        Whether it is wrong by itself; otherwise it would be, once what is wrong has been changed.
    """

    path: str
    value: Any
    why: str
    way: str = ""
    is_wrong: bool = True

    @property
    def problem(self) -> str:
        """What is wrong, and the way out."""
        return f"{self.why} {self.way}".strip()


@dataclass(frozen=True)
class Fitted:
    """A spec that has been fitted to a model.

    Attributes
    ----------
    spec
        The spec, with values that fit wherever nobody had chosen one.
    changes
        What was changed for that.
    left
        What was chosen and does not fit.
    """

    spec: RunSpec
    changes: list[Misfit]
    left: list[Misfit]


def fitted(spec: RunSpec, facts: ModelFacts, *, chosen: Collection[str]) -> Fitted:
    """Fit text and sizes to a model; the fields in ``chosen``, and those of its sections, stay as they are."""

    def stays(path: str) -> bool:
        return path in chosen or path.partition(".")[0] in chosen

    changes: dict[str, Misfit] = {}
    left: list[Misfit] = []
    # A text that fits may ask for other sizes, and those for nothing more.
    for _ in range(2):
        found = misfits(spec, facts, chosen=stays("data.source"))
        free = {misfit.path: misfit for misfit in found if not stays(misfit.path)}
        spec = spec.with_values({path: misfit.value for path, misfit in free.items()}) if free else spec
        changes |= free
        left = [misfit for misfit in found if stays(misfit.path)]
    return Fitted(spec, [*changes.values()], left)


def fit_or_refuse(spec: RunSpec, facts: ModelFacts, *, chosen: Collection[str]) -> tuple[RunSpec, list[str]]:
    """Fit text and sizes to a model, and say in a sentence each what was changed.

    Raises
    ------
    SpecError
        If a field that was chosen does not fit; the hint names values that do.
    """
    fit = fitted(spec, facts, chosen=chosen)
    if fit.left:
        values = ", ".join(f"{misfit.path}={write_value(misfit.value)}" for misfit in fit.left)
        wrong = [(misfit.path, misfit.problem) for misfit in fit.left if misfit.is_wrong]
        raise SpecError(wrong, hint=f"Values that fit: {values}")
    return fit.spec, [
        f"Set {change.path}={write_value(change.value)} to fit the model: {change.why}" for change in fit.changes
    ]


def _smaller(*sizes: int | None) -> int | None:
    return min((size for size in sizes if size is not None), default=None)


def misfits(spec: RunSpec, facts: ModelFacts, *, chosen: bool = True) -> list[Misfit]:
    """Return the fields of a spec that don't fit a model, each with a value that does.

    Data that nobody chose give way to data of ours that were made for the task, also where they would serve.
    """
    found = []
    task, tasks = facts.task, tasks_of(spec.data.source)
    best = list_sources(task)[0]
    if task not in tasks or (not chosen and tasks[0] != task == best.tasks[0]):
        doing, need = TASKS[task].does, TASKS[task].needs
        found.append(Misfit("data.source", best.name, f"the model {doing} and needs {need}."))
    if TASKS[task].reads_images:
        return found
    documents = tasks == TABLE_TASKS  # as far as the name tells: each then ends with a special token
    # Sentinels stand for what is cut out of a plain text, unless other data take its place.
    is_kept = all(misfit.path != "data.source" for misfit in found)
    sentinels = span_sizes(spec.data.context_length)[1] if tasks == PLAIN_TASKS and is_kept else 0
    added = vocabulary_with_specials(0, task, documents=documents, sentinels=sentinels)
    return found + _size_misfits(spec, facts.vocab_size, facts.context_limit, added=added)


def _size_misfits(spec: RunSpec, vocab_size: int | None, context_limit: int | None, *, added: int = 0) -> list[Misfit]:
    """Return the sizes of a spec that don't fit a model, each with a value that does.

    Parameters
    ----------
    vocab_size, context_limit
        Token ids that the model knows, and tokens that it reads at once, as far as they are known.
    added
        How many of the token ids the task needs for special tokens.
    """
    found = []
    if is_beyond(spec.data.context_length, context_limit):
        found.append(Misfit("data.context_length", context_limit, reads_at_most(context_limit)))
    if vocab_size is None:
        return found
    room, kind = vocab_size - added, spec.tokenizer.kind
    if kind in ("bpe", "unigram") and spec.tokenizer.vocab_size > room >= FEWEST:
        why = knows_too_few(spec.tokenizer.vocab_size + added, vocab_size)
        found.append(
            Misfit(
                "tokenizer.vocab_size",
                room,
                why,
                f"Choose {room:,} or less (at least {FEWEST}), or {ENLARGE_VOCABULARY}.",
            )
        )
    if kind == "byte" and room < BYTES:
        why = knows_too_few(BYTES + added, vocab_size)
        found.append(Misfit("tokenizer.kind", "bpe", why, f"Choose bpe, or {ENLARGE_VOCABULARY}."))
        if room >= FEWEST:
            fewer = min(room, spec.tokenizer.vocab_size)
            found.append(Misfit("tokenizer.vocab_size", fewer, why, is_wrong=False))
    return found
