"""Numbers as people type them: percent for shares, and signs that another country reads otherwise."""

from __future__ import annotations

import re
from typing import Any

from tb_widgets.spec import FieldCard

_BOUND = re.compile(r"^(must be \D+ )([\d.]+)(, not )(-?[\d.]+(?:e[-+]?\d+)?)\.$")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_GROUPED_BY_POINTS = re.compile(r"[-+]?[1-9]\d{0,2}(\.\d{3})+")


def is_share(card: FieldCard) -> bool:
    """Whether a field is a share of something, which is shown in percent."""
    return card.kind == "float" and card.unit.startswith("of the ")


def read_share(text: str) -> float | None:
    """Return the share that a percentage stands for; ``None`` for any other text.

    >>> read_share("7.5 %"), read_share("0.1")
    (0.075, None)
    """
    if not text.endswith("%"):
        return None
    try:
        return float(f"{text.removesuffix('%').strip()}e-2")
    except ValueError:
        return None


def share_in_words(value: float) -> str:
    """Return a share in percent.

    >>> share_in_words(0.075)
    '7.5 %'
    """
    shown = f"{100 * value:g} %"
    return shown if read_share(shown) == value else repr(value)


def is_ambiguous(text: str) -> bool:
    """Tell whether a whole number may be read in two ways: ``1.000`` is one to some, and a thousand to others."""
    return _GROUPED_BY_POINTS.fullmatch(text.strip()) is not None


def ambiguity(text: str) -> str:
    """Return why such a number is refused."""
    whole = text.strip().partition(".")[0]
    return f"{text} may be {whole} or {int(text.replace('.', '')):,}: write it without a point."


def advice(card: FieldCard, value: Any) -> str:
    """Return how a number that was refused should be written; empty where nobody knows what was meant."""
    if card.kind == "float" and isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value):
        return f" Use a point: {value.replace(',', '.')}."
    # 1.1 may be 110 %; 7.5 is a percentage without its sign.
    if is_share(card) and isinstance(value, int | float) and 2 <= value < 100 and value / 100 < (card.maximum or 1):
        return f" Write {value:g} % or {value / 100:g}."
    return ""


def in_percent(card: FieldCard, reason: str) -> str:
    """Return why a share was refused, in percent as it is shown.

    >>> from tb_widgets.spec import RunSpec
    >>> warmup = next(card for card in RunSpec.field_cards() if card.path == "training.warmup")
    >>> in_percent(warmup, "must be less than 1, not 1.1.")
    'must be less than 100 %, not 110 %.'
    """
    if not is_share(card):
        return reason
    return _BOUND.sub(
        lambda found: f"{found[1]}{100 * float(found[2]):g} %{found[3]}{100 * float(found[4]):g} %.", reason
    )
