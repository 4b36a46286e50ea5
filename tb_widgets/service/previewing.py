"""Looking at data from Python or a terminal: what a model's task would make of them, before anything is trained."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tb_widgets.data.preview.preview import preview_data
from tb_widgets.data.preview.result import Preview
from tb_widgets.service.fitting import ModelFacts, fitted
from tb_widgets.service.gathering import gather
from tb_widgets.service.preparing import tried
from tb_widgets.spec import RunSpec, Task, asked_for

if TYPE_CHECKING:
    from rich.console import Console


def preview(
    data: str | Path | None = None,
    *,
    model: str | Path | None = None,
    task: Task | None = None,
    trust: bool = False,
    settings: dict[str, Any] | None = None,
    **fields: Any,
) -> Preview:
    """Look at data before a run: columns and why, lengths, what is cut or empty, a batch, and warnings.

    Everything is judged by the beginning of the data, in about two seconds.

    Parameters
    ----------
    data
        ``python-docs``, the path of a file, folder or glob, ``https://...``, or ``hub:OWNER/NAME``; what is elsewhere
        is fetched first.
    model
        ``zoo:gpt`` by default; it decides the task, and what the data are weighed against. A model that is not ours is
        tried first.
    task
        ``causal-lm``, ``masked-lm``, ``sequence-classification`` or ``seq2seq``, where it is another than the model's.
    trust
        Agree to run the code of a Gist or Hub repository; this is remembered for these very files.
    settings
        Fields by their dotted names, for example ``{"data.columns": {"text": "review"}}``.
    **fields
        Fields whose last name is unique, for example ``context_length=256``.

    Raises
    ------
    SpecError
        With every field that is wrong.
    ModelError
        If the model can't be had or run, or needs consent and has none.
    DataError
        If the data can't be had or read, or do not serve the task.

    Examples
    --------
    >>> found = preview("python-docs", context_length=64)
    >>> found.unit, found.tokens > 100_000
    ('line', True)
    """
    task_setting = {"model.task": task} if task is not None else {}
    values = {**(settings or {}), **task_setting}
    asked, chosen = asked_for(model=model, data=data, settings=values, fields=fields)
    weighed, facts = weigh(asked, chosen=chosen, trust=trust)
    return preview_spec(gather(weighed), facts)


def weigh(
    spec: RunSpec, *, chosen: Collection[str], trust: bool = False, screen: Console | None = None
) -> tuple[RunSpec, ModelFacts]:
    """Return what the data of a spec are weighed against: its model's task and sizes, and the spec with sizes that fit.

    The data stay as they are, and so does what somebody has chosen: what does not fit, the look says itself.

    Parameters
    ----------
    chosen, trust, screen
        As for :func:`tb_widgets.service.preparing.prepared`.
    """
    if spec.model.task != "auto" and not spec.model.source.startswith("zoo:"):
        return spec, ModelFacts(spec.model.task)  # nothing else is asked of it
    spec, _, facts, _ = tried(spec, trust=trust, screen=screen)
    return fitted(spec, facts, chosen={*chosen, "data.source"}).spec, facts


def preview_spec(spec: RunSpec, facts: ModelFacts) -> Preview:
    """Look at the data of a spec, which are here, for a model of which this is known.

    Raises
    ------
    DataError
        See :func:`preview`.
    """
    return preview_data(
        spec.data,
        spec.tokenizer,
        facts.task,
        context_limit=facts.context_limit,
        parameters=facts.parameters,
        batch_size=spec.training.batch_size,
    )
