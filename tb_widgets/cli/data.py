"""Looking at data: ``data`` downloads a dataset and describes it, and how a model would use it.

It also lists suggested datasets, searches the Hub, and looks at a dataset there without fetching it.
"""

from __future__ import annotations

import json as json_text
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from tb_widgets.cli.options import Json, Settings, TrustOption
from tb_widgets.cli.screen import console, print_json, say, say_after
from tb_widgets.data.sources.builtin import list_sources
from tb_widgets.data.sources.curated import list_curated
from tb_widgets.display.terminal import WARNING
from tb_widgets.errors import DataError, SpecError
from tb_widgets.service.gathering import gather_shown
from tb_widgets.spec import DataSpec, RunSpec, asked_for, read_settings
from tb_widgets.wording import counted, listed, percent, size_in_words, steps_in_words

if TYPE_CHECKING:
    from tb_widgets.data.preview.result import Preview
    from tb_widgets.service.fitting import ModelFacts

_SHOWN, _WIDTH = 5, 100  # rows or lines, characters of each
SHOWN_COLUMNS = 50


def data(
    source: Annotated[
        str | None,
        typer.Argument(metavar="[SOURCE]", help="Built-in name, path, glob, URL or hub:OWNER/NAME."),
    ] = None,
    *,
    look: Annotated[bool, typer.Option("--look", help="Describe a Hub dataset; fetch nothing.")] = False,
    search: Annotated[
        str | None, typer.Option("--search", metavar="WORDS", help="Search the Hub's dataset names.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="The model to train, for example zoo:gpt."),
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help="For example sequence-classification.")] = None,
    trust: TrustOption = False,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Download a dataset and describe it, or list suggested datasets.

    The description has columns, lengths, and how a model would use them.
    """
    if search is not None:
        _search(search, as_json=json)
        return
    if source is None and not settings:
        _list(as_json=json)
        return
    values = ({"model.task": task} if task is not None else {}) | read_settings(settings or [])
    asked, chosen = asked_for(model=model, data=source, settings=values)
    if look:
        _look(asked.data, as_json=json)
        return
    from tb_widgets.service.previewing import weigh

    weighed, model_facts = weigh(asked, chosen=chosen, trust=trust, screen=console(stderr=True))
    spec = gather_shown(weighed, console(stderr=True))
    facts = _facts(spec.data)
    if not json:
        _print(facts, console())
    found, problem = _previewed(spec, model_facts)
    if json:
        problem_words = {"problem": str(problem)} if problem is not None else {}
        print_json({**facts, "preview": asdict(found) if found is not None else None, **problem_words})
        return
    if found is not None:
        _print_preview(found, spec, model_facts, console())
    if problem is not None:
        say(console())
        say_after(console(), "", str(problem), "yellow")


def _previewed(spec: RunSpec, model: ModelFacts) -> tuple[Preview | None, DataError | None]:
    """Return what a model makes of the data, and why it can't learn from them; they can be looked at all the same."""
    from tb_widgets.data.preview.problems import problems_of
    from tb_widgets.service.previewing import preview_spec

    try:
        found = preview_spec(spec, model)
    except DataError as error:
        return None, error
    return found, next(problems_of(found, spec.data, class_limit=model.classes, vocab_limit=model.vocab_size), None)


def _print_preview(found: Preview, spec: RunSpec, model: ModelFacts, screen: Console) -> None:
    say(screen)
    say(screen, f"For {spec.model.source} ({model.task}), from {found.looked_at}", "bold")
    for choice in found.columns:
        say_after(screen, "  ", f"{choice.role}: {choice.column}. {choice.why}")
    for line in _numbers(found, spec):
        say_after(screen, "  ", line)
    # What was found out on opening stands above.
    for sentence in found.warnings:
        say_after(screen, WARNING, sentence)


def _numbers(found: Preview, spec: RunSpec) -> Iterator[str]:
    about = "about " if found.counted == "about" else ""
    if found.tokens is not None:
        yield f"{about}{found.tokens:,} tokens in total"
    if found.typical_length:
        yield f"tokens per {found.unit}: median {found.typical_length:,}, 95 % have {found.long_length:,} or fewer"
    if found.truncated is not None:
        yield f"{percent(found.truncated)} are longer than data.context_length ({spec.data.context_length:,})"
    if found.unit != "image":
        yield f"{percent(found.empty)} are empty, {percent(found.duplicates)} are duplicates"
    if found.vocab_size is not None:
        yield f"vocabulary of {found.vocab_size:,} tokens"
    if found.steps_per_epoch is not None:
        yield f"one epoch = {steps_in_words(found.steps_per_epoch)} with batch size {spec.training.batch_size:,}"


def _search(words: str, *, as_json: bool) -> None:
    from tb_widgets.data.sources.hub_facts import search_hub

    hits = search_hub(words)
    if as_json:
        print_json([asdict(hit) for hit in hits])
        return
    if not hits:
        say(console(), f"No dataset on the Hub has {words!r} in its name.")
        return
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for title, justify in (("data", "left"), ("downloads", "right"), ("rows", "left")):
        grid.add_column(title, no_wrap=True, justify=justify)  # type: ignore[arg-type]
    grid.add_column("description", ratio=1)
    for hit in hits:
        about = f"(gated) {hit.about}" if hit.gated else hit.about
        grid.add_row(f"hub:{hit.id}", f"{hit.downloads:,}", hit.rows, Text(about))
    console().print(grid)


def _look(data: DataSpec, *, as_json: bool) -> None:
    """Say what is at the Hub.

    Raises
    ------
    SpecError
        If the source is no dataset of the Hub.
    """
    from tb_widgets.data.sources.hub_facts import inspect_hub
    from tb_widgets.data.sources.resolve import resolve_source

    if resolve_source(data).kind != "hub":
        raise SpecError([("data.source", f"--look is for Hub datasets (hub:OWNER/NAME), not for {data.source}.")])
    found, screen = inspect_hub(data), console()
    if as_json:
        print_json(asdict(found))
        return
    say(screen, f"hub:{found.id}@{found.revision}", "bold")
    if found.description:
        say_after(screen, "", found.description)
    if len(found.configs) > 1:
        chosen = f"; shown: {found.config}" if found.config is not None else ""
        say(screen, f"Configurations (data.config): {', '.join(found.configs)}{chosen}")
    for split in found.splits:
        rows = f", {split.rows:,} rows" if split.rows is not None else ""
        say(screen, f"  {split.name}: {size_in_words(split.size)}{rows}")
    _print_table([asdict(column) for column in found.columns], found.first_rows, screen)


def _print_table(columns: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, str]], screen: Console) -> None:
    say(screen)
    for column in columns[:SHOWN_COLUMNS]:
        names = column["names"]
        classes = f": {listed(names)}" if names else ""
        say_after(screen, "  ", f"{column['name']} ({column['kind']}{classes})")
    if len(columns) > SHOWN_COLUMNS:
        say(screen, f"  and {len(columns) - SHOWN_COLUMNS:,} more columns")
    say(screen)
    for row in rows:
        line = " | ".join(f"{name}: {value[:_WIDTH]}" for name, value in row.items())
        say_after(screen, "  ", line[: 2 * _WIDTH])


