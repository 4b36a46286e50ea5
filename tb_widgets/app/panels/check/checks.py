"""The Check step: what is right and wrong with the model, before it is trained."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Literal

import ipywidgets as widgets

from tb_widgets.app import words
from tb_widgets.app.parts.cards import button, card, row, show
from tb_widgets.app.parts.pictures import picture
from tb_widgets.app.registry import panel
from tb_widgets.checks.result import ORDER, SIGNS, WORDS, CheckResult, Verdict, in_words

if TYPE_CHECKING:
    from tb_widgets.app.dashboard import Dashboard
    from tb_widgets.service.probing import Probe

MASK = "causal-mask"
FIRST_OF_TIER_2 = ORDER.index("attention")
TONES: dict[Verdict, str] = {"pass": "ok", "warn": "warn", "fail": "bad", "unknown": ""}
TEACHES = (
    "The checks build the model in a process of its own, feed it made-up inputs, and look: shapes, gradients, first "
    "weights, whether it sees the answers, memory and speed; then what it attends to, and how it bears a little noise. "
    "They take about ten seconds, and train nothing."
)


@panel("check", step="check", column="main", order=1)
class CheckPanel:
    """Run the checks, and their results as they come."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._tier: Literal[1, 2] = 2
        self._seen = (-1, -1)

    def render(self) -> widgets.Widget:
        """Build the card."""
        dashboard = self._dashboard
        act = dashboard.act
        self._run = button("Run the checks", lambda: act(lambda: self._press(2)), "tbw-primary", "tbw-at-check")
        self._basic = button("Only the basic ones", lambda: act(lambda: self._press(1)), "tbw-at-check-basic")
        self._stop = button("Stop", lambda: act(self._end))
        self._mend = button("Hide later tokens: apply the repair", lambda: act(self._repair), "tbw-at-check-repair")
        self._state = widgets.HTML()
        self._results = widgets.HTML()
        return card("Checks", [self._state, row([self._run, self._basic, self._stop, self._mend]), self._results])

    def _press(self, tier: Literal[1, 2]) -> None:
        self._tier = tier
        self._dashboard.check_model(tier)

    def _end(self) -> None:
        if self._dashboard.choice.checks is not None:
            self._dashboard.choice.checks.stop()

    def _repair(self) -> None:
        self._dashboard.repair_model([*self._dashboard.draft.spec.model.repairs, MASK])

    def refresh(self) -> None:
        """Follow the checks."""
        choice, draft = self._dashboard.choice, self._dashboard.draft
        if (choice.version, draft.version) == self._seen:
            return
        self._seen = (choice.version, draft.version)
        probe = choice.checks
        working = probe is not None and probe.state == "working"
        ready = choice.state in ("ours", "waiting", "ready") and draft.model is not None
        for made in (self._run, self._basic):
            made.disabled = not ready or working
        self._run.description = "Run the checks" if probe is None else "Run them again"
        show(self._stop, working)
        results = probe.results if probe is not None else []
        leaks = any(result.id == "causality" and result.verdict == "fail" for result in results)
        applicable = [repair.id for repair in choice.repairs if repair.id not in draft.spec.model.repairs]
        mends = leaks and MASK in applicable
        show(self._mend, mends)
        for made, primary in ((self._mend, mends), (self._run, not mends and (probe is None or probe.state != "done"))):
            (made.add_class if primary else made.remove_class)("tbw-primary")
        self._state.value = self._say(probe, ready=ready)
        first = sorted(results, key=lambda result: (result.verdict != "fail", result.id != "causality"))
        self._results.value = "".join(map(_result, first if leaks else results))

    def _say(self, probe: Probe | None, *, ready: bool) -> str:
        """Return what goes on, or what would."""
        if probe is None:
            if ready:
                return f'<p class="tbw-muted">{TEACHES}</p>'
            waits = self._dashboard.choice.state in ("fetching", "asking", "trying")
            reason = self._dashboard.draft.errors.get("model.source", "choose a model first.")
            return words.note(f"Nothing can be checked yet: {reason}", "on" if waits else "warn")
        if probe.state == "working":
            total = len(ORDER) if self._tier == 2 else FIRST_OF_TIER_2
            share = 100 * len(probe.results) / total
            what = probe.phase.replace("_", " ") or "Starting"
            return (
                f'<p class="tbw-muted">{len(probe.results)} of {total} · {escape(what)} …</p>'
                f'<div class="tbw-progress" role="progressbar" aria-valuenow="{share:.0f}" aria-valuemin="0" '
                f'aria-valuemax="100"><span style="width:{share:.0f}%"></span></div>'
            )
        notes = "".join(words.note(note) for note in probe.notes)
        if probe.state == "failed" and probe.error is not None:
            return words.error_note(probe.error) + notes
        if probe.state == "stopped":
            return words.note("Stopped. What was found before stands below.", "warn") + notes
        seconds = sum(result.seconds for result in probe.results)
        text, tone = summary(probe.results)
        return words.note(f"{text[0].upper()}{text[1:]}.", tone, detail=f"Took {seconds:.1f} s.") + notes


def summary(results: list[CheckResult]) -> tuple[str, str]:
    """Return results in a few words, and their tone."""
    verdicts = {result.verdict for result in results}
    tone = "bad" if "fail" in verdicts else "warn" if "warn" in verdicts else "ok"
    return in_words(results) or "nothing was checked", tone


def verdict(result: CheckResult) -> str:
    """Return a result's sign and word as a coloured chip."""
    return words.chip(f"{SIGNS[result.verdict]} {WORDS[result.verdict]}", TONES[result.verdict])


def _result(result: CheckResult) -> str:
    number = (
        "" if result.value is None else words.count(result.value) if result.value >= 1000 else f"{result.value:.3g}"
    )
    figure = f"{number} {result.unit}".strip() if number else ""
    held = f" · {result.threshold}" if result.threshold else ""
    advice = f"<p>{escape(result.advice)}</p>" if result.advice and result.verdict != "pass" else ""
    return (
        f'<div class="tbw-result" data-check="{escape(result.id)}" data-verdict="{result.verdict}">'
        f"<div>{verdict(result)}</div>"
        f"<div><b>{escape(result.title)}</b> <span>{escape(result.message)}</span>{advice}"
        f'<div class="tbw-help">{escape(figure + held if figure else result.threshold)}</div>{picture(result.picture)}'
        "</div></div>"
    )
