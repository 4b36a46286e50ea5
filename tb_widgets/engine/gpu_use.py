"""How well a GPU is used: FLOPs that a model needs, FLOP/s that the GPU has, and how busy its driver says it is."""

from __future__ import annotations

import re
from typing import Any

import torch

from tb_widgets.engine.precision import autocast
from tb_widgets.models.load import LoadedModel
from tb_widgets.models.undisturbed import undisturbed
from tb_widgets.spec.batch import Batch, count_read

# Dense matrix products, accumulated in fp32, in 1e12 FLOP/s: (half precision, fp32), from NVIDIA's data sheets and
# white papers. fp32 is without TF32, as PyTorch computes unless told otherwise.
_PEAKS: dict[str, tuple[float, float]] = {
    r"Tesla T4": (65.0, 8.1),
    r"Tesla V100-SXM\d.*": (125.0, 15.7),
    r"NVIDIA L4": (121.0, 30.3),
    r"NVIDIA L40S": (362.0, 91.6),
    r"NVIDIA A10": (125.0, 31.2),
    r"NVIDIA A10G": (70.0, 31.5),
    r"NVIDIA A100[- ].*": (312.0, 19.5),
    r"NVIDIA H100 80GB HBM3": (989.0, 67.0),
    r"NVIDIA H100 PCIe": (756.0, 51.0),
    r"NVIDIA H200": (989.0, 67.0),
    r"NVIDIA RTX A6000": (154.8, 38.7),
    r"NVIDIA RTX 6000 Ada Generation": (364.2, 91.1),
    r"NVIDIA GeForce RTX 3080": (59.5, 29.8),
    r"NVIDIA GeForce RTX 3090": (71.0, 35.6),
    r"NVIDIA GeForce RTX 4080": (97.5, 48.7),
    r"NVIDIA GeForce RTX 4090": (165.2, 82.6),
}


def peak_flops(name: str, dtype: torch.dtype) -> float | None:
    """Return the FLOP/s that a GPU of some name reaches at best; ``None`` where that is not known, as for its slices.

    >>> peak_flops("Tesla T4", torch.float16), peak_flops("NVIDIA A100-SXM4-40GB MIG 1g.5gb", torch.float16)
    (65000000000000.0, None)
    """
    if "MIG" in name:
        return None
    found = next((peaks for pattern, peaks in _PEAKS.items() if re.fullmatch(pattern, name)), None)
    return None if found is None else found[dtype == torch.float32] * 1e12


def flops_per_read(model: LoadedModel, batch: Batch, dtype: torch.dtype) -> float:
    """Return the FLOPs of a forward and backward pass for each token (or image) of a batch's first row.

    Matrix products, convolutions and attention are counted as PyTorch is asked for them, an element of a table costs
    nothing, and the backward pass takes twice as many. For a GPT that is ``6 N + 12 L T width`` a token (Chowdhery et
    al., arXiv 2204.02311).
    """
    # Imported here: it takes a while where Triton is installed.
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def attention(queries: Any, keys: Any, values: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_flop_count(queries, keys, values))  # type: ignore[no-untyped-call]

    # The one kernel of attention that PyTorch does not count by itself.
    own = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}

    row = {role: tensor[:1] for role, tensor in batch.items()}
    device = next(iter(row.values())).device
    counter = FlopCounterMode(display=False, custom_mapping=own)
    with undisturbed(model.module), torch.no_grad(), autocast(device, dtype), counter:
        model.logits(row)
    return 3 * int(counter.get_total_flops()) / count_read(row)


class GpuWatch:
    """Asks the driver how busy this process's GPU is, as long as it answers.

    NVIDIA's ``nvidia-ml-py`` has to be installed, and slices of a GPU do not tell.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._answers = device, device.type == "cuda"

    def busy(self) -> float | None:
        """Return the share of the time, up to a second, in which something was computed; ``None`` for no answer."""
        if self._answers:
            try:
                return torch.cuda.utilization(self._device) / 100
            except Exception:  # noqa: BLE001 - each driver has its own way to say that it does not know
                self._answers = False
        return None