def _list(*, as_json: bool) -> None:
    found: list[dict[str, Any]] = [
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
    grid.add_column("download", justify="right", no_wrap=True)
    grid.add_column("description", ratio=1, overflow="fold")  # half an address is none
    for entry in found:
        size = size_in_words(1e6 * entry["megabytes"]) if entry["megabytes"] else "none"
        values = entry["data"]
        more = [f"data.{name}={json_text.dumps(value)}" for name, value in values.items() if name != "source"]
        how = " ".join(f"--set {shlex.quote(setting)}" for setting in more)
        grid.add_row(str(entry["name"]), size, f"{entry['help']}\n{values['source']} {how}".strip())
    console().print(grid)


def _facts(data: DataSpec) -> dict[str, Any]:
    """Return what data that are here hold."""
    from tb_widgets.data.reading.beginning import read_beginning
    from tb_widgets.data.reading.open import Texts, open_data
    from tb_widgets.data.sources.builtin import TEXT_TASKS, tasks_of
    from tb_widgets.data.sources.resolve import resolve_source

    is_ours = resolve_source(data).is_built_in
    if is_ours and set(tasks_of(data.source)).isdisjoint(TEXT_TASKS):
        return {"source": data.source, "kind": "examples", "tasks": list(tasks_of(data.source))}
    if not is_ours:
        read_beginning(data)
    opened = open_data(data)
    facts: dict[str, Any] = {"source": data.source, "name": opened.name, "bytes": opened.size}
    if isinstance(opened, Texts):
        beginning = next(opened.pieces()).text
        lines = [line.strip()[:_WIDTH] for line in beginning.splitlines() if line.strip()]
        return {
            **facts,
            "kind": "text",
            "documents": opened.documents,
            "held_back_documents": opened.own_validation.documents if opened.own_validation is not None else None,
            "notes": [*opened.notes],
            "first": lines[:_SHOWN],
        }
    names = [column.name for column in opened.columns]
    columns = [{"name": column.name, "kind": column.kind, "classes": list(column.names)} for column in opened.columns]
    first = [
        {name: str(value)[:_WIDTH] for name, value in zip(names, row, strict=True)}
        for row in opened.first_rows(names, _SHOWN)
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
        say(screen, f"Examples for {', '.join(facts['tasks'])}, generated on this machine.")
        return
    size = size_in_words(facts["bytes"])
    if facts["kind"] == "text":
        many = f" in {facts['documents']:,} files" if facts["documents"] > 1 else ""
        own = facts["held_back_documents"]
        held_back = f" {counted(own, 'more file')} for validation." if own else ""
        say(screen, f"Plain text, {size}{many}.{held_back}")
        for note in facts["notes"]:
            say_after(screen, "", note)
        say(screen)
        for line in facts["first"]:
            say_after(screen, "  ", line)
        return
    rows = f"{facts['rows']:,} rows, " if facts["rows"] is not None else ""
    held_back = f" {facts['held_back_rows']:,} more rows for validation." if facts["held_back_rows"] else ""
    say(screen, f"Table: {rows}{size}.{held_back}")
    for note in facts["notes"]:
        say_after(screen, "", note)
    _print_table([{**column, "names": column["classes"]} for column in facts["columns"]], facts["first"], screen)
