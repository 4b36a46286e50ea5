"""The model that was asked for, on its way to be trained: fetched, agreed to, tried. No widget is known here.

Fetching waits for the network in a thread, and a model's code runs in a process of its own; both only fill objects
that :meth:`ModelChoice.refresh` looks at. Nothing of a Gist or Hub repository runs before :meth:`ModelChoice.trust`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from tb_widgets.app.state.draft import Draft
from tb_widgets.app.state.fetching import Fetching, Refused
from tb_widgets.app.state.kept_checks import KeptChecks
from tb_widgets.app.state.model_address import require_address, require_files
from tb_widgets.app.state.versioned import Versioned
from tb_widgets.checks.preflight import read_preflight
from tb_widgets.errors import ModelError, RunError, TbError, UndecidedError
from tb_widgets.service.fitting import ModelFacts
from tb_widgets.service.models import (
    CODE,
    Finding,
    ModelSource,
    OpenFault,
    Repair,
    Trust,
    TrustStore,
    decided,
    findings,
    is_fetched,
    keep_files,
    kept_copies,
    needs_consent,
    open_faults,
    pinned,
    repairs,
    resolve,
)
from tb_widgets.service.policy import Policy
from tb_widgets.service.probing import Probe, ProbeService
from tb_widgets.spec import ModelSpec, RunSpec
from tb_widgets.spec.hub_pages import model_source

ChoiceState = Literal["ours", "waiting", "fetching", "asking", "trying", "ready", "failed"]

HOLDS: dict[ChoiceState, str] = {
    "fetching": "it is being fetched.",
    "asking": "it waits for you to read it and to trust it, in the Model step.",
    "trying": "it is being tested.",
}


class ModelChoice(Versioned):
    """Follows the form's model, from its address to what is known about it, and tells the form.

    Parameters
    ----------
    draft
        Takes the model once it has been fetched, and hears what fits it.
    policy
        What may be loaded on this page.
    probes, store
        Where models are tried, and whose code may run.

    Attributes
    ----------
    state
        ``ours`` (a model of ours, nothing to find out), ``waiting`` (found, and not tried before a page or a script
        asks for it), ``fetching``, ``asking`` (for consent), ``trying``, ``ready``, ``failed`` (``error`` says why).
    original, source
        The model as it came, and with what the form changes: overrides and repairs.
    trust
        What the user has agreed to.
    findings, repairs, faults
        What to look at, what could be mended, and what could not, in the model as it came.
    was_stopped
        Whether ``failed`` means that the user has ended it.
    answer, notes
        What the trial found, see :class:`tb_widgets.service.probing.Probe`.
    measured
        The last measurement of this model.
    version
        Grows whenever anything of this changes.
    """

    def __init__(
        self,
        draft: Draft,
        policy: Policy | None = None,
        probes: ProbeService | None = None,
        store: TrustStore | None = None,
    ) -> None:
        self.draft = draft
        self.policy = policy or draft.policy
        self.probes = probes or ProbeService()
        self.store = store or TrustStore()
        self._state: ChoiceState = "ours"  # of the form's model, also while another one is fetched
        self._address = ""
        self._refused: Refused | None = None
        self._fetches_own = False  # the form itself asks for what is being fetched
        self.error: TbError | None = None
        self.was_stopped = False
        self._fetching: Fetching | None = None
        self._spec: ModelSpec | None = None
        self._may_try = self._was_busy = False
        self._asked = ""  # what was fetched last, so that a failure is not asked for again and again
        self._asked_is = ""  # what that turned out to be
        self._checks = KeptChecks()
        self._measured_of: RunSpec | None = None
        self._not_typed = ""  # a path that a file has put into the form: nobody's consent
        self._clear()

    def _clear(self) -> None:
        self._is_unfetched = False
        self.original: ModelSource | None = None
        self.source: ModelSource | None = None
        self.trust = Trust("trusted")
        self.findings: list[Finding] = []
        self.repairs: list[Repair] = []
        self.faults: list[OpenFault] = []
        self.trial: Probe | None = None
        self._checks.give_up()
        self.measured: Probe | None = None

    @property
    def state(self) -> ChoiceState:
        """How far the model is."""
        return "fetching" if self._fetching is not None else self._state

    @property
    def address(self) -> str:
        """What was asked for, as it was typed."""
        return self._fetching.address if self._fetching is not None else self._address

    @property
    def refused(self) -> Refused | None:
        """What was asked for last and can't be had; the form keeps the model that it holds."""
        refused = self._refused
        return refused if refused is not None and refused.kept == self.draft.values["model.source"] else None

    @property
    def is_busy(self) -> bool:
        """Whether something is on its way."""
        probes = (self.checks, self.measured)
        return self.state in ("fetching", "trying") or any(probe and probe.state == "working" for probe in probes)

    @property
    def checks(self) -> Probe | None:
        """The last checks of this model."""
        return self._checks.probe

    @property
    def typed(self) -> str:
        """The address as it was typed: it may name no revision, and another one may be the newest by now."""
        return self._asked if self._asked_is == self.address else self.address

    @property
    def answer(self) -> dict[str, Any]:
        """What the trial found."""
        return self.trial.answer if self.trial is not None else {}

    @property
    def measured_bytes(self) -> int | None:
        """The memory that a run with these very settings took at its peak, once that was measured."""
        if self.measured is None or self.measured.state != "done" or self._measured_of != self.draft.spec:
            return None
        return read_preflight(self.measured.answer).peak_bytes

    @property
    def leaks(self) -> bool:
        """Whether a language model sees the tokens that it is asked for."""
        return bool(self.answer.get("leaks"))

    @property
    def may_leak(self) -> bool:
        """Whether the user wants a model that leaks trained as it is."""
        return self.draft.spec.model.allow_leak

    @property
    def copies(self) -> list[ModelSource]:
        """The kept revisions of what could not be fetched, the latest first."""
        if self.refused is not None:
            address = self.refused.address if self.refused.is_unfetched else ""
        else:
            address = self.address if self.state == "failed" and self._is_unfetched else ""
        return kept_copies(address) if is_fetched(address) else []

    def load(self, address: str) -> None:
        """Ask for a model by its address, path, or name; returns at once. The form's model stays until it is here.

        Raises
        ------
        ModelError
            If there is no such model: see :attr:`refused`.
        PolicyError
            If it may not be loaded on this page.
        """
        address = model_source(address.strip())
        self._refused = None
        self.touch()
        try:
            self.policy.require_model(require_address(address))
            if not is_fetched(address):
                require_files(address, self.draft)
        except ModelError as error:
            self._refuse(address, error)
            raise
        self._asked = address
        if is_fetched(address):
            self._fetches_own = self.original is None and address == self.draft.values["model.source"]
            self._fetching = Fetching(address)
            self._may_try = True
            self._say(self._state)
        else:
            self._take(address)

    def cancel(self) -> None:
        """Wait no longer for what was asked for, and forget what can't be had; the form's model stays."""
        self._refused = None
        if self._fetching is not None:
            self._fetching = None
            self._say(self._state)

    def upload(self, files: Mapping[str, bytes]) -> None:
        """Take model.py and config.json, or a zip of them, as files that were dropped on the page."""
        self.policy.require_owner("send files")
        self.load(keep_files(files).origin["source"])

    def agree(self) -> None:
        """Agree to run exactly the bytes that are shown.

        Raises
        ------
        RunError
            If no model waits for that.
        """
        if self.state != "asking" or self.source is None:
            raise RunError("No model waits for your consent.", hint="Load one by its address first.")
        if needs_consent(self.source):
            self.store.grant(self.source)
        else:
            self.store.remember(self.source.files, self.source.origin["source"])
        self._may_try = True
        self._spec = None
        self._follow()

    def decide(self, answer: str) -> None:
        """Answer what only the author of a model knows, for example its task; it is then tried again.

        Raises
        ------
        RunError
            If nothing is asked, or that is no answer.
        """
        if not isinstance(self.error, UndecidedError) or answer not in self.error.answers:
            raise RunError(f"{answer} answers no question about this model.", hint="Set the field itself instead.")
        self._may_try = True
        self.draft.set(self.error.field, answer)
        self._follow()

    def keep(self) -> dict[str, Any]:
        """Return the results of the last checks that came to their end, for :meth:`restore`."""
        return self._checks.keep()

    def restore(self, kept: dict[str, Any]) -> None:
        """Show results that :meth:`keep` returned as soon as the form holds the very model that they are of.

        The form's model was put there by a file: a path in it is no consent, as one that is typed would be.
        """
        self._checks.restore(kept)
        self._not_typed = str(self.draft.values["model.source"])

    def _identity(self) -> str:
        """Return what differs for every model and every change of one."""
        spec = self.draft.spec.model.model_dump(exclude={"allow_leak"})
        files = self.source.origin["sha256"] if self.source is not None else self.draft.sizes_of_data(self.draft.spec)
        return json.dumps([spec, files])

    def stop(self) -> None:
        """End the fetch or the trial.

        Raises
        ------
        RunError
            If there is none.
        """
        if self._fetching is not None:
            address, self._fetching = self._fetching.address, None
            again = "Try again" if self._fetches_own else "Load to try again"
            self._give_up(address, ModelError("Download cancelled.", hint=f"Press {again}."), is_cancelled=True)
        elif self.state == "trying" and self.trial is not None:
            self.trial.stop()
            self.was_stopped = True
            self.error = ModelError("Test cancelled.", hint="Press Try again.")
            self._say("failed")
        else:
            raise RunError("Nothing is being fetched or tried.")

    def repair(self, ids: Iterable[str]) -> None:
        """Apply these repairs and no others; an empty list takes them back."""
        self._may_try = True
        self.draft.set("model.repairs", list(ids))
        self._follow()

    def check(self, tier: int = 2) -> Probe:
        """Make the checks, in a process of their own."""
        self._checks.give_up()
        probe = self.probes.check(self._known(), self.draft.spec.model, tier=tier)
        self._checks.begin(probe, self._identity())
        self._was_busy = True
        self.touch()
        return probe

    def measure(self, *, micro_batches: bool = False) -> Probe:
        """Measure what a run with the form's settings would be like, in a process of its own.

        Parameters
        ----------
        micro_batches
            Try several micro-batches as well.
        """
        if self.measured is not None:
            self.measured.stop()
        self.measured = self.probes.preflight(self._known(), self.draft.spec, micro_batches=micro_batches)
        self._measured_of = self.draft.spec
        self._was_busy = True
        return self.measured

    def refresh(self, *, may_try: bool = False) -> None:
        """Look at what has arrived. The beat calls this.

        Parameters
        ----------
        may_try
            Whether a process may be started for a model that stands in the form without having been asked for here.
        """
        self._may_try |= may_try
        if self._fetching is not None:
            if not self._fetching.finished.is_set():
                return
            self._take_fetched(self._fetching)
        self._follow()
        if self.checks is not None and self._checks.follow(self._identity()):
            self.touch()
        busy = self.is_busy
        if busy or self._was_busy:  # once more, for what came last
            self.touch()
        self._was_busy = busy

    def close(self) -> None:
        """End what is on its way."""
        self._leave()
        self.probes.close()

    # ---- from one state to the next --------------------------------------------------------------------------------

    def _refuse(self, address: str, error: ModelError, **how: bool) -> None:
        """Say that something can't be had, and leave the form's model as it is."""
        self._refused = Refused(address, error, str(self.draft.values["model.source"]), **how)
        self.touch()

    def _take(self, address: str, *, anew: bool = True) -> None:
        """Put a model that is here into the form."""
        self._not_typed = ""
        self._may_try = True
        self._leave()
        self._spec, self._address = None, address
        self.draft.know(None)
        self.draft.choose_model(address, anew=anew)
        self._follow()

    def _take_fetched(self, done: Fetching) -> None:
        self._fetching = None
        if done.source is None:
            assert done.error is not None  # noqa: S101 - it ends with one of both
            self._give_up(done.address, done.error)
            return
        address = pinned(done.source)
        try:
            if not self._fetches_own:
                require_files(address, self.draft)
        except ModelError as error:
            self._refuse(done.address, error)
            self._say(self._state)
            return
        self._asked_is = address
        # An address that stood in the form already, as in the settings of a run, keeps what was decided about it.
        self._take(address, anew=done.address != self.draft.values["model.source"])

    def _give_up(self, address: str, error: ModelError, *, is_cancelled: bool = False) -> None:
        """Say that nothing has come; where the form itself asked for it, it holds no model that can be started."""
        if not self._fetches_own:
            self._refuse(address, error, is_unfetched=True, is_cancelled=is_cancelled)
            self._say(self._state)
            return
        self._leave()
        self._is_unfetched, self.was_stopped = True, is_cancelled
        self._spec = self.draft.spec.model  # what stands in the form is not what was asked for
        self._address, self.error = address, error
        self._say("failed")

    def _follow(self) -> None:
        """Follow the form's model, and the trial of it."""
        if self._fetching is not None:
            return
        source, wrong = str(self.draft.values["model.source"]), self.draft.errors.get("model.source")
        if wrong and not self.draft.hold:
            if self._may_try and is_fetched(source) and source != self._asked:
                self.load(source)
            elif self.state != "failed" or self._spec is not None or self.error is None:
                self._leave()
                self._spec, self.error, self._address = None, ModelError(f"{source}: {wrong}"), source
                self._state = "failed"
                self.touch()
            return
        spec = self.draft.spec.model
        if source != spec.source:
            return  # something else in the form can't be read yet
        if self._spec is None or _decides(spec) != _decides(self._spec):
            self._spec = spec
            self._look(spec)
        elif self.state == "waiting" and self._may_try and self.source is not None:
            self._try(self.source, spec)
        elif self.state == "ready" and spec.allow_leak != self._spec.allow_leak:
            self._spec = spec
            self._say("ready")
        if self.state == "trying" and self.trial is not None and self.trial.finished.is_set():
            self.error = self.trial.error
            self._say("ready" if self.trial.state == "done" else "failed")
            if self.repairs:
                self.probes.warm()  # to try it again once it is mended

    def _look(self, spec: ModelSpec) -> None:
        """Read a model's files, and go as far as is allowed."""
        self._leave()
        if spec.source.startswith("zoo:"):
            self._say("ours")
            return
        self._address = spec.source
        try:
            self.policy.require_model(spec.source)
            # A model that is not ours has its own sizes: what the text asks for plays no part.
            plain = spec.model_copy(update={"repairs": [], "config": {}})
            self.original = resolve(plain, vocab_size=None, context_length=1, online=False)
            self.source = decided(self.original, spec)
            if not self.policy.is_owner:
                self.store.grant(self.source)  # whoever runs the server has agreed to what is on its list
            self.trust = self._consent(self.source)
            self.findings = findings(self.original.files[CODE])
            self.repairs, self.faults = repairs(self.original), open_faults(self.original)
        except TbError as error:
            self.error = error
            self._say("failed")
            return
        if self.trust.state != "trusted":
            self._say("asking")
            if self._may_try:
                self.probes.warm()
        elif self._may_try:
            self._try(self.source, spec)
        else:
            self._say("waiting")

    def _consent(self, source: ModelSource) -> Trust:
        if needs_consent(source):
            return self.store.state(source)
        if self.draft.spec.model.source != self._not_typed or self.store.knows(source.files):
            return Trust("trusted")
        return Trust("new")

    def _try(self, source: ModelSource, spec: ModelSpec) -> None:
        try:
            if not needs_consent(source) and self.policy.is_owner:
                self.store.remember(source.files, source.origin["source"])  # so that it is not asked for after a reload
            self.trial = self.probes.adapt(source, spec)
        except TbError as error:
            self.error = error
            self._say("failed")
        else:
            self._say("trying")

    def _leave(self) -> None:
        for probe in (self.trial, self.measured):
            if probe is not None:
                probe.stop()
        self._fetching = None
        self.error = None
        self.was_stopped = False
        self._clear()

    def _say(self, state: ChoiceState) -> None:
        """Enter a state, and tell the form what it means for Start."""
        self._state = state
        if state in ("ours", "waiting", "ready"):
            self._checks.recall(self._identity())
        self.touch()  # the form may have changed what that state means
        hold, facts = HOLDS.get(self.state, ""), None
        if self._fetching is not None:
            facts = self.draft.facts  # the form's model stays until another one is here
        elif state == "failed" and self.error is not None:
            is_question = isinstance(self.error, UndecidedError)
            hold = "it waits for your answer to a question, in the Model step." if is_question else self.error.message
        elif state == "ours" and self._spec is not None:
            facts = ModelFacts.of_ours(self._spec.source.partition(":")[2])
        elif state == "ready":
            facts = ModelFacts.of_answer(self.answer)
            hold = (
                "it sees the tokens that it should predict: see the Model step."
                if self.leaks and not self.may_leak
                else ""
            )
        elif state == "trying":
            facts = self.draft.facts  # until it answers, what is known of it stays
        self.draft.know(facts, hold)

    def _known(self) -> ModelSource:
        """Return the form's model as it would be trained."""
        spec = self.draft.spec
        if self.source is not None:
            return self.source
        if self.state in ("fetching", "failed") or "model.source" in self.draft.errors:
            raise RunError("There is no model to try yet.", hint="Choose or load one in the Model step.")
        sizes = self.draft.sizes_of_data(spec)
        return resolve(spec.model, **sizes, context_length=spec.data.context_length, online=False)


def _decides(spec: ModelSpec) -> dict[str, Any]:
    """Return what makes one model another; the size of our own models does not."""
    return (
        {"source": spec.source} if spec.source.startswith("zoo:") else spec.model_dump(exclude={"preset", "allow_leak"})
    )
