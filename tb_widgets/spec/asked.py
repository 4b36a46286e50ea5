"""What somebody asks for, in Python or on a command line: a starting point, and the fields that differ from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tb_widgets.errors import SpecError
from tb_widgets.spec.presets import preset as preset_spec
from tb_widgets.spec.run_spec import RunSpec


def asked_for(
    spec: RunSpec | str | Path | None = None,
    preset: str | None = None,
    *,
    model: str | Path | None = None,
    data: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
) -> tuple[RunSpec, set[str]]:
    """Return the spec that is asked for, and which fields in it somebody chose.

    Whatever a spec gives was chosen; nobody chose the fields of a preset one by one.

    Parameters
    ----------
    spec
        A spec, or the path of its YAML file.
    preset
        A preset instead. With neither, the default spec is the starting point.
    model, data
        Their sources.
    settings
        Fields by their dotted names.
    fields
        Fields whose last name is unique.

    Raises
    ------
    SpecError
        With every field that is wrong; or if both a spec and a preset are given.
    """
    if spec is not None and preset is not None:
        raise SpecError([("preset", "give a spec or a preset, not both.")])
    values = {**(settings or {})} | {_dotted(name): value for name, value in (fields or {}).items()}
    values |= {
        path: str(source) for path, source in (("model.source", model), ("data.source", data)) if source is not None
    }
    if preset is not None:
        return preset_spec(preset).with_values(values), {*values}
    if spec is None:
        return RunSpec().with_values(values), {*values}
    base = spec if isinstance(spec, RunSpec) else RunSpec.load(spec)
    return base.with_values(values), {*base.given, *values}


def _dotted(name: str) -> str:
    """Return the dotted name of a field whose last name is unique; what is no such name stays as it is.

    Raises
    ------
    SpecError
        If several sections have a field of that name.
    """
    paths = [card.path for card in RunSpec.field_cards() if name in (card.name, card.path)]
    if len(paths) == 1:
        return paths[0]
    if paths:
        raise SpecError([(name, f"this name is used in several sections: write settings={{'{paths[0]}': ...}}.")])
    return name
