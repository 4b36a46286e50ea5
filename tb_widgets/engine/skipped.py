"""Steps that were skipped for a non-finite gradient: telling of them, and when to give up."""

from __future__ import annotations

import math

from tb_widgets.errors import TrainingError
from tb_widgets.runs.journal import JournalWriter

MOST = 20  # steps in a row; a loss scale for half precision that begins at 2**16 is below 1 by then


class SkippedSteps:
    """Counts them.

    Parameters
    ----------
    journal
        Where they are told: the 1st, 2nd, 4th, 8th ..., so that many of them fill no page.
    expected
        Half precision looks for its loss scale by skipping, which is nothing to tell.
    """

    def __init__(self, journal: JournalWriter, *, expected: bool) -> None:
        self.in_row = 0
        self._all = 0
        self._journal, self._expected = journal, expected

    def look(self, step: int, norm: float) -> None:
        """Look at the gradient norm of a step; the steps come in their order.

        Raises
        ------
        TrainingError
            If too many in a row were non-finite.
        """
        if math.isfinite(norm):
            self.in_row = 0
            return
        self._all += 1
        self.in_row += 1
        if self.in_row >= MOST:
            raise TrainingError(
                f"The gradient norm has been non-finite for {self.in_row} steps in a row, up to step {step:,}.",
                hint="Lower the learning rate, or look in the model for a root, a logarithm or a division that meets "
                "zero. The checkpoints are good.",
            )
        if not self._expected and self._all & (self._all - 1) == 0:
            self._journal.event(
                "warning",
                message=f"The gradient norm of step {step:,} is non-finite. The step was skipped; the weights stay as "
                f"they were. Skipped so far: {self._all:,}, in a row: {self.in_row}.",
            )
