"""Checking a model in a notebook, step by step: look at it, agree to run it, check it, see the pictures.

No code of the model runs in this process, and none of a Gist or Hub repository runs anywhere before consent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from tb_widgets.app import words
from tb_widgets.app.assets import read_asset
from tb_widgets.app.parts import code_view
from tb_widgets.app.parts.check_results import leaks, result_pictures, result_rows
from tb_widgets.app.parts.model_view import conclusion_list, finding_list, model_files, origin_facts, repair_list
from tb_widgets.checks.result import CheckResult
from tb_widgets.errors import TbError
from tb_widgets.service.checking import source_of
from tb_widgets.service.models import (
    CODE,
    TrustStore,
    apply_repairs,
    findings,
    needs_consent,
    pinned,
    repairs,
)
from tb_widgets.service.probing import Probe, ProbeService
from tb_widgets.spec import RunSpec

if TYPE_CHECKING:
    import ipywidgets as widgets

_LOOK_EVERY = 0.2  # seconds
_MASK = "causal-mask"
TRUST, MEND = "Trust this revision", "Apply the repairs"
LEAK = (
    "This model sees the answers. When it learns to predict the next token, that very token is already among the "
    "tokens it looks at, so its loss falls towards zero while it learns nothing. When it writes, there is nothing to "
    "copy from. It needs a causal mask, which hides later tokens from earlier ones."
)
# A cell has no ground of its own: ink and ground are the notebook's, and the tints let them through.
_COLOURS = "; ".join(
    (
        "--tbw-bg: transparent; --tbw-card: transparent; --tbw-ink: currentColor",
        "--tbw-soft: color-mix(in srgb, currentColor 70%, transparent); --tbw-line: rgba(128, 128, 128, .3)",
        "--tbw-accent: #5c7cfa; --tbw-accent-soft: rgba(92, 124, 250, .15)",
        "--tbw-ok: #2b9348; --tbw-ok-soft: rgba(43, 147, 72, .15)",
        "--tbw-warn: #c77700; --tbw-warn-soft: rgba(199, 119, 0, .15)",
        "--tbw-bad: #e03131; --tbw-bad-soft: rgba(224, 49, 49, .15)",
    )
)


class Validation:
    """A model that is looked at, agreed to, and checked; a notebook shows it as the last line of a cell.

    Parameters
    ----------
    model
        ``zoo:gpt``, a path, the address of a Gist, or ``hub:OWNER/NAME``.
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

    def __init__(self, model: str, *, settings: dict[str, Any] | None = None) -> None:
        self.spec = RunSpec().with_values({**(settings or {}), "model.source": model.strip()})
        self.original = self.source = source_of(self.spec)
        self.trust = TrustStore().state(self.original)
        self.repairs = repairs(self.original)
        self.mends = False
        self.results: list[CheckResult] = []

    def agree(self) -> None:
        """Agree to run exactly the code that is shown; this is remembered for these very files.

        Raises
        ------
        ModelError
            If that can't be remembered.
        """
        store = TrustStore()
        store.grant(self.original)
        self.trust = store.state(self.original)

    def mend(self) -> None:
        """Mend the known faults of exported models that were found in it.

        A causal mask is right for some models and wrong for others: that one waits for what the checks find.
        """
        self.mends = True
        self.source = apply_repairs(self.original, [offer.id for offer in self.repairs if offer.id != _MASK])

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
        if not self.may_run:
            _display(words.note(f"Not checked. {self._how_to_agree()}"))
            return []
        self.results = self._try(tier)
        can_be_masked = _MASK in [offer.id for offer in self.repairs if offer.id not in self.applied]
        if leaks(self.results) and can_be_masked:
            if not self.mends:
                _display(words.note(f"The mask can be put in for you: press {MEND} above, then run this cell again."))
                return self.results
            self.source = apply_repairs(self.original, [*self.applied, _MASK])
            _display(words.note("The causal mask has been put in. The same checks again:", "on"))
            self.results = self._try(tier)
        return self.results

    @property
    def applied(self) -> list[str]:
        """Ids of the repairs that have been made."""
        return list(self.source.origin.get("repairs", []))

    def _try(self, tier: int) -> list[CheckResult]:
        probe = ProbeService().check(self.source, self.spec.model, tier=tier)
        try:
            _follow(probe)
        finally:
            probe.stop()  # somebody may have stopped the cell
        return probe.results

    def pictures(self) -> None:
        """Show the pictures that the checks drew."""
        _display(result_pictures(self.results) or words.note("There are no pictures: nothing was checked."))

    def __repr__(self) -> str:
        return f"<Validation of {pinned(self.source)}: {'may run' if self.may_run else 'not agreed to'}>"

    def _repr_html_(self) -> str:
        # What is shown is what will be run: the files with overrides and repairs.
        found = findings(self.source.files[CODE])
        parts = [words.facts([("Model", pinned(self.source))]), origin_facts(self.source.origin)]
        if needs_consent(self.source):
            parts.append(finding_list(found))
        if self.trust.state == "changed":
            since = f"What has changed since revision {self.trust.revision[:10]}, which you agreed to"
            parts += [f"<h3>{since}</h3>", code_view.diff(self.trust.diff)]
        code = model_files(self.source, found)
        if self.may_run:
            code = f"<details><summary>The code that will be run</summary>{code}</details>"
        parts += [code, repair_list(self.repairs, self.applied)]
        if not self.may_run:
            parts.append(words.note(self._how_to_agree()))
        return cell(*parts)

    def _ipython_display_(self) -> None:
        from IPython.display import HTML, display

        display(HTML(self._repr_html_()))
        offered = [] if self.may_run else [(TRUST, self.agree)]
        offered += [(MEND, self.mend)] if len(self.applied) < len(self.repairs) else []
        if offered:
            display(_buttons(offered))

    def _how_to_agree(self) -> str:
        begin = "Nothing of this model has been run. Loading it runs its author's code with your permissions."
        if self.trust.state == "changed":
            begin += " It has changed since you agreed to it."
        return f"{begin} If you trust what is shown, press {TRUST}, then run the cells below again."


