"""Checking a model in a notebook, step by step: look at it, agree to run it, check it, see the pictures.

No code of the model runs in this process, and none of a Gist or Hub repository runs anywhere before consent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from tb_widgets.checks.result import CheckResult
from tb_widgets.models.address import parse_gist, parse_hub
from tb_widgets.models.findings import findings
from tb_widgets.models.repair import apply_repairs, repairs
from tb_widgets.models.source import CODE, ModelSource, pinned
from tb_widgets.models.trust import TrustStore, needs_consent
from tb_widgets.service import report
from tb_widgets.service.checking import source_of
from tb_widgets.service.probing import Probe, ProbeService
from tb_widgets.spec import RunSpec

LOOK_EVERY = 0.2  # seconds


class Validation:
    """A model that is looked at, agreed to, and checked; a notebook shows it as the last line of a cell.

    Parameters
    ----------
    model
        ``zoo:gpt``, a path, the address of a Gist, or ``hub:OWNER/NAME``.
    trust
        Agree to run the code of this Gist or repository. Where you agreed to another revision before, the address must
        name the one you mean: it has changed, and what changed is shown first.
    repair
        Mend the known faults of exported models that are found in it.
    settings
        Fields of a run by their dotted names, for example ``{"model.task": "masked-lm"}``.

    Raises
    ------
    ModelError
        If the model can't be found or read.

    Examples
    --------
    >>> validation = Validation("zoo:gpt")  # doctest: +SKIP
    >>> results = validation.check()  # doctest: +SKIP
    """

    def __init__(
        self, model: str, *, trust: bool = False, repair: bool = False, settings: dict[str, Any] | None = None
    ) -> None:
        self.spec = RunSpec().with_values({**(settings or {}), "model.source": model.strip()})
        original = source_of(self.spec)
        store = TrustStore()
        self.trust = store.state(original)
        if trust and (self.trust.state == "new" or (self.trust.state == "changed" and _is_named(original))):
            store.grant(original)
            self.trust = store.state(original)
        self.repairs = repairs(original)
        self.repaired = repair and bool(self.repairs)
        self.source = apply_repairs(original, [offer.id for offer in self.repairs]) if self.repaired else original
        self.results: list[CheckResult] = []

    @property
    def may_run(self) -> bool:
        """Whether the model's code may be run."""
        return self.trust.state == "trusted"

    def check(self, tier: Literal[1, 2] = 2) -> list[CheckResult]:
        """Make the checks in a process of their own, show each result as it comes, and return them.

        A model that may not run yet is not checked, and that is said. A model that can't be built or run is a result
        as well: what went wrong is shown, with the results until then.

        Parameters
        ----------
        tier
            1 for what every model must pass, 2 for a closer look as well.
        """
        from IPython.display import HTML, display

        self.results = []
        if not self.may_run:
            display(HTML(report.page(report.note(f"Not checked. {self._how_to_agree()}"))))
            return []
        probe = ProbeService().check(self.source, self.spec.model, tier=tier)
        try:
            _follow(probe, self._progress)
        finally:
            probe.stop()  # somebody may have stopped the cell
        self.results = probe.results
        return self.results

    def pictures(self) -> None:
        """Show the pictures that the checks drew."""
        from IPython.display import HTML, display

        drawn = report.pictures_html(self.results) or report.note("There are no pictures: nothing was checked.")
        display(HTML(report.page(drawn)))

    def __repr__(self) -> str:
        return f"<Validation of {pinned(self.source)}: {'may run' if self.may_run else 'not agreed to'}>"

    def _repr_html_(self) -> str:
        # What is shown is what will be run: the files with overrides and repairs.
        origin, source = self.source.origin, report.source_html(self.source)
        parts = [
            "<h3>Found</h3>",
            report.facts(
                [
                    ("Model", pinned(self.source)),
                    ("Owner", str(origin.get("owner") or "")),
                    ("Description", str(origin.get("description") or "")),
                    ("Changed", str(origin.get("updated") or "")),
                    ("Files", ", ".join(f"{file['name']} ({file['bytes']:,} bytes)" for file in _listed(origin))),
                    ("Address", str(origin.get("url") or "")),
                ]
            ),
        ]
        if needs_consent(self.source):
            parts += ["<h3>What to look at in model.py</h3>", report.findings_html(findings(self.source.files[CODE]))]
        if self.trust.state == "changed":
            parts += [
                f"<h3>What has changed since revision {self.trust.revision[:10]}, which you agreed to</h3>",
                report.diff_html(self.trust.diff),
            ]
        if self.may_run:
            parts.append(report.folded("The code that will be run", source))
        else:
            parts += [source, report.note(self._how_to_agree())]
        if self.repairs:
            title = "Mended" if self.repaired else "Known faults that can be mended: tick repair_known_faults"
            parts += [f"<h3>{title}</h3>", report.repairs_html(self.repairs)]
        return report.page(*parts)

    def _how_to_agree(self) -> str:
        begin = "Nothing of this model has been run. Loading it runs its author's code with your permissions."
        if self.trust.state == "changed":
            return (
                f"{begin} It has changed since you agreed to it. If you trust this revision too, write "
                f"{pinned(self.source)} as the model, tick trust_this_revision, and run all cells again."
            )
        return f"{begin} If you trust what is shown, tick trust_this_revision and run all cells again."

    def _progress(self, probe: Probe) -> str:
        answer, parts = probe.answer, []
        if answer:
            parts.append(
                report.facts(
                    [
                        ("Model", f"{answer['title']}, {answer['parameters']:,} parameters"),
                        *(
                            (item["what"].capitalize(), f"{item['value']}. {item['why']}")
                            for item in answer["conclusions"]
                        ),
                    ]
                )
            )
        if probe.results:
            parts.append(report.results_html(probe.results))
        if not probe.finished.is_set():
            parts.append(report.note(f"At work: {probe.phase} …"))
        if probe.error is not None:
            parts.append(report.error_note(probe.error))
        parts += [report.note(sentence) for sentence in probe.notes]
        leaks = any(result.id == "causality" and result.verdict == "fail" for result in probe.results)
        if leaks and not self.repaired and any(offer.id == "causal-mask" for offer in self.repairs):
            parts.append(
                report.note("The mask can be put in for you: tick repair_known_faults and run all cells again.")
            )
        return report.page(*parts)


def _follow(probe: Probe, draw: Callable[[Probe], str]) -> None:
    """Show a probe's state from this thread, again and again, until it has ended."""
    from IPython.display import HTML, display

    shown = draw(probe)
    output = display(HTML(shown), display_id=True)
    finished = False
    while not finished:
        finished = probe.finished.wait(LOOK_EVERY)
        if (now := draw(probe)) != shown:
            shown = now
            output.update(HTML(shown))


def _is_named(source: ModelSource) -> bool:
    """Tell whether the address that was typed names this very revision, and not only what is newest."""
    parse = parse_hub if source.origin["kind"] == "hub" else parse_gist
    named = parse(source.origin["source"]).revision
    return named is not None and source.origin["revision"].startswith(named)


def _listed(origin: dict[str, Any]) -> list[dict[str, Any]]:
    return [file for file in origin.get("listed") or [] if isinstance(file.get("bytes"), int)]
