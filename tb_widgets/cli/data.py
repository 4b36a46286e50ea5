"""Looking at data: ``data`` fetches them if they are elsewhere, and says what they hold."""

from __future__ import annotations

import json as json_text
import shlex
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Grid

from tb_widgets.cli.options import Json, Settings
from tb_widgets.cli.screen import console, print_json, say
from tb_widgets.data.curated import list_curated
from tb_widgets.data.sources import list_sources
from tb_widgets.service.gathering import gather_shown
from tb_widgets.spec import DataSpec, RunSpec

SHOWN, WIDTH = 5, 100  # rows or lines, characters of each


def data(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]", help="python-docs, the path of a file, folder or glob, https://..., or hub:OWNER/NAME."
        ),
    ] = None,
    *,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Fetch data if they are elsewhere, and say what they hold; without a source, list what there is to begin with."""
    if source is None and not settings:
        _list(as_json=json)
        return
    chosen = [f"data.source={json_text.dumps(source)}"] if source is not None else []
    spec = gather_shown(RunSpec().with_settings([*chosen, *(settings or [])]), console(stderr=True))
    facts = _facts(spec.data)
    if json:
        print_json(facts)
    else:
        _print(facts, console())


def _list(*, as_json: bool) -> None:
    found = [
        {"name": entry.name, "title": entry.title, "help": entry.help, "megabytes": 0, "data": {"source": entry.name}}
        for entry in list_sources()
    ] + [
        {"name": entry.name, "title": entry.title, "help": entry.help, "megabytes": entry.megabytes}
        | {"data": entry.values}
        for entry in list_curated()
    ]
    if as_json:
        print_json(found)
        return
    grid = Grid(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 1, 0))
    grid.add_column("data", no_wrap=True, style="cyan")
    grid.add_column("fetches", justify="right", no_wrap=True)
    grid.add_column("what it is", ratio=1)
    for entry in found:
        size = f"{entry['megabytes']:g} MB" if entry["megabytes"] else "nothing"
        values: dict[str, Any] = entry["data"]  # type: ignore[assignment]
        more = [f"data.{name}={json_text.dumps(value)}" for name, value in values.items() if name != "source"]
        how = " ".join(f"--set {shlex.quote(setting)}" for setting in more)
        grid.add_row(str(entry["name"]), size, f"{entry['help']}\n{values['source']} {how}".strip())
    console().print(grid)


def _facts(data: DataSpec) -> dict[str, Any]:
    """Return what data that are here hold."""
    from tb_widgets.data.opened import Texts, open_data
    from tb_widgets.data.sources import TEXT_TASKS, is_built_in, tasks_of

    if is_built_in(data.source) and set(tasks_of(data.source)).isdisjoint(TEXT_TASKS):
        return {"source": data.source, "kind": "examples", "tasks": list(tasks_of(data.source))}
    opened = open_data(data)
    facts: dict[str, Any] = {"source": data.source, "name": opened.name, "bytes": opened.size}
    if isinstance(opened, Texts):
        beginning = next(opened.pieces()).text
        lines = [line.strip()[:WIDTH] for line in beginning.splitlines() if line.strip()]
        return {
            **facts,
            "kind": "text",
            "documents": opened.documents,
            "notes": [*opened.notes],
            "first": lines[:SHOWN],
        }
    names = [column.name for column in opened.columns]
    columns = [{"name": column.name, "kind": column.kind, "classes": list(column.names)} for column in opened.columns]
    first = [
        {name: str(value)[:WIDTH] for name, value in zip(names, row, strict=True)}
        for row in opened.first_rows(names, SHOWN)
    ]
    held_back = opened.own_validation
    return {
        **facts,
        "kind": "table",
        "rows": opened.count,
        "held_back_rows": held_back.count if held_back is not None else None,
        "columns": columns,
        "notes": [*opened.notes],
        "first": first,
    }


def _print(facts: dict[str, Any], screen: Console) -> None:
    say(screen, facts["source"], "bold")
    if facts["kind"] == "examples":
        say(screen, f"Examples for {', '.join(facts['tasks'])}, made on this machine.")
        return
    size = f"{facts['bytes'] / 1e6:,.1f} MB"
    if facts["kind"] == "text":
        many = f" in {facts['documents']:,} files" if facts["documents"] > 1 else ""
        say(screen, f"Plain text, {size}{many}.")
        for note in facts["notes"]:
            say(screen, note)
        say(screen)
        for line in facts["first"]:
            say(screen, f"  {line}")
        return
    rows = f"{facts['rows']:,} rows, " if facts["rows"] is not None else ""
    held_back = f" {facts['held_back_rows']:,} more rows are held back." if facts["held_back_rows"] else ""
    say(screen, f"A table: {rows}{size}.{held_back}")
    for note in facts["notes"]:
        say(screen, note)
    say(screen)
    for column in facts["columns"]:
        names = column["classes"]
        classes = f": {', '.join(names[:10])}{', …' if len(names) > 10 else ''}" if names else ""
        say(screen, f"  {column['name']} ({column['kind']}{classes})")
    say(screen)
    for row in facts["first"]:
        say(screen, "  " + " | ".join(f"{name}: {value}" for name, value in row.items())[: 2 * WIDTH])
