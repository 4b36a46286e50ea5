"""The learning rate over the steps of a run that has not begun, drawn and in words."""

from __future__ import annotations

from html import escape
from itertools import groupby, pairwise

from tb_widgets.engine.schedule import learning_rate
from tb_widgets.spec import TrainingSpec
from tb_widgets.wording import plain_number

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
