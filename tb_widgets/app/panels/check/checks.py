"""The Check step: what is right and wrong with the model, before it is trained."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Literal

from tb_widgets.app import words
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import button, card, row, show
from tb_widgets.app.parts.check_results import headline, leaks, result_rows, summary
from tb_widgets.app.registry import Panel, panel
from tb_widgets.checks.result import ORDER

if TYPE_CHECKING:
    from tb_widgets.app.session import Session
    from tb_widgets.service.probing import Probe

_MASK = "causal-mask"
FIRST_OF_TIER_2 = ORDER.index("attention")
_TEACHES = (
    "We run the model on random inputs, in a process of its own, and test shapes, gradients, initial loss, causality, "
    "memory and speed; then attention and robustness to noise. About 10 seconds; nothing is trained."
)


@panel("check", step="check", column="main", order=1)
class CheckPanel(Panel):
    """Run the checks, and their results as they come."""

    watches = ("draft", "model")

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._tier: Literal[1, 2] = 2
        self._is_repaired = False  # by a press here; the checks are then made again as soon as the model was tried

    def render(self) -> widgets.Widget:
        """Build the card."""
        act = self.act
        self._run = button("Run the checks", lambda: act(lambda: self._press(2)), "tbw-primary", "tbw-at-check")
        self._basic = button(
            f"Quick checks ({FIRST_OF_TIER_2})", lambda: act(lambda: self._press(1)), "tbw-at-check-basic"
        )
        self._stop = button("Stop", lambda: act(self._end))
        self._mend = button("Hide later tokens: apply the repair", lambda: act(self._repair), "tbw-at-check-repair")
        self._data = button("Next: data", lambda: act(lambda: self.session.show("data")), "tbw-at-next-data")
        self._state = widgets.HTML()
        self._results = widgets.HTML()
        buttons = row([self._run, self._basic, self._stop, self._mend, self._data])
        return card("Checks", [self._state, buttons, self._results])

    def _press(self, tier: Literal[1, 2]) -> None:
        self._tier = tier
        self.session.check_model(tier)

    def _end(self) -> None:
        if self.session.choice.checks is not None:
            self.session.choice.checks.stop()

    def _repair(self) -> None:
        self.session.repair_model([*self.session.draft.spec.model.repairs, _MASK])
        self._is_repaired = True

    def draw(self) -> None:
        """Follow the checks."""
        choice, draft = self.session.choice, self.session.draft
        if self._is_repaired and choice.state == "ready" and choice.checks is None:
            self._is_repaired = False
            self.session.check_model(self._tier)
        probe = choice.checks
        working = probe is not None and probe.state == "working"
        ready = choice.state in ("ours", "waiting", "ready") and draft.model is not None
        for made in (self._run, self._basic):
            made.disabled = not ready or working
        self._run.description = "Run the checks" if probe is None else f"Run all {len(ORDER)}"
        show(self._stop, working)
        show(self._data, probe is not None and probe.state == "done" and not leaks(probe.results))
        results = probe.results if probe is not None else []
        applicable = [repair.id for repair in choice.repairs if repair.id not in draft.spec.model.repairs]
        mends = leaks(results) and _MASK in applicable
        show(self._mend, mends)
        for made, primary in ((self._mend, mends), (self._run, not mends and (probe is None or probe.state != "done"))):
            (made.add_class if primary else made.remove_class)("tbw-primary")
        self._state.value = self._say(probe, ready=ready)
        self._results.value = result_rows(results)

    def _say(self, probe: Probe | None, *, ready: bool) -> str:
        """Return what goes on, or what would."""
        if probe is None:
            if ready:
                return f'<p class="tbw-muted">{_TEACHES}</p>'
            waits = self.session.choice.state in ("fetching", "asking", "trying")
            reason = self.session.draft.errors.get("model.source", "choose a model first.")
            return words.note(f"Nothing can be checked yet: {reason}", "on" if waits else "warn")
        if probe.state == "working":
            total = len(ORDER) if self._tier == 2 else FIRST_OF_TIER_2
            share = 100 * len(probe.results) / total
            what = probe.phase.replace("_", " ") or "Starting"
            return (
                f'<p class="tbw-muted">{len(probe.results)} of {total} · {escape(what)} …</p>'
                f'<div class="tbw-progress" role="progressbar" aria-label="Checks made" aria-valuenow="{share:.0f}" '
                f'aria-valuemin="0" aria-valuemax="100"><span style="width:{share:.0f}%"></span></div>'
            )
        notes = "".join(words.note(note) for note in probe.notes)
        if probe.state == "failed" and probe.error is not None:
            return words.error_note(probe.error) + notes
        if probe.state == "stopped":
            return words.note("Stopped. The results so far are below.", "warn") + notes
        text, tone = summary(probe.results)
        return words.note(headline(probe.results), tone, detail=f"{text[0].upper()}{text[1:]}.") + notes
