"""What the curves of a run mean, and what to do: rules over its journal.

A rule is a function of :data:`RULES`: it looks at a :class:`Course` and returns a :class:`Hint`, or ``None``. It counts
validations, not lines of the journal, so that it says the same however densely a run writes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import inf, log
from statistics import median
from typing import Any, Literal

from tb_widgets.runs import RunDirectory, Status
from tb_widgets.runs.baselines import COUNTED, Baseline, Baselines
from tb_widgets.runs.curve import Curve, Curves
from tb_widgets.runs.journal import iter_records
from tb_widgets.runs.numbers import finite
from tb_widgets.spec import RATES, RunSpec, task_record
from tb_widgets.spec.metrics import GPU_BUSY
from tb_widgets.wording import plain_number, steps_in_words

KEYS = ("train/loss", "val/loss", "grad_norm", "lr", GPU_BUSY.key)
"""The curves that rules look at."""
EVENTS = ("phase", COUNTED)
"""The kinds of events that rules look at."""
EARLY = 20  # step
NEWEST = 5  # lines of the journal: fewer may be one bad batch
GPU_LINES = 20  # newest lines of the journal that tell how busy the GPU is
LOWEST, HIGHEST = RATES["adamw"].low, RATES["adamw"].high
MOST = 2  # hints at once: who is told everything is told nothing


@dataclass(frozen=True)
class Hint:
    """Something that a run's curves tell.

    Attributes
    ----------
    sentence
        What is the matter.
    why
        The evidence, with its numbers.
    action
        The one thing to do.
    tone
        ``warn`` where something goes wrong, ``on`` for advice about a run that goes well.
    """

    sentence: str
    why: str
    action: str
    tone: Literal["warn", "on"] = "warn"


@dataclass(frozen=True)
class Validation:
    """A validation: its step and loss, the mean training loss since the one before it, and the learning rate."""

    step: int
    loss: float
    train: float
    rate: float


class Course:
    """How a run has gone so far, as rules look at it.

    Parameters
    ----------
    curves
        Those of :data:`KEYS`, others beside them do not matter.
    spec, status
        What was asked for, and what the run says of itself.
    events
        Of the run; those of :data:`EVENTS` are looked at.
    """

    def __init__(self, curves: Curves, spec: RunSpec, status: Status, events: Iterable[dict[str, Any]] = ()) -> None:
        self.spec, self.status = spec, status
        self._train, self._validated, self._norms, self._rates, self._gpu_busy = (curves[key] for key in KEYS)
        self._events = [event for event in events if event.get("kind") in EVENTS]

    @cached_property
    def first_loss(self) -> float | None:
        """The validation loss of the untrained model."""
        return self._validated.values[0] if self._validated and self._validated.steps[0] == 0 else None

    @cached_property
    def began_fresh(self) -> bool:
        """Whether the model began as a guess that is about even, and was not trained before."""
        if not task_record(self.status.task).predicts_tokens:
            return self.first_loss is not None  # what tells classes apart is new
        size = finite(self.statistics.get("vocab_size"))
        return self.first_loss is not None and size is not None and size > 1 and self.first_loss > 0.8 * log(size)

    @cached_property
    def validations(self) -> list[Validation]:
        """The validations after step 0, where something was written about the training before them."""
        found = []
        points = zip(self._validated.steps, self._validated.values, strict=True)
        for (begin, _), (step, loss) in pairwise([(0.0, 0.0), *points]):
            train, rates = _between(self._train, begin, step), bisect_right(self._rates.steps, step)
            if train and rates:
                found.append(Validation(int(step), loss, _mean(train), self._rates.values[rates - 1]))
        return found

    @cached_property
    def best(self) -> Validation:
        """The validation with the lowest loss."""
        return min(self.validations, key=lambda found: found.loss)

    @property
    def losses(self) -> list[float]:
        """The validation losses after step 0."""
        return [found.loss for found in self.validations]

    @property
    def train_losses(self) -> list[float]:
        """The mean training losses before the validations."""
        return [found.train for found in self.validations]

    @property
    def last(self) -> Validation:
        """The newest validation."""
        return self.validations[-1]

    @cached_property
    def share(self) -> float:
        """How much of the run is done at the newest validation, 0 to 1."""
        return self.last.step / self.spec.training.steps

    @property
    def rate(self) -> float:
        """The learning rate at the newest validation, as a share of its peak."""
        return self.last.rate / self.spec.training.learning_rate

    @cached_property
    def restarts(self) -> bool:
        """Whether the learning rate has risen again after its warm-up: the loss may rise with it for a while."""
        return any(later.rate > 1.05 * earlier.rate for earlier, later in pairwise(self.after_warm_up()))

    def after_warm_up(self) -> list[Validation]:
        """Return the validations at which the learning rate had reached its peak."""
        training = self.spec.training
        return [found for found in self.validations if found.step >= training.warmup * training.steps]

    @cached_property
    def statistics(self) -> Mapping[str, Any]:
        """What the run has counted of its data."""
        told = [event.get("statistics") for event in self._events if event.get("kind") == "phase"]
        return next((found for found in reversed(told) if isinstance(found, dict)), {})

    @cached_property
    def epochs(self) -> float | None:
        """How often the training data have been read, as far as they were counted."""
        read = self.last.step * self.spec.training.batch_size
        examples, tokens = (finite(self.statistics.get(f"train_{unit}")) for unit in ("examples", "tokens"))
        if examples:
            return read / examples
        return read * self.spec.data.context_length / tokens if tokens else None

    @property
    def has_read_all(self) -> bool:
        """Whether the training data have been read once, as far as is known: before, nothing can be known by heart."""
        return self.epochs is None or self.epochs >= 1

    @cached_property
    def best_baseline(self) -> Baseline | None:
        """The lowest loss that needs no training."""
        return next(reversed(Baselines(self._events).lines), None)

    @property
    def step(self) -> int:
        """The newest step that something was written about."""
        return int(max(curve.steps[-1] for curve in (self._train, self._validated) if curve))

    @property
    def norms(self) -> list[float]:
        """Gradient norms before clipping, of all the run, and enough of them for a median."""
        return [*self._norms.values[:: max(1, len(self._norms) // 1000)]]

    @property
    def newest_norms(self) -> list[float]:
        """The gradient norms of the newest lines, whether or not a validation has come since."""
        return [*self._norms.values[-NEWEST:]]

    @property
    def newest_losses(self) -> list[float]:
        """The training losses of the newest lines."""
        return [*self._train.values[-NEWEST:]]

    @property
    def gpu_busy(self) -> float | None:
        """The share of the time in which the GPU computed, of late; ``None`` where too little of that is known."""
        values = self._gpu_busy.values[-GPU_LINES:]
        return median(values) if len(values) == GPU_LINES else None

    @cached_property
    def early_loss(self) -> float | None:
        """The mean training loss just before step 20, at which no fresh model knows much."""
        values = _between(self._train, EARLY // 2, EARLY)
        return _mean(values) if values and self.step >= EARLY and self.began_fresh else None

    @cached_property
    def moved(self) -> float:
        """The sum of the learning rates of all steps: about how far AdamW can have moved a weight."""
        steps = pairwise([0.0, *self._rates.steps])
        return sum(rate * (end - begin) for (begin, end), rate in zip(steps, self._rates.values, strict=True))

    @property
    def is_adam(self) -> bool:
        """Whether learning rates mean what they mean for AdamW; those of other optimisers are other numbers."""
        return self.spec.training.optimizer == "adamw"

    @property
    def kept(self) -> str:
        """That the best checkpoint is there."""
        best = self.status.best
        return f" The best checkpoint, of step {best['step']:,}, is kept." if best else ""

    @property
    def end_here(self) -> str:
        """That more steps won't help, and what to do instead."""
        if self.status.is_active:
            return "Stop now: more steps won't help."
        return f"Train for {steps_in_words(self.best.step)} next time: more won't help."

    def lower_rate(self) -> float:
        """Return a learning rate to try instead of one that is too high."""
        return min(self.spec.training.learning_rate / 3, HIGHEST if self.is_adam else inf)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)  # infinite where they are too large, as a damaged line may be


