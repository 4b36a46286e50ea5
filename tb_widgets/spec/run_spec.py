"""The run spec: everything that decides what a run does, in one validated object."""

from __future__ import annotations

import difflib
import json
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from tb_widgets.errors import SpecError
from tb_widgets.spec.fields import FieldCard, Section, cards, setting
from tb_widgets.spec.metrics import METRICS
from tb_widgets.spec.rates import RATES
from tb_widgets.spec.sections import (
    CheckpointSpec,
    DataSpec,
    EvaluationSpec,
    HardwareSpec,
    ModelSpec,
    TokenizerSpec,
    TrackingSpec,
    TrainingSpec,
)
from tb_widgets.spec.text import parse_yaml, read_settings, write_yaml
from tb_widgets.spec.versions import latest_version, migrated

SCHEMA_VERSION = latest_version()


class RunSpec(Section):
    """A run, described. An empty spec is valid: every field has a default.

    Examples
    --------
    >>> spec = RunSpec.from_mapping({"training": {"steps": 20}})
    >>> spec.training.steps, spec.data.source
    (20, 'python-docs')
    """

    schema_version: int = setting(
        SCHEMA_VERSION, title="Schema", help="Version of this file's layout.", group="Run", alias="schema", ge=1
    )
    name: str | None = setting(
        None,
        title="Name",
        help="Letters, digits, dots and dashes; the run's folder adds the time. Empty uses the model's name.",
        group="Run",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=60,
    )
    model: ModelSpec = ModelSpec()
    data: DataSpec = DataSpec()
    tokenizer: TokenizerSpec = TokenizerSpec()
    training: TrainingSpec = TrainingSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    checkpoints: CheckpointSpec = CheckpointSpec()
    hardware: HardwareSpec = HardwareSpec()
    tracking: TrackingSpec = TrackingSpec()

    @model_validator(mode="after")
    def _cross_checks(self) -> RunSpec:
        found = self._contradictions()
        if found:
            raise PydanticCustomError("contradiction", "fields contradict each other", {"found": found})
        return self

    def _contradictions(self) -> list[tuple[str, str]]:
        found = []
        micro = self.training.micro_batch_size
        if micro is not None and micro > self.training.batch_size:
            found.append(
                (
                    "training.micro_batch_size",
                    f"{micro} is larger than the batch of {self.training.batch_size} examples.",
                )
            )
        better = METRICS[self.checkpoints.monitor].better
        if self.checkpoints.mode not in ("auto", better):
            found.append(
                ("checkpoints.mode", f"must be {better} for {self.checkpoints.monitor}, not {self.checkpoints.mode}.")
            )
        if self.checkpoints.restore_best and not self.checkpoints.keep_best:
            found.append(("checkpoints.keep_best", "must be at least 1 for checkpoints.restore_best, not 0."))
        processes = self.hardware.processes
        if self.training.batch_size % processes:
            found.append(
                (
                    "hardware.processes",
                    f"{processes} processes can't split a batch of {self.training.batch_size} examples evenly.",
                )
            )
        if processes > 1 and self.hardware.backend == "kernel":
            found.append(("hardware.processes", "a live model trains in one process; set it to 1."))
        if self.hardware.sharding != "none":
            found += self._unsharded()
        if self.tracking.wandb != "off":
            found.append(("tracking.wandb", "this version does not report to Weights & Biases; set it to off."))
        return found

    def _unsharded(self) -> list[tuple[str, str]]:
        """Return what needs a model that is whole on every process."""
        needs = {
            "training.optimizer": (self.training.optimizer != "adamw", "set it to adamw"),
            "training.averaging": (self.training.averaging is not None, "leave it empty"),
            "training.precision": (self.training.precision == "fp16", "set it to bf16 or fp32"),
            "hardware.compile": (self.hardware.compile, "set it to false"),
        }
        return [
            (path, f"needs a model that is whole on every process: {way}, or hardware.sharding to none.")
            for path, (is_set, way) in needs.items()
            if is_set
        ]

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> RunSpec:
        """Validate nested dictionaries; those of an older version are read as what they mean today.

        Raises
        ------
        SpecError
            With every problem at once, each naming its field.
        """
        version = mapping.get("schema") if isinstance(mapping, Mapping) else None
        if _is_newer(version):
            reason = f"this spec has version {_shown(version)}; this tb_widgets reads up to version {latest_version()}."
            raise SpecError(
                [("schema", reason)],
                hint="Update tb_widgets (pip install -U tb-widgets), or use the version that wrote the file.",
            )
        try:
            return cls.model_validate(migrated(mapping) if isinstance(mapping, Mapping) else mapping)
        except ValidationError as error:
            found: dict[str, str] = {}
            for detail in error.errors():
                for field, reason in _explain(cls, detail):
                    # A field that takes a number or a word fails once for each: one sentence for both.
                    found[field] = f"{found[field][:-1]}; or {reason}" if field in found else reason
            raise SpecError(list(found.items())) from None

    @classmethod
    def from_yaml(cls, text: str, *, origin: str = "The spec") -> RunSpec:
        """Read YAML or JSON. An empty text gives the default spec. Errors call the text by its ``origin``.

        Raises
        ------
        SpecError
            For YAML that can't be parsed (line and column) and for every invalid field.
        """
        mapping = parse_yaml(text, origin=origin)
        if mapping is None:
            mapping = {}
        if not isinstance(mapping, dict):
            raise SpecError([("", f"{origin} must be a mapping of sections, not {_kind(mapping)}.")])
        return cls.from_mapping(mapping)

    @classmethod
    def load(cls, path: str | Path) -> RunSpec:
        """Read a spec from a YAML or JSON file."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8-sig")  # some editors begin UTF-8 with a mark
        except OSError as error:
            raise SpecError([("", f"The spec {path} can't be read: {error.strerror or error}.")]) from None
        except UnicodeDecodeError:
            raise SpecError([("", f"The spec {path} is not UTF-8 text.")]) from None
        except ValueError as error:
            raise SpecError([("", f"The spec {str(path)!r} can't be read: {error}.")]) from None
        return cls.from_yaml(text, origin=f"The spec {path}")

    def with_values(self, values: Mapping[str, Any]) -> RunSpec:
        """Return a copy in which dotted fields are replaced, for example ``{"training.steps": 50}``.

        Raises
        ------
        SpecError
            If a field is unknown or a value is refused.
        """
        # What was not given stays so: :attr:`given` tells what somebody chose.
        tree, defaults = self.model_dump(mode="json", by_alias=True, exclude_unset=True), self.to_mapping()
        for path, value in values.items():
            node, default = tree, defaults
            *parents, leaf = path.split(".")
            for parent in parents:
                default = default.get(parent, {})
                child = node.setdefault(parent, {} if isinstance(default, dict) else default)
                if not isinstance(child, dict):
                    raise SpecError([(path, f"{parent} is a value, not a section.")])
                node = child
            node[leaf] = value
        return type(self).from_mapping(tree)

    def with_settings(self, settings: list[str]) -> RunSpec:
        """Apply ``section.field=value`` strings; values are read as YAML, so ``1e-3``, ``true`` and ``[a, b]`` work."""
        return self.with_values(read_settings(settings))

    @property
    def given(self) -> set[str]:
        """The fields that were given a value, by their dotted names; the others have their defaults.

        >>> RunSpec.from_mapping({"training": {"steps": 20}}).given
        {'training.steps'}
        """
        return {path for path, _ in _leaves(self.model_dump(mode="json", exclude_unset=True))}

    @property
    def advice(self) -> dict[str, str]:
        """What is typical instead of values that are allowed and far from it, by the paths of their fields."""
        rate = RATES[self.training.optimizer].advice(self.training.learning_rate)
        return {"training.learning_rate": rate} if rate else {}

    def to_mapping(self) -> dict[str, Any]:
        """Return nested plain dictionaries, the form that YAML and JSON hold."""
        return self.model_dump(mode="json", by_alias=True)

    def flat(self) -> dict[str, Any]:
        """Return every field's plain value by its dotted name."""
        return dict(_leaves(self.to_mapping()))

    def to_yaml(self) -> str:
        """Return the whole spec as YAML, sections in the order of declaration."""
        return write_yaml(self.to_mapping())

    def to_json(self) -> str:
        """Return the whole spec as indented JSON."""
        return json.dumps(self.to_mapping(), indent=2, ensure_ascii=False)

    def differences(self, other: RunSpec) -> dict[str, tuple[Any, Any]]:
        """Return the fields that differ, as ``{path: (mine, theirs)}``."""
        mine, theirs = self.flat(), other.flat()
        return {
            path: (mine.get(path), theirs.get(path)) for path in mine | theirs if mine.get(path) != theirs.get(path)
        }

    @classmethod
    def field_cards(cls) -> list[FieldCard]:
        """Return one card for every field, in the order of declaration."""
        return list(cards(cls))


