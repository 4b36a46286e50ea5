"""Every planted fault is caught, by the check that is meant to, and by no other."""

from __future__ import annotations

import pytest

from tb_widgets.checks.result import ORDER
from tb_widgets.checks.run import run_checks
from tests.checks.faulty import FAULTS, tier_1, tier_2  # noqa: F401 - plants them
from tests.checks.small import loaded


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught(name):
    model, checks, adapter = FAULTS[name]
    results = run_checks(loaded(model(), adapter))
    complaints = {result.id: result.message for result in results if result.verdict in ("warn", "fail")}
    assert set(complaints) == checks, complaints
    for result in results:
        assert (result.verdict == "pass") == (result.advice == "") or result.verdict == "unknown"


def test_there_are_enough_faults_and_each_check_has_one_of_its_own():
    """A model that can't even be loaded is caught by ``loads``; that is tested where it happens, in the process."""
    assert len(FAULTS) >= 20
    own = {next(iter(checks)) for _, checks, _ in FAULTS.values() if len(checks) == 1}
    assert own == set(ORDER) - {"loads"}