def _chance(values: Sequence[float]) -> float:
    """By how much a value lies beside the line between its neighbours, which no rule may take for a turn."""
    beside = [
        abs(here - (before + after) / 2) for before, here, after in zip(values, values[1:], values[2:], strict=False)
    ]
    return median(beside) if beside else inf


def _has_risen(values: Sequence[float], newest: int, *, least: float, chances: float) -> bool:
    """Whether all of the newest values lie above the lowest before them, by more than a share and than chance."""
    before, after = values[:-newest], values[-newest:]
    if len(before) < 3:
        return False
    lowest = min(range(len(before)), key=before.__getitem__)
    low = _mean(before[max(0, lowest - 1) : lowest + 2])  # one value may have been lucky
    return min(after) > low + max(least * low, chances * _chance(before[-8:]))


def _between(curve: Curve, begin: float, end: float) -> list[float]:
    first, last = bisect_right(curve.steps, begin), bisect_right(curve.steps, end)
    return [*curve.values[first:last]]


def leak(course: Course) -> Hint | None:
    """A loss that no model of language reaches: the model is told what it should predict."""
    last, record = course.last, task_record(course.status.task)
    characters = finite(course.statistics.get("characters_per_token")) or 1.0
    if record.continues and last.loss < 0.2 * characters:
        found = last.loss / characters
        why = f"It is {found:.2f} nats per character at step {last.step:,}; the best language models reach about 0.5."
    elif (best := course.best_baseline) and (early := course.early_loss) is not None and early < 0.5 * best.loss:
        why = f"By step {EARLY} it was {early:.2f}; {best.with_article} reaches {best.loss:.2f} without training."
    else:
        return None
    return Hint(
        "The loss is suspiciously low: the model may see the tokens it has to predict.",
        why,
        "Run the checks to see whether the model leaks, and look for training text in the validation set.",
    )


