"""Models with one fault each. ``caught_by`` names every check that must complain, and no other may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tb_widgets.models.adapter import Adapter

FAULTS: dict[str, tuple[type, frozenset[str], Adapter | None]] = {}


def caught_by(*checks: str, adapter: Adapter | None = None) -> Callable[[type], type]:
    """Plant a fault: a class of models, and the ids of the checks that find it."""

    def plant(model: Any) -> Any:
        FAULTS[model.__name__] = (model, frozenset(checks), adapter)
        return model

    return plant
