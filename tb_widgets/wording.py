"""Sizes, shares, steps, durations, ages and names as people read them: on the page, in the terminal, in errors."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal


def size_in_words(size: float) -> str:
    """Return a number of bytes in its largest unit, with one digit after the point below 10.

    >>> size_in_words(12), size_in_words(1_234_000), size_in_words(345_600_000), size_in_words(20e9)
    ('12 bytes', '1.2 MB', '346 MB', '20 GB')
    """
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= 0.9995 * unit:  # what would be rounded to 1000 of the unit below
            number = size / unit
            return f"{f'{number:.1f}'.removesuffix('.0') if number < 9.95 else f'{number:,.0f}'} {name}"
    return f"{size:.0f} bytes"


def percent(share: float) -> str:
    """Return a share in percent.

    >>> percent(0.3412), percent(0)
    ('34.1 %', '0.0 %')
    """
    return f"{100 * share:.1f} %"


def plain_number(value: float) -> str:
    """Return a number with at most three significant digits, however small it is without a power of ten.

    >>> plain_number(3e-5), plain_number(0.00098765), plain_number(2)
    ('0.00003', '0.000988', '2')
    """
    return f"{Decimal(f'{value:.3g}'):,f}"


def steps_in_words(steps: float) -> str:
    """Return how many steps something takes, at least one.

    >>> steps_in_words(6.6), steps_in_words(0.2), steps_in_words(12_345)
    ('7 steps', '1 step', '12,345 steps')
    """
    count = max(1, round(steps))
    return "1 step" if count == 1 else f"{count:,} steps"


def duration(seconds: float) -> str:
    """Return seconds as a clock shows them.

    >>> duration(7), duration(75), duration(3725)
    ('0:07', '1:15', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def age_in_words(seconds: float) -> str:
    """Return how long ago something was, in its largest unit.

    >>> age_in_words(3), age_in_words(150), age_in_words(7300), age_in_words(90_000), age_in_words(200_000)
    ('just now', '2 min', '2 h', '1 day', '2 days')
    """
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min"
    if seconds < 86_400:
        return f"{seconds // 3600:.0f} h"
    days = int(seconds // 86_400)
    return "1 day" if days == 1 else f"{days:,} days"


def counted(number: int, noun: str) -> str:
    """Return how many there are of something.

    >>> counted(1, "layer"), counted(1200, "layer")
    ('1 layer', '1,200 layers')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return names in a line, and of many only the first.

    >>> listed(["a", "b", "c"]), listed(["a", "b", "c"], most=2)
    ('a, b, c', 'a, b and 1 more')
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def run_name(run_id: str, name: str) -> str:
    """Return what a run is called where there is little room: its name, and the end of its id, which is its own.

    >>> run_name("20261123-141502-tiny-gpt-k3f9", "tiny-gpt")
    'tiny-gpt · k3f9'
    """
    return f"{name or run_id} · {run_id[-4:]}"