def exploding(course: Course) -> Hint | None:
    """Gradients that are, or have become, larger by orders of magnitude than those that training goes well with."""
    norms, losses = course.newest_norms, course.newest_losses
    usual, now = median(course.norms or [0.0]), median(norms or [0.0])
    has_grown = 0 < 30 * usual < now and bool(losses) and _mean(losses) > 1.2 * course.best.train
    if not (has_grown or min(usual, now) > 100):
        return None
    clip = course.spec.training.clip
    return Hint(
        "Exploding gradients: each step moves the weights too far.",
        f"The gradient norm is about {now:,.3g} at step {course.step:,}"
        + (f", up from about {usual:,.3g} before." if has_grown else ". Up to 10 is normal."),
        "Set training.clip to 1."
        if clip is None or clip > 1
        else f"Set training.learning_rate to {plain_number(course.lower_rate())}.",
    )


def rising(course: Course) -> Hint | None:
    """Training and validation loss both rise."""
    best, last = course.best, course.last
    if course.restarts:
        return None
    if not all(_has_risen(losses, 3, least=0.05, chances=2) for losses in (course.losses, course.train_losses)):
        return None
    # A few examples, learned well, may be lost and found again: that is little of what was won.
    began = course.losses[0] if course.first_loss is None else course.first_loss
    if min(course.losses[-3:]) - best.loss < 0.25 * (began - best.loss):
        return None
    return Hint(
        f"The loss has risen since step {best.step:,}: the learning rate is too high.",
        f"Training loss rose from {best.train:.3f} to {last.train:.3f}, validation loss from {best.loss:.3f} to "
        f"{last.loss:.3f}.",
        f"Set training.learning_rate to {plain_number(course.lower_rate())}.",
    )


