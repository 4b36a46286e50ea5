"""Looking at data from Python or a terminal: what a model's task would make of them, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tb_widgets.data.preview import Preview
from tb_widgets.data.preview import preview as preview_data
from tb_widgets.errors import SpecError
from tb_widgets.models.zoo import sizes
from tb_widgets.service.checking import vocabulary_of_ours
from tb_widgets.service.gathering import gather
from tb_widgets.service.run import dotted
from tb_widgets.spec import RunSpec, Task


def preview(
    data: str | Path | None = None,
    *,
    model: str = "zoo:gpt",
    task: Task | None = None,
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
        A model of the zoo, ``zoo:gpt`` by default; it decides the task, and what the data are weighed against.
    task
        ``causal-lm``, ``masked-lm``, ``sequence-classification`` or ``seq2seq``, where it is another than the model's.
    settings
        Fields by their dotted names, for example ``{"data.columns": {"text": "review"}}``.
    **fields
        Fields whose last name is unique, for example ``context_length=256``.

    Raises
    ------
    SpecError
        With every field that is wrong.
    DataError
        If the data can't be had or read, or do not serve the task.

    Examples
    --------
    >>> found = preview("python-docs", context_length=64)
    >>> found.unit, found.tokens > 100_000
    ('line', True)
    """
    values: dict[str, Any] = {"model.source": model} | (settings or {})
    values |= {dotted(name): value for name, value in fields.items()}
    if data is not None:
        values["data.source"] = str(data)
    if task is not None:
        values["model.task"] = task
    return preview_spec(gather(RunSpec().with_values(values)))


def preview_spec(spec: RunSpec) -> Preview:
    """Look at the data of a spec, which are here.

    Raises
    ------
    SpecError, DataError
        See :func:`preview`.
    """
    name = spec.model.source.removeprefix("zoo:")
    is_ours = spec.model.source.startswith("zoo:") and name in sizes.TASKS
    if spec.model.task == "auto" and not is_ours:
        raise SpecError([("model.task", f"what {spec.model.source} is built for can't be told here: set it.")])
    task: Task = sizes.TASKS[name] if spec.model.task == "auto" else spec.model.task
    parameters = None
    if is_ours and task == sizes.TASKS[name]:
        context = spec.data.context_length
        config = sizes.zoo_config(
            name,
            spec.model.preset,
            spec.model.config,
            vocab_size=vocabulary_of_ours(spec),
            context_length=context,
        )
        parameters = sizes.count_parameters(name, config)
    return preview_data(spec.data, spec.tokenizer, task, parameters=parameters, batch_size=spec.training.batch_size)
