"""Numbers that came out of a file, or go into one."""

from __future__ import annotations

import math
from typing import Any


def finite(value: Any) -> float | None:
    """Return a number as a float; ``None`` for what is no number, non-finite, or too large for a float.

    >>> finite(3), finite(float("nan")), finite(10**400), finite("3"), finite(True)
    (3.0, None, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_json(value: Any) -> Any:
    """Return a value as JSON can hold it: non-finite numbers become null, at any depth.

    Raises
    ------
    TypeError
        If something in it is none of JSON's kinds.

    >>> as_json({"val/loss": float("nan"), "shape": (2, 3)})
    {'val/loss': None, 'shape': [2, 3]}
    """
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: as_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(part) for part in value]
    raise TypeError(f"{type(value).__name__} is none of JSON's kinds")