def _is_newer(version: Any) -> bool:
    try:
        return float(version) > latest_version()
    except OverflowError:
        return True
    except (TypeError, ValueError):
        return False


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and path in RunSpec.model_fields:
            found += _leaves(value, f"{path}.")
        else:
            found.append((path, value))
    return found


def _kind(value: Any) -> str:
    names = {
        "str": "text",
        "int": "a number",
        "float": "a number",
        "list": "a list",
        "bool": "a yes/no value",
        "dict": "a mapping",
    }
    return "nothing" if value is None else names.get(type(value).__name__, type(value).__name__)


def _known_names(model: Any, location: tuple[int | str, ...]) -> tuple[list[str], str]:
    section = ""
    for part in location[:-1]:
        info = model.model_fields.get(str(part))
        if info is None or not isinstance(info.annotation, type):
            return [], section
        model, section = info.annotation, str(part)
    return [info.alias or name for name, info in model.model_fields.items()], section


BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_PAIRS = {
    "model.config": "{n_layer: 6}",
    "model.arguments": "{attn_mask: causal}",
    "data.columns": "{text: review}",
}
SENTENCES = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list",
    "model_type": "must be a section of fields",
}


def _shown(value: Any) -> str:
    """Return a value as an error shows it, short enough for a sentence."""
    if isinstance(value, str):
        return repr(value if len(value) < 60 else value[:57] + "...")
    try:
        text = reprlib.repr(value)  # looks at a few entries only
        return text if len(text) < 60 else text[:57] + "..."
    except ValueError:
        return "a number that is too long to show"