def too_high(course: Course) -> Hint | None:
    """A learning rate beyond what transformers take, and a loss that goes up and down or waits for it to fall."""
    peak, told = course.spec.training.learning_rate, course.after_warm_up()
    if not (course.is_adam and peak > 3 * HIGHEST and course.share > 0.25 and len(told) >= 4):
        return None
    if course.restarts or overfitting(course):
        return None
    moves = [later.loss - earlier.loss for earlier, later in pairwise(told)]
    ups, downs = sum(move for move in moves if move > 0), -sum(move for move in moves if move < 0)
    # A rate that stays at its peak for long and falls at the end brings a late gain wherever it is.
    late = [found for found in told if found.step > 0.6 * course.spec.training.steps and found.rate < 0.7 * peak]
    if ups > 0.1 * downs:
        why = f"Since warm-up, validation loss rose by {ups:.2f} and fell by {downs:.2f} in total, back and forth."
    elif course.rate < 0.3 and late and late[0].loss - course.last.loss > 0.4 * (told[0].loss - late[0].loss):
        why = f"The loss fell from {late[0].loss:.2f} to {course.last.loss:.2f} only after the learning rate came down."
    else:
        return None
    return Hint(
        "The learning rate is too high.",
        f"{why} It is {plain_number(peak)} at its peak; up to {plain_number(HIGHEST)} is typical.",
        f"Set training.learning_rate to {plain_number(course.lower_rate())}.",
    )


def overfitting(course: Course) -> Hint | None:
    """Validation loss turns upwards while training loss still falls."""
    best = course.best
    if not (
        course.has_read_all and _has_risen(course.losses, 3, least=0.01, chances=1.5) and course.last.train < best.train
    ):
        return None
    return Hint(
        f"Overfitting since step {best.step:,}: the model memorises its training data.",
        f"Validation loss rose from {best.loss:.3f} to {course.last.loss:.3f}, while training loss fell from "
        f"{best.train:.3f} to {course.last.train:.3f}.{course.kept}",
        course.end_here,
    )


def memorising(course: Course) -> Hint | None:
    """Training loss far below a validation loss that hardly falls any more."""
    told, last = course.validations, course.last
    if len(told) < 5 or last.loss - last.train <= 0.35 * last.loss or not course.has_read_all or overfitting(course):
        return None
    gain = min(found.loss for found in told[:-3]) - min(found.loss for found in told[-3:])
    if gain >= 0.01 * last.loss:
        return None
    return Hint(
        "The model memorises more than it generalises.",
        f"Training loss is {last.train:.2f} and validation loss {last.loss:.2f}, which has barely fallen in 3 "
        f"evaluations.{course.kept}",
        "Train on more data.",
    )


def used_up(course: Course) -> Hint | None:
    """Data that were read many times, of which the model learns nothing more."""
    told = course.validations
    if len(told) < 6 or course.epochs is None or course.epochs < 10:
        return None
    before = min(told[:-3], key=lambda found: found.loss)
    gain = before.loss - min(found.loss for found in told[-3:])
    if gain >= 0.01 * before.loss or course.last.train > 0.97 * before.train:
        return None
    return Hint(
        "The training data is exhausted.",
        f"The model has read it {course.epochs:.0f} times. Since step {before.step:,}, training loss fell from "
        f"{before.train:.3f} to {course.last.train:.3f}, but validation loss did not fall below "
        f"{course.best.loss:.3f}.",
        "Train on more data.",
    )


def stuck(course: Course) -> Hint | None:
    """A model that is no better than an untrained one, not even on what it trains on."""
    first, last = course.first_loss, course.last
    if first is None or not course.began_fresh or min(course.best.loss, last.train) < 0.98 * first:
        return None
    if last.step < 100 or course.share < 0.25:
        return None
    rate = course.spec.training.learning_rate
    return Hint(
        "The model has learned nothing so far.",
        f"Validation loss is {last.loss:.3f} after {steps_in_words(last.step)}; untrained it was {first:.3f}.",
        f"Set training.learning_rate to {plain_number(min(LOWEST, 10 * rate))}."
        if course.is_adam and rate < LOWEST
        else "Run the checks: gradients may not reach the weights.",
    )


def too_low(course: Course) -> Hint | None:
    """A fresh model whose weights can hardly have moved."""
    first, last = course.first_loss, course.last
    if first is None or not (course.began_fresh and course.is_adam and task_record(course.status.task).predicts_tokens):
        return None
    if last.step < 100 or course.share < 0.25 or last.loss < 0.5 * first or (moved := course.moved) > 0.02:
        return None
    return Hint(
        "The learning rate is too low.",
        f"Validation loss only fell from {first:.2f} to {last.loss:.2f}. The learning rates of all {last.step:,} "
        f"steps add up to {plain_number(moved)}: weights can hardly move further, and start at around 0.1.",
        f"Set training.learning_rate to {plain_number(min(1e-3, 10 * course.spec.training.learning_rate))}.",
    )


