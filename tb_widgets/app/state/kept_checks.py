"""The last checks of the form's model, and those that were kept from before a reload."""

from __future__ import annotations

from typing import Any

from tb_widgets.checks.result import read_result
from tb_widgets.service.probing import Probe


class KeptChecks:
    """Holds checks together with what they are of, and gives them up once the form holds something else.

    Attributes
    ----------
    probe
        The last checks of this model; ``None`` where there are none.
    """

    def __init__(self) -> None:
        self.probe: Probe | None = None
        self._of = ""
        self._kept: dict[str, Any] = {}

    def begin(self, probe: Probe, model: str) -> None:
        """Take checks that have begun, and what differs for every model and every change of one."""
        self.probe, self._of = probe, model

    def follow(self, model: str) -> bool:
        """Give up checks that are of another model, or of one of another size; return whether these were."""
        if self.probe is None or self._of == model:
            return False
        self.give_up()
        self.recall(model)
        return True

    def recall(self, model: str) -> None:
        """Show the kept results, if they are of this model."""
        if self.probe is None and self._kept.get("of") == model:
            self.begin(Probe.known("check", [read_result(result) for result in self._kept["results"]]), model)

    def give_up(self) -> None:
        """Stop the checks, and hold none."""
        if self.probe is not None:
            self.probe.stop()
        self.probe = None

    def keep(self) -> dict[str, Any]:
        """Return the results of the last checks that came to their end, for :meth:`restore`."""
        if self.probe is not None and self.probe.state == "done":
            self._kept = {"of": self._of, "results": [result.to_mapping() for result in self.probe.results]}
        return self._kept

    def restore(self, kept: dict[str, Any]) -> None:
        """Take results that :meth:`keep` returned, for the very model that they are of."""
        self._kept = kept