def _explain(model: type[RunSpec], detail: ErrorDetails) -> list[tuple[str, str]]:
    """Turn one pydantic error into (field, sentence) pairs."""
    kind, value, context = detail["type"], detail.get("input"), detail.get("ctx", {})
    if kind == "contradiction":
        return list(context["found"])
    # A union's members name themselves in the location; people know only the field.
    location = tuple(
        part
        for part in detail["loc"]
        if kind == "extra_forbidden"
        or str(part).split("[")[0] not in ("literal", "int", "float", "str", "constrained-int")
    )
    field = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        return [(field, _unknown_field(model, location))]
    if (leaf := _leaf(model, location)) < len(location):  # an entry of a list or a mapping
        entry = next(f"entry {part + 1}" if isinstance(part, int) else part for part in location[leaf:])
        inside = cast("ErrorDetails", {**detail, "loc": location[:leaf]})
        return [(path, f"{entry} {reason}") for path, reason in _explain(model, inside)]
    shown = _shown(value)
    if kind in BOUNDS:
        key, words = BOUNDS[kind]
        bound = context[key]
        reason = f"must be {words} {int(bound) if float(bound).is_integer() else bound:,}, not {shown}."
    elif kind == "literal_error":
        expected = str(context["expected"]).replace("'", "")
        near = difflib.get_close_matches(shown.strip("'"), expected.replace(" or ", ", ").split(", "), n=1)
        reason = f"must be {expected}, not {shown}." + (f" Did you mean {near[0]}?" if near else "")
    elif kind == "dict_type":
        is_open = isinstance(value, str) and value.strip().startswith("{") and not value.strip().endswith("}")
        end = " A closing } is missing." if is_open else ""
        reason = f"Write name: value pairs, for example {_PAIRS.get(field, '{name: value}')}.{end}"
    elif kind in SENTENCES:
        reason = f"{SENTENCES[kind]}, not {_kind(value) if kind.endswith('_type') else shown}."
    elif kind in ("too_long", "string_too_long"):
        reason = f"is too long: at most {context['max_length']} {'entries' if kind == 'too_long' else 'characters'}."
    elif kind in ("not_plain", "not_text"):
        reason = f"{detail['msg']}."
    elif kind == "string_pattern_mismatch":
        card = next((card for card in model.field_cards() if card.path == field), None)
        reason = f"{shown} is not valid. {card.help if card else ''}".strip()
    else:
        reason = f"{detail['msg']} (got {shown})."
    return [(field, reason)]


def _leaf(model: type[RunSpec], location: tuple[int | str, ...]) -> int:
    """Return how many parts of a location name a field; all of them where none is one."""
    fields = {card.path for card in model.field_cards()}
    lengths = range(1, len(location) + 1)
    return next((n for n in lengths if ".".join(map(str, location[:n])) in fields), len(location))


def _unknown_field(model: type[RunSpec], location: tuple[int | str, ...]) -> str:
    names, section = _known_names(model, location)
    # The very name in another section is meant sooner than a name here that is only like it.
    elsewhere = [card.path for card in model.field_cards() if card.name == str(location[-1])]
    if elsewhere:
        return f"there is no such field here. Did you mean {elsewhere[0]}?"
    near = difflib.get_close_matches(str(location[-1]), names, n=1, cutoff=0.5)
    if near:
        return f"there is no such field. Did you mean {f'{section}.' if section else ''}{near[0]}?"
    return f"there is no such field. Known here: {', '.join(names)}."
