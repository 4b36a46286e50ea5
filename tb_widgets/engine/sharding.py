"""A model whose weights, gradients and optimiser state lie in parts on all ranks (FSDP2), and is whole on disk."""

from __future__ import annotations

import warnings
from typing import Any, cast

import torch
from torch import Tensor, nn

from tb_widgets.models.blocks import repeated_blocks


def shard(module: nn.Module, device: torch.device, ranks: int) -> None:
    """Leave each rank its part of every parameter; a block is whole only while it computes.

    Parameters
    ----------
    module
        On its device, with the same weights on every rank.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    # Of a linear layer at the end, which returns a view of its result; nothing here changes logits in place.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    mesh = init_device_mesh(device.type, (ranks,))
    for block in repeated_blocks(module).values():
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor lies in parts on several ranks."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor with the parts of all ranks, each of which has to ask; a plain one as it is."""
    return cast(Tensor, cast(Any, tensor).full_tensor()) if is_sharded(tensor) else tensor


def in_parts_like(tensor: Tensor, sharded: Tensor) -> Tensor:
    """Return this rank's part of a whole tensor, in parts like another one; the same tensor where that is plain."""
    if not is_sharded(sharded) or tensor.shape != sharded.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    parts = cast(Any, sharded)
    # Every rank has read the same file, so nothing is sent.
    return distribute_tensor(tensor.to(sharded.device), parts.device_mesh, parts.placements, src_data_rank=None)