def plateau(course: Course) -> Hint | None:
    """A loss that is flat although the learning rate is not small yet."""
    told = [
        found for found in course.after_warm_up() if found.step > course.last.step - 0.3 * course.spec.training.steps
    ]
    if len(told) < 6 or course.rate < 0.3 or course.share < 0.35:
        return None
    if _chance([found.loss for found in told]) > 0.01 * course.last.loss:
        return None  # it can't be told
    half = len(told) // 2
    for values in ([found.loss for found in told], [found.train for found in told]):
        before, after = _mean(values[:half]), _mean(values[half:])
        if before - after > max(0.005 * before, _chance(values)):
            return None
    rate = course.last.rate
    return Hint(
        f"The loss has been flat since step {told[0].step:,}.",
        f"Since then, validation loss went from {told[0].loss:.3f} to {course.last.loss:.3f} and training loss from "
        f"{told[0].train:.3f} to {course.last.train:.3f}, at a learning rate of {plain_number(rate)}.",
        f"Set training.learning_rate to {plain_number(course.lower_rate())}." if rate > LOWEST else course.end_here,
    )


def unfinished(course: Course) -> Hint | None:
    """A run that is done before its validation loss is flat."""
    steps = course.spec.training.steps
    earlier = [found for found in course.validations if found.step <= 0.8 * course.last.step]
    if course.status.state != "done" or not earlier or course.last is not course.best:
        return None
    if course.last.step < steps:
        return None  # stopped early, as its spec asks
    before, last = earlier[-1], course.last
    if before.loss - last.loss < 0.015 * before.loss:
        return None
    return Hint(
        "Validation loss was still falling at the end.",
        f"It fell from {before.loss:.3f} to {last.loss:.3f} over the last {steps_in_words(last.step - before.step)}.",
        f"Continue for {steps:,} more steps.",
        tone="on",
    )


def idle_gpu(course: Course) -> Hint | None:
    """A GPU that waits for most of the time."""
    busy, training = course.gpu_busy, course.spec.training
    if busy is None or busy >= 0.5:
        return None
    micro = training.micro_batch_size
    return Hint(
        "The GPU is idle for most of the time.",
        f"It is busy for {busy:.0%} of the time: the model and its batches are too small to fill it.".replace(
            "%", " %"
        ),
        f"Set training.micro_batch_size to {min(2 * micro, training.batch_size)}."
        if micro is not None and micro < training.batch_size
        else f"Set training.batch_size to {2 * training.batch_size}.",
        tone="on",
    )


RULES: tuple[Callable[[Course], Hint | None], ...] = (
    leak,
    exploding,
    rising,
    too_high,
    overfitting,
    used_up,
    memorising,
    stuck,
    too_low,
    plateau,
    unfinished,
    idle_gpu,
)
"""Every rule, the most urgent first."""


def hints(curves: Curves, spec: RunSpec, status: Status, events: Iterable[dict[str, Any]] = ()) -> list[Hint]:
    """Return what the curves of a run tell, the most urgent first.

    There are two hints at most, and advice only where nothing goes wrong; none before the first validation.

    Parameters
    ----------
    curves
        With those of :data:`KEYS`.
    spec, status
        Those of the run.
    events
        Of the run; those of :data:`EVENTS` are looked at.
    """
    course = Course(curves, spec, status, events)
    if not course.validations:
        return []
    found = [hint for rule in RULES if (hint := rule(course)) is not None]
    urgent = [hint for hint in found if hint.tone == "warn"] or found
    # Of several reasons to do the same, the first will do.
    return [hint for n, hint in enumerate(urgent) if hint.action not in [other.action for other in urgent[:n]]][:MOST]


def hints_of(run: RunDirectory, status: Status) -> list[Hint]:
    """Return what the curves in a run's folder tell; ``status`` is what the run says of itself."""
    curves = Curves(KEYS)
    curves.extend(iter_records(run.metrics_file))
    return hints(curves, run.spec, status, iter_records(run.events_file))
