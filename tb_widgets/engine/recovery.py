"""What is tried before a training is given up: smaller parts of a batch, or the last checkpoint at a lower rate."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from tb_widgets.engine.failures import is_out_of_memory
from tb_widgets.engine.parallel import Group
from tb_widgets.errors import DivergedError
from tb_widgets.runs.journal import JournalWriter

MOST_ROLLBACKS = 3
Result = TypeVar("Result")


class Recovery:
    """Remembers what had to be changed for a run to go on, also over a resume.

    Each change is an event of the kind ``warning`` with ``recovered`` (``memory`` or ``divergence``) and ``step``, so
    that it is told wherever warnings are, and can be marked on the curve.

    Parameters
    ----------
    rows
        Examples that go through the model at once.
    journal
        Where it is told.
    group
        Ranks cut their batches alike: where one is short of memory, all of them go on with smaller parts.

    Attributes
    ----------
    rate_share
        Share of the schedule's learning rate that is left.
    """

    def __init__(self, rows: int, journal: JournalWriter, group: Group) -> None:
        self.rows = rows
        self._is_cut = False
        self.rate_share = 1.0
        self._rollbacks = 0
        self._journal, self._group = journal, group

    def within_memory(
        self, compute: Callable[[int], Result], step: int, *, undo: Callable[[], None] = lambda: None
    ) -> Result:
        """Return what ``compute`` returns for the rows that fit into memory.

        It is called with a number of rows, anew with half of it when memory is short, down to one. Gradients are sums
        over the parts of a batch, so the result is the same up to rounding.

        Parameters
        ----------
        compute
            Exchanges nothing with other ranks: one of them may not come to that point.
        undo
            Takes back what a call has left that did not come to its end, or has to be made anew with another rank's.
        """
        if self._group.is_sharded:  # one rank that is short leaves the others waiting for its part: it ends them all
            return compute(self.rows)
        while True:
            short: Exception | None = None
            try:
                result = compute(self.rows)
            except Exception as error:
                if not is_out_of_memory(error) or (self.rows == 1 and self._group.size == 1):
                    raise
                short = error.with_traceback(None)  # which holds what has to be freed
            if not self._group.sum(int(short is not None)):
                return result
            if self.rows == 1:
                raise short or MemoryError("on another of the processes that train together")
            undo()
            self.rows = (self.rows + 1) // 2
            self._is_cut = True
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._journal.event(
                "warning",
                recovered="memory",
                step=step,
                message=f"Out of memory at step {step:,}: the micro-batch is now {self.rows}. Each step still learns "
                "from its whole batch, so the curve stays the same.",
            )

    def roll_back(self, error: DivergedError, step: int | None) -> None:
        """Agree to go on from a checkpoint at half the learning rate.

        Parameters
        ----------
        error
            What has happened; it is raised where there is no way back.
        step
            Of the newest checkpoint that is whole; ``None`` where there is none.
        """
        if step is None:
            raise error
        if self._rollbacks == MOST_ROLLBACKS:
            raise DivergedError(
                error.message,
                hint=f"It happened again in all {MOST_ROLLBACKS} attempts, each from the newest checkpoint at half the "
                f"learning rate. {error.hint}",
            )
        self._rollbacks += 1
        self.rate_share /= 2
        self._journal.event(
            "warning",
            recovered="divergence",
            step=step,
            message=f"{error.message} Training continues from the checkpoint of step {step:,} at "
            f"{self.rate_share:.3g} times the learning rate (attempt {self._rollbacks} of {MOST_ROLLBACKS}).",
        )

    def state(self) -> dict[str, Any]:
        """Return what a resume needs, for a checkpoint's ``meta.json``."""
        # Rows that nobody had to cut may be others on another number of ranks.
        return {
            "rows": self.rows if self._is_cut else None,
            "rate_share": self.rate_share,
            "rollbacks": self._rollbacks,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` has returned, unless more had to be changed since."""
        if state["rows"] is not None:
            self.rows, self._is_cut = min(self.rows, state["rows"]), True
        self.rate_share = min(self.rate_share, state["rate_share"])
        self._rollbacks = max(self._rollbacks, state["rollbacks"])
