"""A checkpoint's model, ready for use: what writers, lookers and exporters begin with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from tb_widgets.data.tokenizers.make import Tokenizer, load_tokenizer
from tb_widgets.engine.hardware import choose_device
from tb_widgets.engine.state import load_weights
from tb_widgets.errors import ModelError, RunError
from tb_widgets.models.load import LoadedModel, build, from_module
from tb_widgets.models.source import ModelSource, read_source
from tb_widgets.runs import RunDirectory
from tb_widgets.spec import TASKS


@dataclass(frozen=True)
class TrainedModel:
    """A model with everything that its answers are read with.

    Attributes
    ----------
    tokenizer
        ``None`` for a model that looks at images.
    context_length
        Most tokens that it was trained on at once.
    classes
        Names of the classes that it tells apart; empty where it tells none.
    sentinels
        Most spans cut out of a text that it was trained to write; 0 where it was not.
    document_end
        Token that stood after each document; ``None`` where there was one document.
    source, entry
        The model's files, ``None`` for a live module, and what builds it there, where the spec says so.
    """

    model: LoadedModel
    device: torch.device
    tokenizer: Tokenizer | None
    context_length: int
    classes: tuple[str, ...] = ()
    sentinels: int = 0
    document_end: int | None = None
    source: ModelSource | None = None
    entry: str | None = None


def load_checkpoint(run: RunDirectory, checkpoint: Path, *, module: nn.Module | None = None) -> TrainedModel:
    """Build a run's model, load a checkpoint's weights into it, and put it into evaluation mode on the run's device.

    Parameters
    ----------
    checkpoint
        The checkpoint's folder.
    module
        For a run that trained a live module: one of the same shape; its weights are replaced.

    Raises
    ------
    ModelError
        If the run trained a live module and none is given.
    CheckpointError
        If the weights do not fit.
    RunError
        If the run has lost what its answers are read with.
    """
    source = None
    if module is not None:
        model = from_module(module, run.spec.model)
    elif run.model_folder.is_dir():
        source = read_source(run.model_folder)
        model = build(source, run.spec.model)
    else:
        raise ModelError(
            f"{run.id} trained a live nn.Module, whose code is not in the run.",
            hint="Pass a module of the same shape: run.best.generate(..., module=my_model).",
        )
    load_weights(model.module, checkpoint)
    device = choose_device(run.spec.hardware.device)
    model.module.to(device).eval()
    try:
        kept = json.loads(run.data_file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{run.data_file} can't be read: {error}.", hint="Copy it again from where the run was made."
        ) from error
    return TrainedModel(
        model,
        device,
        tokenizer=None if TASKS[model.task].reads_images else load_tokenizer(run.tokenizer_folder),
        context_length=run.spec.data.context_length,
        classes=tuple(kept["classes"]),
        sentinels=kept["gaps"],
        document_end=kept["document_end"],
        source=source,
        entry=run.spec.model.entry,
    )
