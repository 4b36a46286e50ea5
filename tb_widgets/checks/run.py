"""Making the checks, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from tb_widgets.checks.measure import fastest_threads
from tb_widgets.checks.result import CheckResult
from tb_widgets.checks.tier_1 import TIER_1
from tb_widgets.checks.tier_2 import TIER_2
from tb_widgets.models.load import LoadedModel
from tb_widgets.models.quoted_error import quoted_error

Tier = Literal[1, 2]
Check = Callable[[LoadedModel], CheckResult]


def checks_of(tier: Tier) -> tuple[Check, ...]:
    """Return the checks up to a tier, in their order."""
    return TIER_1 + TIER_2 if tier == 2 else TIER_1


def run_checks(
    model: LoadedModel,
    *,
    tier: Tier = 2,
    on_start: Callable[[str], None] | None = None,
    on_result: Callable[[CheckResult], None] | None = None,
) -> list[CheckResult]:
    """Make every check up to a tier.

    A check that the model's own code breaks off counts as one that could not tell.

    Parameters
    ----------
    model
        Is left as it was.
    tier
        1, or 2 for both.
    on_start
        Called with the id of each check before it begins.
    on_result
        Called with each result.
    """
    with fastest_threads(model):
        return [_made(check, model, on_start, on_result) for check in checks_of(tier)]


def _made(
    check: Check,
    model: LoadedModel,
    on_start: Callable[[str], None] | None,
    on_result: Callable[[CheckResult], None] | None,
) -> CheckResult:
    if on_start is not None:
        on_start(check.__name__)
    began = time.perf_counter()
    try:
        result = check(model)
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        title = check.__name__.capitalize()
        tier = 1 if check in TIER_1 else 2
        result = CheckResult(check.__name__, title, tier, "unknown", f"The model fails here: {quoted_error(error)}.")
    result = replace(result, seconds=round(time.perf_counter() - began, 3))
    if on_result is not None:
        on_result(result)
    return result
