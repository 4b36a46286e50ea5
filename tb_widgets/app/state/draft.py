"""The next run, as far as it has been filled in. No widget is known here."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import traitlets

from tb_widgets.app.state import typed_numbers
from tb_widgets.app.state.description import SIZES, Description, described, reason_of, too_large
from tb_widgets.app.state.fields import CARDS, as_setting, missing, read_typed
from tb_widgets.app.words import form_names
from tb_widgets.errors import SpecError, TbError
from tb_widgets.service.checking import vocabulary_of_ours
from tb_widgets.service.fitting import FITTED, Misfit, ModelFacts, fitted
from tb_widgets.service.memory import MemoryNeed, memory_need
from tb_widgets.service.models import ModelSummary
from tb_widgets.service.policy import Policy
from tb_widgets.spec import PRESETS, DataSpec, RunSpec, TokenizerSpec
from tb_widgets.spec import preset as preset_spec
from tb_widgets.spec.hub_pages import data_source, model_source

# What the user decided about one model, and about no other.
DECIDED = (
    "model.config",
    "model.task",
    "model.entry",
    "model.input",
    "model.mask",
    "model.arguments",
    "model.order",
    "model.output",
    "model.vocab_size",
    "model.context_limit",
    "model.image_size",
    "model.image_channels",
    "model.repairs",
    "model.allow_leak",
)
# What the user decided about some data, and about no other.
OF_DATA = ("config", "split", "validation_split", "columns", "encoding", "streaming")
# What a preset leaves as it was chosen.
_KEPT = ("model.source", *DECIDED[1:], "data.source", *(f"data.{name}" for name in OF_DATA), "name")
# Fields that take the address of a page of the Hub for what it shows.
PAGES = {"model.source": model_source, "data.source": data_source, "tokenizer.file": model_source}


class Draft(traitlets.HasTraits):
    """What the next run will be, and in words why it can't be started yet.

    ``values`` holds what was entered, by field path, also where it is wrong; ``errors`` holds the reasons by field
    path; ``spec`` is the last valid spec and ``is_valid`` says whether it is what was entered.

    Attributes
    ----------
    policy
        What may be started from this page.
    facts
        What is known of the model, once it has been tried.
    hold
        Why the model can't be started whatever its files say: it is being fetched, waits for consent, or failed.
    problem
        Data that were looked at, and why the model can't learn from them.
    need
        Memory that the run will probably need; ``None`` where the model's size is not known.
    fitted
        What was changed so that text and sizes fit the model: the value before and the reason, by field path. Only
        fields that nobody has chosen are changed.
    advice
        What is typical instead of values that may be started with and are far from it, by field path.
    remedies
        Values that would fit, by field path, for fields that the user has chosen and that don't fit the model.
    """

    preset = traitlets.Unicode("quick")
    values = traitlets.Dict()
    errors = traitlets.Dict()
    spec = traitlets.Instance(RunSpec)
    model = traitlets.Instance(ModelSummary, allow_none=True)
    version = traitlets.Int(0)

    def __init__(self, spec: RunSpec | None = None, policy: Policy | None = None) -> None:
        self.policy = policy or Policy(own=spec)
        self._described: tuple[Any, Description] | None = None
        self.facts: ModelFacts | None = None
        self.hold = ""
        self.problem: tuple[DataSpec, TokenizerSpec, TbError] | None = None
        self._sizes: tuple[DataSpec, TokenizerSpec, int | None, int | None] | None = None
        self.fitted: dict[str, tuple[Any, str]] = {}
        self.remedies: dict[str, Any] = {}
        self.need: MemoryNeed | None = None
        self.advice: dict[str, str] = {}
        self._entered: set[str] = set()
        super().__init__(spec=spec or PRESETS["quick"].spec())
        if spec is not None:
            self.preset = ""
        self.load(self.spec)
        if spec is not None:  # whatever a script gives was chosen, also where it is what is usual
            self._entered |= spec.given & {*FITTED}

    @property
    def is_valid(self) -> bool:
        """Whether everything that was entered can be started."""
        return not self.errors

    @property
    def blockers(self) -> list[str]:
        """Why Start is not possible yet: one sentence for every field that needs a look."""
        return [
            # Sizes have fields of their own, which such a sentence begins with.
            reason
            if path == "model.config" and self.wrong_size
            else f"{CARDS[path].title}: {reason}"
            if path in CARDS
            else f"{path}: {reason}"
            for path, reason in self.errors.items()
        ]

    @property
    def wrong_size(self) -> str:
        """Which of our model's sizes can't be, as ``n_head``; empty if all can."""
        reason = self.errors.get("model.config", "")
        return next((name for name, title in SIZES.items() if reason.startswith(title)), "")

    def use_preset(self, name: str) -> None:
        """Start again from a preset; the model's source and the text stay as they were chosen.

        Raises
        ------
        SpecError
            If there is no preset of that name.
        """
        kept: dict[str, Any] = {path: self.values[path] for path in _KEPT if path in self.values}
        spec = preset_spec(name)
        entered = self._entered & {*_KEPT}
        self.preset = name
        self.load(spec, keep=kept)
        self._entered = entered

    def load(self, spec: RunSpec, *, keep: dict[str, Any] | None = None) -> None:
        """Take over every field of a spec."""
        tree = spec.to_mapping()
        values = {path: _at(tree, path) for path in CARDS}
        self.values = values | (keep or {})
        self.fitted = {path: fit for path, fit in self.fitted.items() if keep and path in keep}
        base = self._base().to_mapping()
        self._entered = {path for path in CARDS if self.values[path] != _at(base, path)} - {*self.fitted}
        self.check()

    def keep(self) -> dict[str, Any]:
        """Return everything that was entered, as JSON can hold it, for :meth:`restore`."""
        return {
            "preset": self.preset,
            "values": self.values,
            "chosen": sorted(self._entered),
            "fitted": {path: [before, why] for path, (before, why) in self.fitted.items()},
        }

    def restore(self, kept: dict[str, Any]) -> None:
        """Put back what :meth:`keep` returned; fields that a newer or older version knows are left out.

        Raises
        ------
        ValueError
            If it is nothing of the kind.
        """
        try:
            values = {path: value for path, value in kept["values"].items() if path in CARDS}
            fitted = {path: (before, str(why)) for path, (before, why) in kept["fitted"].items() if path in CARDS}
            chosen = {path for path in kept["chosen"] if path in CARDS}
            preset = str(kept["preset"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"these are not the fields of a form: {error}") from error
        self.preset = preset if preset in PRESETS else ""
        self.values = self.values | values
        self.fitted, self._entered = fitted, chosen
        self.check(look_again=True)

    @property
    def is_usual(self) -> bool:
        """Whether nothing was chosen: the form holds what it begins with."""
        return self.preset == "quick" and not self._entered

    @property
    def changed_settings(self) -> list[str]:
        """Names of the training settings that differ from those of the preset."""
        if self.preset not in PRESETS:
            return []
        differing = self.spec.differences(self._base())
        return [
            CARDS[path].title.lower() for path in differing if not path.startswith(("model.", "data.", "tokenizer."))
        ]

    def begin_again(self) -> None:
        """Choose nothing: back to what a form begins with."""
        self.facts, self.hold, self.problem, self.fitted = None, "", None, {}
        self.preset = "quick"
        self.load(PRESETS["quick"].spec())

    def choose_model(self, source: str, *, anew: bool = True) -> None:
        """Take another model; unless it is the same (not ``anew``), nothing decided about the one before holds."""
        fresh = RunSpec().to_mapping()
        changes = {path: _at(fresh, path) for path in DECIDED} if anew else {}
        self.values = self.values | changes | {"model.source": source}
        self._entered |= {"model.source"}
        self.check(look_again=True)

    def know(self, facts: ModelFacts | None, hold: str = "") -> None:
        """Hear what is known of the model, and why it can't be started yet; empty if it can."""
        if (facts, hold) == (self.facts, self.hold):
            return
        if facts is None or (self.facts is not None and facts.task != self.facts.task):
            self._take_back()
        self.facts, self.hold = facts, hold
        self.check()

    def choose_data(self, values: dict[str, Any]) -> None:
        """Take other data, with what was decided about them, by field path."""
        self.values = self.values | values
        self._entered |= {*values}
        self.fitted = {path: fit for path, fit in self.fitted.items() if path not in values}
        self.check(look_again=True)

    def know_data(
        self,
        data: DataSpec,
        tokenizer: TokenizerSpec,
        problem: TbError | None,
        *,
        vocabulary: int | None = None,
        classes: int | None = None,
    ) -> None:
        """Hear what a look at the data has found.

        Parameters
        ----------
        problem
            Why the model can't learn from them; ``None`` if it can.
        vocabulary, classes
            How many token ids and classes there are; they decide how large a model of ours is.
        """
        found = None if problem is None else (data, tokenizer, problem)
        sizes = (data, tokenizer, vocabulary, classes)
        if (found, sizes) != (self.problem, self._sizes):
            self.problem, self._sizes = found, sizes
            self.check()

    def sizes_of_data(self, spec: RunSpec) -> dict[str, int | None]:
        """Return how many token ids and classes a model of ours is built for, as ``vocab_size`` and ``classes``.

        They are those of the data once somebody has looked at them; before that, those that the spec asks for.
        """
        vocabulary = classes = None
        if self._sizes is not None and self._sizes[:2] == (spec.data, spec.tokenizer):
            *_, vocabulary, classes = self._sizes
        return {"vocab_size": vocabulary or vocabulary_of_ours(spec), "classes": classes}

    def use_what_fits(self) -> None:
        """Change the fields that the user has chosen and that don't fit the model to values that do."""
        for path, value in self.remedies.items():
            self.values = self.values | {path: value}
        self.check()

    def _take_back(self) -> None:
        """Put back what was changed for a model that is chosen no more, where nobody has changed it since."""
        for path, (before, _) in self.fitted.items():
            if path not in self._entered:
                self.values = self.values | {path: before}
        self.fitted = {}

    def _base(self) -> RunSpec:
        return PRESETS[self.preset].spec() if self.preset in PRESETS else RunSpec()

    def set(self, path: str, value: Any) -> None:
        """Enter one field. A text is read as a person means it: ``3e-4`` is a number, empty is *none*."""
        card = CARDS[path]
        if isinstance(value, str):
            value = read_typed(card, value)
            value = PAGES[path](value) if path in PAGES and isinstance(value, str) else value
        if self.values.get(path) == value and type(self.values.get(path)) is type(value):
            return
        self.values = self.values | {path: value}
        self._entered.add(path)
        self.fitted.pop(path, None)
        self.check()

    def check(self, *, look_again: bool = False) -> None:
        """Validate everything that was entered, and describe model and text anew where they changed.

        Parameters
        ----------
        look_again
            Describe them in any case: a file may have come or gone.
        """
        if look_again:
            self._described = None
        spec, errors = self._validate(self.values)
        rest = spec
        if spec is None:
            # What is wrong elsewhere hides nothing: the rest is described with the last good values in these places.
            good = {path: value for path, value in self.spec.flat().items() if path in errors}
            rest, _ = self._validate(self.values | good)
            if rest is not None:
                errors |= self._describe(rest) | self._weigh(rest)
        self.advice = {} if rest is None else {path: why for path, why in rest.advice.items() if path not in errors}
        wrong: list[Misfit] = []
        if spec is not None and self.facts is not None:
            fit = fitted(spec, self.facts, chosen=self._entered)
            for change in fit.changes:
                before = self.fitted.get(change.path, (self.values[change.path], ""))[0]
                self.fitted[change.path] = (before, change.why)
                self.values = self.values | {change.path: change.value}
            spec, wrong = fit.spec, fit.left
        self.remedies = {misfit.path: misfit.value for misfit in wrong}
        if spec is not None:
            errors |= self._describe(spec)
            errors |= {misfit.path: misfit.problem for misfit in wrong if misfit.is_wrong}
            if self.problem is not None and "data.source" not in errors:
                data, tokenizer, problem = self.problem
                named = str(problem).partition(": ")[0]
                path = named if named in CARDS else "data.source"
                if (data, tokenizer) == (spec.data, spec.tokenizer):
                    errors.setdefault(path, reason_of(problem, path))
            self.spec = spec
            errors |= self.policy.problems(spec)
            errors |= self._weigh(spec)
        if self.hold:
            errors["model.source"] = self.hold
        self.errors = {path: form_names(reason) for path, reason in errors.items()}
        self.version += 1

    def _weigh(self, spec: RunSpec) -> dict[str, str]:
        """See whether the model fits into the memory of this machine."""
        known = self.facts.parameters if self.facts is not None else None
        parameters = known or (self.model.parameters if self.model is not None else None)
        self.need = memory_need(spec, parameters, self.model) if parameters else None
        if self.need is None or self.need.verdict != "impossible":
            return {}
        return too_large(spec, self.need, self.model, **self.sizes_of_data(spec))

    def _validate(self, values: dict[str, Any]) -> tuple[RunSpec | None, dict[str, str]]:
        tree: dict[str, Any] = {}
        for path, value in values.items():
            section, _, name = path.rpartition(".")
            if path != "schema_version":
                (tree.setdefault(section, {}) if section else tree)[name] = value
        wrong = {
            path: typed_numbers.ambiguity(value)
            for path, value in values.items()
            if path in CARDS
            and CARDS[path].kind == "int"
            and isinstance(value, str)
            and typed_numbers.is_ambiguous(value)
        }
        try:
            spec = RunSpec.from_mapping(tree)
        except SpecError as error:
            found = dict(error.problems)
            found |= {path: missing(CARDS[path]) for path in found if path in CARDS and values[path] == ""} | wrong
            advised = {path: typed_numbers.advice(CARDS[path], self.values[path]) for path in found if path in CARDS}
            shown = {
                path: typed_numbers.in_percent(CARDS[path], reason) if path in CARDS else reason
                for path, reason in found.items()
            }
            return None, {path: f"{reason}{advised.get(path, '')}" for path, reason in shown.items()}
        return (None, wrong) if wrong else (spec, {})

    def _describe(self, spec: RunSpec) -> dict[str, str]:
        # Reading a text costs more than a keystroke may: only when model, text or tokenizer differ.
        device = spec.hardware.device
        key = (spec.model.model_dump_json(), spec.data, spec.tokenizer, device, self.facts, self._sizes)
        if self._described is None or self._described[0] != key:
            self._described = (key, described(spec, **self.sizes_of_data(spec)))
        self.model = self._described[1].model
        return dict(self._described[1].problems)

    def code(self, runs_dir: Path | None = None) -> str:
        """Return the Python that does what Start does; ``runs_dir`` where that is not ``./runs``."""
        changed = self._changed()
        lines = ["import tb_widgets", ""]
        given = [f'preset="{self.preset}"'] if self.preset in PRESETS else []
        if changed:
            inner = "".join(f"    {path!r}: {value!r},\n" for path, value in changed.items())
            given.append("settings={\n" + inner + "}")
        if runs_dir is not None:
            given.append(f"runs_dir={str(runs_dir)!r}")
        lines.append(f"run = tb_widgets.train({', '.join(given)})")
        lines.append('print(run.best.generate("The "))')
        return "\n".join(lines)

    def _changed(self) -> dict[str, Any]:
        """Return the fields that a script has to give: what differs, and what was chosen and might be fitted away."""
        differing = {path: mine for path, (mine, _) in self.spec.differences(self._base()).items()}
        tree = self.spec.to_mapping()
        return differing | {path: _at(tree, path) for path in FITTED if path in self._entered}

    def command(self, runs_dir: Path | None = None) -> str:
        """Return the terminal command that does what Start does; ``runs_dir`` as for :meth:`code`."""
        words = ["tb-widgets", "train"] + (["--preset", self.preset] if self.preset in PRESETS else [])
        for path, mine in self._changed().items():
            words += ["--set", f"{path}={as_setting(mine)}"]
        if runs_dir is not None:
            words += ["--runs-dir", str(runs_dir)]
        return shlex.join(words)


def _at(tree: dict[str, Any], path: str) -> Any:
    """Return a field of a spec's tree by its path."""
    section, _, name = path.rpartition(".")
    return (tree[section] if section else tree).get("schema" if path == "schema_version" else name)
