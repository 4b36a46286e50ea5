"""The model as PyTorch has it: weights, source, configuration and tokenizer, without a pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tb_widgets.errors import ExportError
from tb_widgets.export.registry import EXPORTERS, Exporter

if TYPE_CHECKING:
    from tb_widgets.engine.inference.load_checkpoint import TrainedModel

_WEIGHTS = "model.safetensors"
ALIASES = "tied_weights.json"
_TOKENIZER = "tokenizer"


def export(trained: TrainedModel, folder: Path) -> None:
    """Write ``model.safetensors``, the model's own files, and ``tokenizer/`` for a model that reads texts.

    Weights that share their memory are written once; ``tied_weights.json`` says which other names they have.
    """
    from safetensors.torch import save_file

    from tb_widgets.engine.state import unique_weights
    from tb_widgets.models.source import write_source

    if trained.source is None:
        raise ExportError(
            "The model was a live nn.Module, whose code is not in the run.", hint="Train it from a model.py instead."
        )
    weights, aliases = unique_weights(trained.model.module)
    save_file(
        {name: weight.detach().cpu().contiguous() for name, weight in weights.items()},
        folder / _WEIGHTS,
        metadata={"format": "pt"},
    )
    (folder / ALIASES).write_text(json.dumps(aliases, indent=2) + "\n", encoding="utf-8")
    write_source(trained.source, folder)
    if trained.tokenizer is not None:
        trained.tokenizer.save(folder / _TOKENIZER)


def prove(trained: TrainedModel, folder: Path) -> float:
    """Build the model from the folder alone, and return how far its logits are from the trained one's."""
    import torch
    from safetensors.torch import load_file

    from tb_widgets.checks.inputs import make_batch, usual_length
    from tb_widgets.models.construct import construct
    from tb_widgets.models.source import read_source

    module = construct(read_source(folder), trained.entry)
    aliases = json.loads((folder / ALIASES).read_text(encoding="utf-8"))
    weights = load_file(folder / _WEIGHTS)
    try:
        module.load_state_dict(weights | {name: weights[owner] for name, owner in aliases.items()})
    except RuntimeError as error:
        raise ExportError(f"{folder / _WEIGHTS} does not fit the source beside it: {error}") from error
    module.to(trained.device).eval()
    model = trained.model
    batch = make_batch(model, rows=2, length=usual_length(model, 32))
    with torch.no_grad():
        theirs = model.adapter.logits(module, batch)
        return float((model.logits(batch) - theirs).abs().max())


EXPORTERS.add(
    "safetensors",
    Exporter("Weights, model.py, config.json and tokenizer, for PyTorch", export=export, prove=prove),
)
