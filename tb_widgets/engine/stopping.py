"""Stopping early, when a metric has stopped improving."""

from __future__ import annotations

import math
from typing import Any

from tb_widgets.spec import RunSpec


class EarlyStopping:
    """Counts the evaluations in a row in which the monitored metric has not improved by enough.

    Parameters
    ----------
    spec
        ``evaluation.patience`` (``None`` never stops), ``evaluation.min_delta``, and ``checkpoints.monitor``.
    """

    def __init__(self, spec: RunSpec) -> None:
        self.monitor = spec.checkpoints.monitor
        self._patience, self._delta = spec.evaluation.patience, spec.evaluation.min_delta
        self._sign = 1 if spec.checkpoints.better == "min" else -1
        self._best = math.inf
        self.waited = 0

    def look(self, value: float) -> bool:
        """Look at the metric of an evaluation, and return whether to stop. A non-finite value is no improvement."""
        signed = self._sign * value
        if math.isfinite(signed) and signed < self._best - self._delta:
            self._best, self.waited = signed, 0
        else:
            self.waited += 1
        return self._patience is not None and self.waited >= self._patience

    def state(self) -> dict[str, Any]:
        """Return what a resume needs, for a checkpoint's ``meta.json``."""
        return {"best": self._best if math.isfinite(self._best) else None, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` has returned."""
        self._best = math.inf if state["best"] is None else state["best"]
        self.waited = state["waited"]
