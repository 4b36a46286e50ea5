"""A model's validation loss beside what guessing and counting get, and the events that tell of it."""

from __future__ import annotations

from collections.abc import Sequence

from tb_widgets.data.prepared import PreparedData
from tb_widgets.runs import RunDirectory
from tb_widgets.runs.baselines import COUNTED, PASSED, Baselines
from tb_widgets.runs.journal import JournalWriter, iter_records
from tb_widgets.spec.batch import Batch


class Comparison:
    """What was counted before step 1, and which of it the model has passed; both outlive a resume, in the events.

    Parameters
    ----------
    run, journal
        Where the events are, and who writes them.
    """

    def __init__(self, run: RunDirectory, journal: JournalWriter) -> None:
        journal.flush()  # a run that has just begun again at step 0 has passed nothing
        self._journal, self._known = journal, Baselines(iter_records(run.events_file))

    def count(self, data: PreparedData, validation: Sequence[Batch]) -> None:
        """Count the training data and tell the losses on validation batches, unless these data were counted before."""
        if self._known.data == data.fingerprint:
            return
        self._journal.update(phase="Counting the training data", now=True)
        counted = data.baselines(validation)
        event = {
            "baselines": [{"name": line.name, "loss": round(line.loss, 6)} for line in counted.lines],
            "units": data.units,
            "reason": counted.reason,
            "data": data.fingerprint,
        }
        self._journal.event(COUNTED, **event)
        self._known.take([{"kind": COUNTED, **event}])

    def look(self, step: int, loss: float) -> None:
        """Tell which baselines a validation loss is below, each of them once."""
        for line in self._known.lines:
            if loss < line.loss and line.name not in self._known.passed:
                event = {"step": step, "name": line.name, "loss": round(loss, 6), "baseline": line.loss}
                self._journal.event(PASSED, **event)
                self._known.take([{"kind": PASSED, **event}])
