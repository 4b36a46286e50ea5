"""The steps across the top of the page: each with its title and what its line says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tb_widgets.app import words
from tb_widgets.app.parts.check_results import summary
from tb_widgets.app.session import Session
from tb_widgets.wording import counted

_TOKENS = {"data", "tokenizer"}  # sections of the spec


@dataclass(frozen=True)
class Step:
    """A step of the page.

    Attributes
    ----------
    title
        What the tab is called.
    line
        Tells a session's state in one line, and its mark: ``✓``, ``▲`` (a warning), ``!`` (in need of a look), or none.
    """

    title: str
    line: Callable[[Session], tuple[str, str]]


def _model(session: Session) -> tuple[str, str]:
    choice, model = session.choice, session.draft.model
    waiting = {"fetching": "being fetched …", "asking": "waits for your consent", "trying": "testing …"}
    if choice.state in waiting:
        return waiting[choice.state], ""
    if choice.state == "failed" or model is None:
        return "fix 1 problem" if choice.state == "failed" else "choose a model", "!"
    count = choice.answer.get("parameters", model.parameters)
    parameters = f" · {words.short_count(count)} parameters" if count else ""
    too_large = session.draft.need is not None and session.draft.need.verdict in ("too large", "impossible")
    return f"{model.title}{parameters}", "!" if too_large or "model" in _wrong(session) else "✓"


def _check(session: Session) -> tuple[str, str]:
    probe = session.choice.checks
    if probe is None:
        return "not checked yet", ""
    if probe.state == "working":
        return "checking …", ""
    text, tone = summary(probe.results) if probe.state == "done" else (probe.state, "bad")
    return text, {"ok": "✓", "warn": "▲"}.get(tone, "!")


def _data(session: Session) -> tuple[str, str]:
    data = session.data
    if data.wanted is not None and data.wanted.job is not None:
        return "on its way …", ""
    text = words.data_title(session.draft.spec.data) or "choose a text"
    if data.look is not None and data.look.preview is not None and data.look.preview.tokens:
        text += f" · {words.short_count(data.look.preview.tokens)} tokens"
    if _wrong(session) & _TOKENS:
        return text, "!"
    return text, "▲" if data.warnings else "✓"


def _train(session: Session) -> tuple[str, str]:
    status, wrong = session.watch.status, _wrong(session)
    if status is not None and (status.is_active or not wrong):
        share = f"{100 * status.step / max(1, status.total):.0f} %" if status.is_active else status.state
        return f"{session.watch.name}: {share}", {"done": "✓", "failed": "!"}.get(status.state, "")
    if wrong:
        first = "Model" if "model" in wrong else "Data"
        return (_to_fix(session) if wrong - {"model", *_TOKENS} else f"finish {first} first"), ""
    return "ready", ""


def _runs(_session: Session) -> tuple[str, str]:
    return "open, resume, generate", ""


def _to_fix(session: Session) -> str:
    own = [path for path in session.draft.errors if path.split(".")[0] not in {"model", *_TOKENS}]
    return f"fix {counted(len(own), 'problem')}"


def _wrong(session: Session) -> set[str]:
    """Return the sections of the spec that need a look."""
    return {path.split(".")[0] for path in session.draft.errors}


STEPS = {
    "model": Step("Model", _model),
    "check": Step("Check", _check),
    "data": Step("Data", _data),
    "train": Step("Train", _train),
    "runs": Step("Runs", _runs),
}
