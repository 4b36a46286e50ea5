"""What is told of a model, on the page and in a notebook's cell: where it comes from, its code, faults, conclusions.

Whatever a user or a model's author wrote is escaped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Any

from tb_widgets.app import words
from tb_widgets.app.parts import code_view
from tb_widgets.app.state.fields import CARDS
from tb_widgets.errors import quoted
from tb_widgets.service.models import CODE, CONFIG, Finding, ModelSource, Repair
from tb_widgets.wording import listed, size_in_words

_KINDS = {"gist": "Gist", "hub": "Hub repository", "path": "Your file", "upload": "Your files", "zoo": "Built-in"}


def origin_facts(origin: Mapping[str, Any]) -> str:
    """Return where a model comes from; see :class:`tb_widgets.models.source.ModelSource`."""
    kind = origin.get("kind", "")
    pairs = [(_KINDS.get(kind, kind), quoted(str(origin.get("id") or origin.get("path") or origin["source"]), 300))]
    if kind in ("gist", "hub"):
        pairs += [
            ("Description", origin.get("description") or "–"),
            ("Owner", origin.get("owner") or "unknown"),
            ("Last change", str(origin.get("updated", "–"))[:16].replace("T", " ")),
            ("Revision", str(origin.get("revision"))),
        ]
    if files := origin.get("listed"):
        names = [f"{entry['name']} ({size_in_words(entry['bytes'] or 0)})" for entry in files]
        pairs.append(("Files", listed(names)))
    return words.facts(pairs)


def model_files(source: ModelSource, found: Sequence[Finding] = ()) -> str:
    """Return both files of a model, with the lines marked that a reader should look at."""
    code = code_view.source(source.files[CODE], {finding.line for finding in found})
    return f"<h3>{CODE}</h3>{code}<h3>{CONFIG}</h3>{code_view.plain(source.files[CONFIG][:20_000])}"


def finding_list(found: Sequence[Finding]) -> str:
    """Return findings as a table, in the order of their lines; without any, what that does not mean."""
    if not found:
        return "<h3>Nothing unusual was found, which proves nothing: the list of what to look for is short.</h3>"
    lines = "".join(
        f"<tr><td>line {each.line}</td><td>{words.chip(each.level, 'warn' if each.level == 'odd' else '')}</td>"
        f"<td><b>{escape(each.what)}</b> {escape(each.why)}</td></tr>"
        for each in found
    )
    return f'<h3>Worth a look</h3><table class="tbw-table is-told">{lines}</table>'


def repair_list(repairs: Sequence[Repair], applied: Collection[str]) -> str:
    """Return what each repair mends, as a diff, and whether it has been applied."""
    return "".join(
        f"<h3>{words.chip('applied', 'ok') if repair.id in applied else words.chip('offered', 'warn')} "
        f"{escape(repair.title)}</h3><p>{escape(repair.why)}</p>{code_view.diff(repair.diff)}"
        for repair in repairs
    )


def conclusion_list(answer: Mapping[str, Any]) -> str:
    """Return what the trial of a model concluded, and why; empty before there is an answer."""
    lines = "".join(
        f"<tr><td>{escape(str(entry['what']))}</td><td>{escape(_concluded(entry))}</td>"
        f"<td>{escape(words.form_names(str(entry['why'])))}</td></tr>"
        for entry in answer.get("conclusions", [])
    )
    return f'<table class="tbw-table is-told">{lines}</table>' if lines else ""


def _concluded(entry: Mapping[str, Any]) -> str:
    value = str(entry["value"])
    return CARDS["model.task"].label(value) if entry["what"] == "task" else value
