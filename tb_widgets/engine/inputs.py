"""A run's model and its data, made for each other."""

from __future__ import annotations

import inspect
import time
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from tb_widgets.data.prepared import PreparedData, prepare
from tb_widgets.engine.activation_checkpointing import require_blocks
from tb_widgets.engine.causality import measure_causality
from tb_widgets.engine.parallel import Group
from tb_widgets.errors import ModelError, TrainingError
from tb_widgets.models.load import LoadedModel, build, check_fits, from_module
from tb_widgets.models.repairs.leak_refusal import leak_refusal
from tb_widgets.models.source import ModelSource, read_source, write_source
from tb_widgets.models.sources.resolve import resolve
from tb_widgets.models.zoo import sizes
from tb_widgets.runs import RunDirectory
from tb_widgets.runs.durable import replace_json
from tb_widgets.runs.folders import default_cache_dir
from tb_widgets.runs.journal import JournalWriter
from tb_widgets.spec import TASKS, ModelSpec, Task
from tb_widgets.spec.metrics import METRICS

DOCUMENTS = "document_ids"
"""Argument of a model's forward for the document that each token belongs to."""


@dataclass(frozen=True)
class Inputs:
    """What is trained, on what, and where the model came from."""

    model: LoadedModel
    data: PreparedData
    origin: dict[str, Any]


def gather_inputs(
    run: RunDirectory, journal: JournalWriter, module: nn.Module | None, group: Group | None = None
) -> Inputs:
    """Build the model and prepare the data that its task asks for.

    A model of ours has a known task and takes its vocabulary from the data, so the data come first; any other model is
    built first, and says which data it needs. Weights are drawn from torch's global generator: seed it first.

    Raises
    ------
    ModelError
        If the model can't be built, or is a language model that sees what it has to predict.
    TrainingError
        If the best checkpoint is to be chosen by a metric that the task does not have, or activations are to be
        computed again in a model that has no blocks.
    DataError
        If the source can't be prepared for the model's task, or does not fit the model.
    """
    spec, group = run.spec, group or Group()
    data = None
    if module is None and not run.model_folder.is_dir():
        # Whoever agreed to a model that is not ours agreed to what was frozen, not to what is there now.
        if not spec.model.source.startswith("zoo:"):
            raise ModelError(
                f"{run.id} has lost its model folder.", hint="Copy it back, or start a new run with that model."
            )
        task = _known_task(spec.model)
        if task is not None and not TASKS[task].reads_images:
            data = _prepare_data(run, journal, group, task=task, image=None)
        write_source(
            resolve(
                spec.model,
                vocab_size=data.vocab_size if data else None,
                context_length=spec.data.context_length,
                classes=len(data.classes) or None if data else None,
            ),
            run.model_folder,
        )
    journal.update(phase="Building the model", progress=None, now=True)
    source = None
    if module is not None:
        model, origin = from_module(module, spec.model), {"source": f"live {type(module).__qualname__}"}
    else:
        source = read_source(run.model_folder)
        model, origin = build(source, spec.model), source.origin
    if spec.training.activation_checkpointing:
        require_blocks(model.module)
    if data is None or data.task != model.task:
        data = _prepare_data(run, journal, group, task=model.task, image=model.adapter.image)
    check_fits(
        model,
        vocab_size=data.vocab_size,
        context_length=spec.data.context_length if data.tokenizer else None,
        classes=len(data.classes) or None,
    )
    _warn_of_lost_piece(model, data, journal)
    _check_monitor(spec.checkpoints.monitor, model.task)
    if spec.data.reset_attention:
        model = _told_documents(model)
    if TASKS[model.task].must_not_see_ahead and not spec.model.allow_leak:
        _refuse_leak(model, source, spec.data.context_length, journal)
    return Inputs(model, data, origin)


def _known_task(spec: ModelSpec) -> Task | None:
    """Return the task of a model of ours; ``None`` where the model has to be built to tell."""
    kind, _, name = spec.source.partition(":")
    if kind != "zoo" or name not in sizes.ZOO_TASKS:
        return None
    return sizes.ZOO_TASKS[name] if spec.task == "auto" else spec.task


def _prepare_data(
    run: RunDirectory, journal: JournalWriter, group: Group, *, task: Task, image: tuple[int, int, int] | None
) -> PreparedData:
    last = [0.0]

    def report(phase: str, progress: float) -> None:
        if time.perf_counter() - last[0] > 0.2 or progress >= 1.0:
            last[0] = time.perf_counter()
            journal.update(phase=phase, progress=round(progress, 3))

    frozen = run.tokenizer_folder if run.tokenizer_folder.is_dir() else None
    data = prepare(
        run.spec.data,
        run.spec.tokenizer,
        task=task,
        image=image,
        cache_dir=default_cache_dir(),
        frozen_tokenizer=frozen,
        on_progress=report,
    )
    if frozen is None and data.tokenizer is not None:
        data.tokenizer.save(run.tokenizer_folder)
    if group.is_main:
        # What an answer can't be read without, kept with the weights: the data may be gone by then.
        kept = {"classes": list(data.classes), "gaps": data.sentinels, "document_end": data.document_end}
        replace_json(run.data_file, kept)
    for note in (getattr(data.tokenizer, "note", ""), *data.notes):
        if note:
            journal.event("warning", message=note)
    return data


def _told_documents(model: LoadedModel) -> LoadedModel:
    """Return the model as one that is told which document each token belongs to.

    Raises
    ------
    ModelError
        If it can't be told.
    """
    if DOCUMENTS not in inspect.signature(model.module.forward).parameters:
        raise ModelError(
            "data.reset_attention is true, but the model has no argument for it.",
            hint=f"Set it to false, or give forward an argument {DOCUMENTS} of shape (batch, time): a token may only "
            "attend to its own document.",
        )
    arguments = model.adapter.arguments | {"documents": DOCUMENTS}
    return replace(model, adapter=replace(model.adapter, arguments=arguments))


def _warn_of_lost_piece(model: LoadedModel, data: PreparedData, journal: JournalWriter) -> None:
    """Say which piece of the texts the model takes for padding, where that is not the tokenizer's own padding."""
    lost, tokenizer = model.adapter.padding_id, data.tokenizer
    if lost is None or tokenizer is None or lost >= tokenizer.vocab_size or lost in tokenizer.special.values():
        return
    does, way = "never learns it", "padding_idx"
    if model.adapter.hides_padding_id:
        does, way = "hides it", f"the code that hides token {lost}"
    journal.event(
        "warning",
        message=f"The model treats token {lost} as padding and {does}, but in the tokenizer it is "
        f"{tokenizer.decode([lost])!r}. Remove {way} from model.py.",
    )


def _check_monitor(monitor: str, task: Task) -> None:
    if not METRICS[monitor].exists_for(task):
        there = [metric.key for metric in METRICS.values() if metric.exists_for(task)]
        raise TrainingError(
            f"checkpoints.monitor is {monitor}, which a model for {task} does not have.",
            hint=f"Set it to {' or '.join(there)}.",
        )


def _refuse_leak(model: LoadedModel, source: ModelSource | None, context_length: int, journal: JournalWriter) -> None:
    """Refuse a language model that sees the tokens that it has to predict.

    Raises
    ------
    ModelError
        If it does; the hint names the ways out.
    """
    limit = min(context_length, model.context_limit or context_length)
    found = measure_causality(replace(model, adapter=replace(model.adapter, context_limit=limit)))
    if found.leaks or model.adapter.leaks:
        raise leak_refusal(source, model.task)
    if found.moved is None:
        journal.event("warning", message=f"Whether the model sees later tokens can't be told. {found.why_not}")
