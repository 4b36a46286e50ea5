"""A spec as text: YAML as people mean it, and JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

import yaml

from tb_widgets.errors import SpecError

FLOAT = "tag:yaml.org,2002:float"
EXPONENT = re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$")
# A value that only looks like a date, a number or a tag of YAML's leaves its parser with any of these.
FAILURES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 3e-4 as a string, for want of a dot; here it is the number that everybody means."""


class _Dumper(yaml.SafeDumper):
    """Writes what the loader reads back as it was."""


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML writes this line break as it is, and reads it back as a space; in double quotes it is escaped.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\x85" in text else None)


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(FLOAT, EXPONENT, list("-+0123456789"))
_Dumper.add_representer(str, _write_text)


def parse_yaml(text: str, *, origin: str) -> Any:
    """Parse YAML or JSON.

    Parameters
    ----------
    text
        What was typed, or the content of a file.
    origin
        What an error calls the text.

    Raises
    ------
    SpecError
        With line and column where the text is neither.
    """
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)  # YAML would refuse some characters that JSON allows
        except (ValueError, RecursionError):
            pass
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SpecError([("", f"{origin} is not valid YAML{place}: {error.problem or error.context}.")]) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"
        raise SpecError(
            [("", f"{origin} is not valid YAML at {place}: the character {error.character:#06x} is not allowed there.")]
        ) from None
    except (yaml.YAMLError, *FAILURES) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise SpecError([("", f"{origin} holds a value that can't be read: {reason}.")]) from None


def write_yaml(mapping: dict[str, Any]) -> str:
    """Return plain dictionaries as YAML, in the order that they have."""
    return yaml.dump(mapping, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def write_value(value: Any) -> str:
    """Return one value as YAML, which :func:`read_value` reads back as it was."""
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=math.inf)
    return text.removesuffix("\n").removesuffix("\n...")


def read_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Read ``section.field=value`` strings into values by field; values are YAML.

    Raises
    ------
    SpecError
        If a string is no such setting.
    """
    values: dict[str, Any] = {}
    for item in settings:
        path, sign, text = item.partition("=")
        if not sign or not path.strip():
            raise SpecError([(item, "write a setting as section.field=value, for example training.steps=500.")])
        values[path.strip()] = read_value(text)
    return values


def read_value(text: str) -> Any:
    """Read a value that a person typed, as YAML; what is not YAML is a text."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, *FAILURES):
        return text
