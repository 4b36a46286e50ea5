"""How a spec field is declared: once, with everything that the form, the command line and the reference need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError, core_schema

Level = Literal["basic", "advanced"]
Labels = Mapping[str, str] | Callable[[], Mapping[str, str]]


class Section(BaseModel):
    """One section of a run spec: frozen, and closed to names that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        for text in value if isinstance(value, list) else [value]:
            try:
                text.encode() if isinstance(text, str) else None
            except UnicodeEncodeError:
                # Half of a surrogate pair can stand in a Python string, but in no file.
                raise PydanticCustomError("not_text", "holds a character that is not valid text") from None
        return value


def setting(
    default: Any,
    *,
    title: str,
    help: str,
    unit: str = "",
    group: str = "",
    level: Level = "advanced",
    factory: Any = None,
    when: Mapping[str, tuple[Any, ...]] | None = None,
    labels: Labels | None = None,
    **bounds: Any,
) -> Any:
    """Declare one field of a section.

    Parameters
    ----------
    default
        Value of an empty spec.
    title, help
        Label and one line of help, as the form shows them.
    unit
        What the number counts, for example ``"steps"``.
    group
        Heading in the form.
    level
        ``"basic"`` fields are always shown; ``"advanced"`` ones on request.
    factory
        Builds a mutable default.
    when
        The values of another field of the section with which this one is used; without it, always.
    labels
        What values are called on a page, or what returns that; without it, they are called what they are.
    **bounds
        Passed to pydantic: ``ge``, ``gt``, ``le``, ``lt``, ``pattern``, ``max_length``.
    """
    extra: dict[str, Any] = {
        "unit": unit,
        "group": group,
        "level": level,
        "when": dict(when or {}),
        "labels": labels or {},
    }
    if factory is not None:
        return Field(default_factory=factory, title=title, description=help, json_schema_extra=extra, **bounds)
    return Field(default, title=title, description=help, json_schema_extra=extra, **bounds)


@dataclass(frozen=True)
class OneOf:
    """Marks a text that must be one of some names, which are known at run time: ``Annotated[str, OneOf(names)]``.

    Parameters
    ----------
    names
        Returns what holds the names, ours first: it is gone through only where a name is none of ours.
    """

    names: Callable[[], Iterable[str]]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, value: str) -> str:
        if value not in self.names():
            *others, last = (repr(name) for name in self.names())
            expected = f"{', '.join(others)} or {last}" if others else last
            raise PydanticKnownError("literal_error", {"expected": expected})
        return value


@dataclass(frozen=True)
class FieldCard:
    """What a form, a command line or a reference page needs to know about one field.

    ``kind`` is one of ``bool``, ``int``, ``float``, ``str``, ``choice``, ``list``, ``mapping``.
    """

    path: str
    section: str
    name: str
    title: str
    help: str
    unit: str
    group: str
    level: Level
    kind: str
    optional: bool
    choices: tuple[str, ...]
    words: tuple[str, ...]
    minimum: float | None
    maximum: float | None
    exclusive_minimum: bool
    default: Any
    when: Mapping[str, tuple[Any, ...]]
    labels: Mapping[str, str]

    def label(self, value: Any) -> str:
        """Return what a value is called on a page."""
        return self.labels.get(str(value), str(value))

    def is_used(self, values: Mapping[str, Any]) -> bool:
        """Whether the field has an effect beside the values of other fields, which are given by path."""
        return all(values[f"{self.section}.{name}"] in used for name, used in self.when.items())


def _flatten(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, UnionType):
        return [part for member in get_args(annotation) for part in _flatten(member)]
    return [annotation]


def _card(section: str, name: str, info: FieldInfo) -> FieldCard:
    rules = list(info.metadata)
    parts = []
    for part in _flatten(info.annotation):
        if get_origin(part) is Annotated:
            part, field = get_args(part)  # noqa: PLW2901
            rules += field.metadata
        parts.append(part)
    optional = NoneType in parts
    parts = [part for part in parts if part is not NoneType]
    literals = tuple(str(value) for part in parts if get_origin(part) is Literal for value in get_args(part))
    plain = [get_origin(part) or part for part in parts if get_origin(part) is not Literal]
    for rule in rules:
        if isinstance(rule, OneOf):
            literals, plain = (*rule.names(),), []
    names = {bool: "bool", int: "int", float: "float", str: "str", list: "list", dict: "mapping"}
    # "auto" or a number is a number that also takes a word.
    kind = names[plain[0]] if plain else "choice"
    bounds: dict[str, float] = {}
    for rule in rules:
        for key in ("ge", "gt", "le", "lt"):
            if getattr(rule, key, None) is not None:
                bounds[key] = getattr(rule, key)
    extra: dict[str, Any] = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    return FieldCard(
        path=f"{section}.{name}" if section else name,
        section=section,
        name=name,
        title=info.title or name,
        help=info.description or "",
        unit=str(extra.get("unit", "")),
        group=str(extra.get("group", "")),
        level="basic" if extra.get("level") == "basic" else "advanced",
        kind=kind,
        optional=optional,
        choices=literals if kind == "choice" else (),
        words=() if kind == "choice" else literals,
        minimum=bounds.get("ge", bounds.get("gt")),
        maximum=bounds.get("le", bounds.get("lt")),
        exclusive_minimum="gt" in bounds,
        default=info.get_default(call_default_factory=True),
        labels=found() if callable(found := extra.get("labels", {})) else found,
        when={name: tuple(used) for name, used in extra.get("when", {}).items()},
    )


def cards(model: type[BaseModel], section: str = "") -> Iterator[FieldCard]:
    """Yield a card for every leaf field of a spec model, in the order of declaration."""
    for name, info in model.model_fields.items():
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from cards(annotation, f"{section}.{name}" if section else name)
        else:
            yield _card(section, name, info)
