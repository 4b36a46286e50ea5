"""Nothing non-finite gets into weights, checkpoints or the choice of the best one, and each such thing is told."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import nn
from torch.nn.utils import get_total_norm

from tb_widgets.engine.sharding import whole
from tb_widgets.errors import DivergedError
from tb_widgets.runs.journal import JournalWriter
from tb_widgets.wording import listed

_REMEMBERED = 10  # lines of the journal, of which the mean loss is compared with the first
_MOST = 20  # skipped steps in a row; a loss scale for half precision that begins at 2**16 is below 1 by then


class SkippedSteps:
    """Counts the steps that were skipped for a non-finite gradient, tells of them, and knows when to give up.

    Parameters
    ----------
    journal
        Where they are told: the 1st, 10th, 100th ..., so that many of them fill no page.
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
        if self.in_row >= _MOST:
            raise DivergedError(
                f"The gradient norm has been non-finite for {self.in_row} steps in a row, up to step {step:,}.",
                hint="Lower the learning rate, or check the model for a root, a logarithm or a division by zero.",
            )
        if not self._expected and str(self._all).rstrip("0") == "1":
            self._journal.event(
                "warning",
                message=f"The gradient norm of step {step:,} is non-finite. The step was skipped; the weights stay as "
                f"they were. Skipped so far: {self._all:,}, in a row: {self.in_row}.",
            )


class NonFiniteMetrics:
    """Tells of non-finite validation metrics, and once only while they stay so."""

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal
        self._has_told = False

    def look(self, step: int, metrics: Mapping[str, float]) -> None:
        """Look at the metrics of a validation."""
        odd = [key for key, value in metrics.items() if not math.isfinite(value)]
        if odd and not self._has_told:
            self._journal.event(
                "warning",
                message=f"At step {step:,} {' and '.join(odd)} {'are' if odd[1:] else 'is'} non-finite, and left "
                "out. A non-finite metric never counts as the best.",
            )
        self._has_told = bool(odd)


class LossLevel:
    """Compares the training loss with that of the beginning: one that is twice as high is learning nothing.

    An untrained model guesses about evenly, so a healthy training loss stays below its beginning, whatever single
    batches do.
    """

    def __init__(self) -> None:
        self._first: float | None = None
        self._recent = 0.0

    def look(self, step: int, loss: float) -> None:
        """Look at the next line's loss.

        Raises
        ------
        DivergedError
            If the mean of about the last ten lines is far above the first loss.
        """
        if self._first is None:
            self._first = self._recent = loss
        limit = 2 * self._first + 1  # the first batch may have been an easy one
        self._recent += (min(loss, 3 * limit) - self._recent) / _REMEMBERED  # one wild batch does not decide
        if self._recent > limit:
            raise DivergedError(
                f"The training loss has risen to {loss:.4g} at step {step:,}, from {self._first:.4g} at the beginning.",
                hint="Lower the learning rate.",
            )

    def state(self) -> dict[str, float] | None:
        """Return what a resume needs, for a checkpoint's ``meta.json``."""
        return None if self._first is None else {"first": self._first, "recent": self._recent}

    def restore(self, state: dict[str, float] | None) -> None:
        """Take over what :meth:`state` has returned."""
        self._first, self._recent = (state["first"], state["recent"]) if state else (None, 0.0)


def require_finite_loss(step: int, loss: float) -> None:
    """Raise a :class:`DivergedError` where the training loss is not a number any more."""
    if not math.isfinite(loss):
        became = "NaN" if math.isnan(loss) else "infinite"
        raise DivergedError(f"The loss became {became} at step {step:,}.", hint="Lower the learning rate.")


def require_finite_weights(step: int, module: nn.Module) -> None:
    """Raise a :class:`DivergedError` where a trainable weight is non-finite, which no gradient need have told of."""
    weights = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
    # One norm is quick to look at. Finite weights may be too large for it: then each is looked at.
    if math.isfinite(whole(get_total_norm([*weights.values()])).item()):
        return
    if names := [name for name, weight in weights.items() if not whole(weight).isfinite().all()]:
        raise DivergedError(
            f"The weights are non-finite at step {step:,} ({listed(names, most=3)}), so they were not saved.",
            hint="Lower the learning rate, or check what else changes these weights besides the optimiser.",
        )
