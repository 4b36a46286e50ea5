"""The learning rate over the steps that are to come, drawn and in words."""

from __future__ import annotations

from html import escape
from itertools import groupby, pairwise

from tb_widgets.engine.schedule import learning_rate
from tb_widgets.spec import RunSpec, TrainingSpec
from tb_widgets.wording import counted, plain_number

Point = tuple[int, float]

_POINTS = 1000  # at which a long schedule is computed; a shorter one at every step
_WIDTH, _HEIGHT = 300, 60
_SHORT = 0.02  # of the steps: what stays level for so few of them only turns
_LEVEL = 1e-5  # of the peak: by less from one point to the next it stays level
_MOST = 4  # parts that are told one by one


def schedule_points(training: TrainingSpec) -> list[Point]:
    """Return steps and their learning rates, the end of the warm-up and the last step among them."""
    count = min(training.steps, _POINTS)
    steps = {1 + round(n * (training.steps - 1) / max(1, count - 1)) for n in range(count)}
    steps.add(max(1, round(training.warmup * training.steps)))
    return [(step, learning_rate(training, step)) for step in sorted(steps)]


def schedule_in_words(training: TrainingSpec) -> str:
    """Return how the learning rate moves, read off its curve, so that every schedule has words.

    >>> schedule_in_words(TrainingSpec())
    'Rises to 0.001 by step 50, falls along a curve to 0.0001 at step 1,000.'
    >>> schedule_in_words(TrainingSpec(schedule="linear", warmup=0.0, steps=200))
    'Starts at 0.000995, falls linearly to 0.0001 at step 200.'
    """
    points = schedule_points(training)
    parts = _parts(points)
    told = [_part_in_words(part, is_last=part is parts[-1]) for part in parts]
    if len(told) > _MOST:
        more = len(told) - _MOST + 1
        told = [*told[: _MOST - 1], f"changes {more} more times, ends at {plain_number(points[-1][1])}"]
    if not parts or parts[0][-1][1] < parts[0][0][1]:
        told.insert(0, f"starts at {plain_number(points[0][1])}")
    text = ", ".join(told)
    return f"{text[0].upper()}{text[1:]}."


def continuing_in_words(spec: RunSpec, step: int, more: int) -> str:
    """Return what becomes of the learning rate, and what may end it early, where a run that is done trains on.

    The schedule then is that of a run which was planned that long.

    Parameters
    ----------
    step, more
        Steps that are done, and that are to come.

    Examples
    --------
    >>> print(*continuing_in_words(RunSpec(), 1000, 500).split(", so "), sep="\n")
    The schedule is stretched to 1,500 steps
    the learning rate rises again, from 0.0001 to 0.000325, and falls once more.
    >>> spec = RunSpec().with_values({"training.schedule": "constant", "evaluation.patience": 3})
    >>> continuing_in_words(spec, 1000, 500)
    'The learning rate stays at 0.001. It stops early after 3 evaluations without improvement.'
    """
    longer = spec.training.model_copy(update={"steps": step + more})
    before = learning_rate(spec.training, step)
    to_come = [rate for at, rate in schedule_points(longer) if at > step] + [learning_rate(longer, step + 1)]
    top, end = max(to_come), learning_rate(longer, longer.steps)
    if top > 1.01 * before:
        told = f"the learning rate rises again, from {plain_number(before)} to {plain_number(top)}"
        told = f"The schedule is stretched to {longer.steps:,} steps, so {told}"
        told += ", and falls once more." if end < 0.99 * top else "."
    elif end < 0.99 * before:
        told = f"The learning rate goes on falling, from {plain_number(before)} to {plain_number(end)}."
    else:
        told = f"The learning rate stays at {plain_number(before)}."
    if (patience := spec.evaluation.patience) is not None:
        told += f" It stops early after {counted(patience, 'evaluation')} without improvement."
    return told


def draw_schedule(training: TrainingSpec) -> str:
    """Return the learning rate over the steps as HTML: a line, its scales, and the same in words below."""
    points = schedule_points(training)
    top, last = max(rate for _, rate in points), max(2, training.steps)
    ends = {part[-1] for part in _parts(points)}
    drawn = [point for n, point in enumerate(points) if n % 8 == 0 or point in ends or point is points[-1]]
    line = " ".join(f"{_WIDTH * (step - 1) / (last - 1):.1f},{_HEIGHT * (1 - rate / top):.1f}" for step, rate in drawn)
    return (
        '<figure class="tbw-schedule" aria-label="Learning rate over the steps"><div aria-hidden="true">'
        f"<span>{plain_number(top)}</span>"
        f'<svg viewBox="0 -2 {_WIDTH} {_HEIGHT + 4}" preserveAspectRatio="none"><polyline points="{line}"/></svg>'
        f'<span>0</span><span class="tbw-right">step {training.steps:,}</span></div>'
        f"<figcaption>{escape(schedule_in_words(training))}</figcaption></figure>"
    )


def _parts(points: list[Point]) -> list[list[Point]]:
    """Cut a curve into parts that rise, stay level or fall; each begins where the one before ends."""
    level = _LEVEL * max(rate for _, rate in points)

    def direction(pair: tuple[Point, Point]) -> int:
        change = pair[1][1] - pair[0][1]
        return 0 if abs(change) <= level else 1 if change > 0 else -1

    parts: list[tuple[int, list[Point]]] = []
    turn: list[Point] = []
    for way, group in groupby(pairwise(points), direction):
        pairs = [*group]
        part, end = [*turn, *(begin for begin, _ in pairs)], pairs[-1][1]
        if way == 0 and end[0] - part[0][0] < _SHORT * points[-1][0]:
            turn = part  # a curve may turn so slowly that it seems level
            continue
        turn = []
        if parts and way == parts[-1][0]:
            parts[-1][1].extend([*part[1:], end])
        else:
            parts.append((way, [*part, end]))
    if turn and parts:
        parts[-1][1].extend([*turn[1:], points[-1]])
    return [part for _, part in parts]


def _part_in_words(part: list[Point], *, is_last: bool) -> str:
    (first, before), (last, rate) = part[0], part[-1]
    place = f"{plain_number(rate)} {'at' if is_last else 'by'} step {last:,}"
    if abs(rate - before) <= _LEVEL * max(rate, before):
        return f"stays at {plain_number(rate)} until step {last:,}"
    if len(part) == 2 and last - first < last / 2:
        return f"{'jumps' if rate > before else 'drops'} to {place}"
    if rate > before:
        return f"rises to {place}"
    slope = (rate - before) / (last - first)
    bend = max(abs(value - before - slope * (step - first)) for step, value in part)
    return f"falls {'linearly' if bend < 0.02 * (before - rate) else 'along a curve'} to {place}"
