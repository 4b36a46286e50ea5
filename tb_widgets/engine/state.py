"""The whole state of a training, in files without pickles: what exact resume needs, and nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tb_widgets.engine.sharding import in_parts_like, is_sharded, whole
from tb_widgets.errors import CheckpointError
from tb_widgets.runs.checkpoints import META
from tb_widgets.runs.durable import read_json

_WEIGHTS = "model.safetensors"
TRAINING = "training.safetensors"
# What may be wrong with files that are whole: they are another model's, or somebody wrote them by hand.
_DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError, SafetensorError)


@dataclass(frozen=True)
class Snapshot:
    """A copy of the training state in main memory, so that it can be written while training goes on."""

    weights: dict[str, Tensor]
    training: dict[str, Tensor]
    meta: dict[str, Any]

    def parts(self) -> dict[str, Callable[[Path], None]]:
        """Return the files of a checkpoint as functions that write them."""
        # One entry only: safetensors writes several in another order each time, and equal runs write equal files.
        return {
            _WEIGHTS: lambda path: save_file(self.weights, path, metadata={"format": "pt"}),
            TRAINING: lambda path: save_file(self.training, path),
        }


def take_snapshot(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    *,
    carried: dict[str, Tensor],
    meta: dict[str, Any],
    keep: bool = True,
) -> Snapshot:
    """Copy weights, optimiser, loss scaler and every random state.

    Parameters
    ----------
    carried
        Further tensors of the loop that outlive a step.
    meta
        Written to the checkpoint's ``meta.json``.
    keep
        Whether this rank needs the copy. Where the model lies in parts on several ranks, all of them have to ask.
    """
    weights, aliases = unique_weights(module)
    training = {f"carried.{name}": tensor for name, tensor in carried.items()}
    for index, state in optimiser.state_dict()["state"].items():
        training |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
    training["rng.torch"] = torch.get_rng_state()
    if torch.cuda.is_available():
        training |= {f"rng.cuda.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    states = {
        "scaler": scaler.state_dict(),
        "python_random": [version, list(words), gauss],
        "numpy_random": [kind, np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)],
    }
    return Snapshot(
        _copy(weights, keep=keep), _copy(training, keep=keep), {**meta, "aliases": aliases, "states": states}
    )


def unique_weights(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a state dict, tied ones once, and the names that are other names' tensors."""
    weights: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    owners: dict[tuple[int, tuple[int, ...], tuple[int, ...]], str] = {}
    shared = {name: id(parameter) for name, parameter in module.named_parameters(remove_duplicate=False)}
    for name, tensor in module.state_dict().items():
        # A rank's part may be empty, and many of those begin at the same place.
        place = shared[name] if is_sharded(tensor) else tensor.data_ptr()
        key = (place, tuple(tensor.shape), tensor.stride())
        if tensor.numel() and key in owners:
            aliases[name] = owners[key]
        else:
            owners[key] = name
            weights[name] = tensor
    return weights, aliases


def load_weights(module: nn.Module, checkpoint: Path) -> None:
    """Load a checkpoint's weights into a module of the same shape.

    Raises
    ------
    CheckpointError
        If names or shapes differ, which means that the model's source is not the one that was trained.
    """
    path = checkpoint / _WEIGHTS
    try:
        aliases = read_json(checkpoint / META).get("aliases")
        if aliases is None:  # it was written by an earlier version
            with safe_open(path, framework="pt") as file:
                aliases = json.loads((file.metadata() or {}).get("aliases", "{}"))
        weights = load_file(path)
        weights |= {name: weights[owner] for name, owner in aliases.items()}
        there = module.state_dict()
        module.load_state_dict(
            {name: in_parts_like(weight, there.get(name, weight)) for name, weight in weights.items()}
        )
    except _DAMAGE as error:
        raise CheckpointError(f"The weights of {checkpoint} do not fit the model: {error}") from error


def restore(
    checkpoint: Path, module: nn.Module, optimiser: torch.optim.Optimizer, scaler: torch.amp.GradScaler
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Put module, optimiser, loss scaler and random states back to where a checkpoint was taken.

    Returns
    -------
    meta, carried
        The checkpoint's ``meta.json``, and the loop's own tensors.

    Raises
    ------
    CheckpointError
        If something in it does not fit, or is not there.
    """
    load_weights(module, checkpoint)
    try:
        return _restore_training(checkpoint, optimiser, scaler)
    except _DAMAGE as error:
        raise CheckpointError(
            f"The state of the training in {checkpoint} can't be put back ({type(error).__name__}: {error}).",
            hint="Move that folder away, then resume from an earlier checkpoint.",
        ) from error


def _restore_training(
    checkpoint: Path, optimiser: torch.optim.Optimizer, scaler: torch.amp.GradScaler
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    tensors = load_file(checkpoint / TRAINING)
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    carried: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        kind, *rest = name.split(".", 2)
        if kind == "optimizer":
            index = int(rest[0])
            state.setdefault(index, {})[rest[1]] = in_parts_like(tensor, parameters[index])
        elif kind == "carried":
            carried[rest[0]] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    meta: dict[str, Any] = read_json(checkpoint / META)
    states = meta["states"]
    if states["scaler"]:
        scaler.load_state_dict(states["scaler"])
    torch.set_rng_state(tensors["rng.torch"])
    if torch.cuda.is_available():
        saved = [tensors[name] for name in sorted(tensors) if name.startswith("rng.cuda.")]
        for index, rng in enumerate(saved[: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(rng, index)
    version, words, gauss = states["python_random"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = states["numpy_random"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    return meta, carried


def _copy(tensors: dict[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    copies = {}
    for name, tensor in tensors.items():
        gathered = whole(tensor.detach())
        if keep:
            copies[name] = gathered.to("cpu", copy=True, memory_format=torch.contiguous_format)
    return copies