def _buttons(offered: list[tuple[str, Callable[[], None]]]) -> widgets.Widget:
    """Return a button for each offer, and below them what came of it."""
    import ipywidgets as widgets

    said = widgets.HTML()

    def press(button: widgets.Button, act: Callable[[], None]) -> None:
        try:
            act()
        except TbError as error:
            said.value = cell(words.error_note(error))
            return
        button.disabled = True
        said.value = cell(words.note(f"{button.description}: done. Now run the cells below again.", "ok"))

    made = []
    for title, act in offered:
        button = widgets.Button(description=title, layout=widgets.Layout(width="auto"))
        button.on_click(lambda pressed, act=act: press(pressed, act))
        made.append(button)
    return widgets.VBox([widgets.HBox(made), said])


def _display(html: str) -> None:
    from IPython.display import HTML, display

    display(HTML(cell(html)))


def _follow(probe: Probe) -> None:
    """Show a probe's state from this thread, again and again, until it has ended."""
    from IPython.display import HTML, display

    shown = _progress(probe)
    output = display(HTML(cell(shown)), display_id=True)
    finished = False
    while not finished:
        finished = probe.finished.wait(_LOOK_EVERY)
        if (now := _progress(probe)) != shown:
            shown = now
            output.update(HTML(cell(shown)))


def _progress(probe: Probe) -> str:
    answer, parts = probe.answer, []
    if answer:
        parts.append(words.facts([("Model", f"{answer['title']}, {answer['parameters']:,} parameters")]))
        parts.append(conclusion_list(answer))
    if probe.results:
        parts.append(shown_results(probe.results))
    if not probe.finished.is_set():
        parts.append(words.note(f"At work: {probe.phase} …", "on"))
    if probe.error is not None:
        parts.append(words.error_note(probe.error))
    return "".join((*parts, *(words.note(sentence) for sentence in probe.notes)))


def shown_results(results: list[CheckResult]) -> str:
    """Return results without their pictures; a leak is said in plain words first."""
    return (words.note(LEAK, "bad") if leaks(results) else "") + result_rows(results, pictures=False)


def cell(*parts: str) -> str:
    """Return parts of HTML as one output of a notebook, which carries its style and takes the page's colours."""
    style = f"<style>{read_asset('theme.css')}</style>"
    return f'{style}<div class="tbw" style="{_COLOURS}"><div class="tbw-card">{"".join(parts)}</div></div>'
