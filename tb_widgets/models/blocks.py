"""The repeated blocks of a model: the layers of a transformer, as its author has put them into a list."""

from __future__ import annotations

from collections import defaultdict

from torch import nn


def repeated_blocks(module: nn.Module) -> dict[str, nn.Module]:
    """Return the modules of one class that stand in one list, by their names; empty where a model has none.

    Lists are ``nn.ModuleList`` and ``nn.Sequential``. Of several classes in one list, the one with the most weights
    counts, and of lists inside of each other the outermost. A block has parts of its own.
    """
    found: dict[str, nn.Module] = {}
    for name, part in module.named_children():
        inside = _alike(part) if isinstance(part, nn.ModuleList | nn.Sequential) else {}
        if not inside:
            inside = repeated_blocks(part)
        found |= {f"{name}.{inner}": block for inner, block in inside.items()}
    return found


def _alike(blocks: nn.Module) -> dict[str, nn.Module]:
    by_class: defaultdict[type, dict[str, nn.Module]] = defaultdict(dict)
    for name, block in blocks.named_children():
        if next(block.children(), None) is not None:
            by_class[type(block)][name] = block
    repeated = [alike for alike in by_class.values() if len(alike) > 1]
    return max(repeated, key=_weights, default={})


def _weights(blocks: dict[str, nn.Module]) -> int:
    return sum(parameter.numel() for block in blocks.values() for parameter in block.parameters())


def layer_names(module: nn.Module) -> dict[str, str]:
    """Return the layer of every parameter, both by name: its block, or the part of the model outside of them."""
    blocks = repeated_blocks(module)
    return {
        name: next((block for block in blocks if name.startswith(f"{block}.")), name.partition(".")[0])
        for name, _ in module.named_parameters()
    }
