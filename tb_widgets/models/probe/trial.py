"""Tiny trial runs of a model, which leave it as it was, and what is seen during them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.overrides import TorchFunctionMode

from tb_widgets.models.adapter import Adapter, Conclusion
from tb_widgets.models.undisturbed import device_of, plain_tensors, tables_kept
from tb_widgets.spec.batch import Batch

# No two of these may be mistaken for one another in a shape.
ROWS, LENGTH, DECODER_LENGTH = 3, 5, 4


@dataclass
class Seen:
    """What a model looked up during a forward pass.

    Attributes
    ----------
    lookups
        Rows of each table that token ids or positions were looked up in, and the index.
    slices
        Sides of the model's own tensors of which a beginning was taken: (side, from, to).
    called
        Names of the parts that ran.
    """

    lookups: list[tuple[int, Tensor]] = field(default_factory=list)
    slices: list[tuple[int, int, int]] = field(default_factory=list)
    called: set[str] = field(default_factory=set)


class _Watch(TorchFunctionMode):
    """Sees which tables a forward pass looks up, be they modules, parameters or plain tensors."""

    def __init__(self, module: nn.Module, seen: Seen) -> None:
        super().__init__()
        self.seen = seen
        self._own = {id(tensor) for tensor in own_tensors(module)}
        self._keep = list(own_tensors(module))  # an id counts while its tensor lives

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See a call, then make it."""
        if func is F.embedding:
            given = dict(zip(("input", "weight"), args, strict=False)) | (kwargs or {})
            self.lookup(given["weight"].shape[0], given["input"])
        elif func is Tensor.__getitem__ and id(args[0]) in self._own:
            self._item(args[0], args[1])
        return func(*args, **(kwargs or {}))

    def lookup(self, rows: int, index: Tensor) -> None:
        """See token ids or positions looked up in a table."""
        self.seen.lookups.append((rows, index.detach().clone()))

    def slice(self, side: int, start: int, stop: int) -> None:
        """See a part taken of one side of a tensor of the model's own."""
        self.seen.slices.append((side, start, stop))

    def _item(self, tensor: Tensor, index: Any) -> None:
        parts = index if isinstance(index, tuple) else (index,)
        if isinstance(parts[0], Tensor) and not parts[0].is_floating_point() and parts[0].dtype != torch.bool:
            self.lookup(tensor.shape[0], parts[0])
            return
        side = 0
        for place, part in enumerate(parts):
            if part is Ellipsis:
                side = tensor.dim() - sum(other is not None for other in parts[place + 1 :])
                continue
            if part is None:
                continue
            if isinstance(part, slice) and part.stop is not None and part.step in (None, 1) and side < tensor.dim():
                start, stop = int(part.start or 0), int(part.stop)
                if 0 <= start < stop:
                    self.slice(tensor.shape[side], start, stop)
            side += 1


def own_tensors(module: nn.Module) -> Iterator[Tensor]:
    """Yield parameters, buffers, and tensors that are plain attributes."""
    yield from module.parameters()
    yield from module.buffers()
    for part in module.modules():
        yield from plain_tensors(part).values()


class Trial:
    """A model and its trial inputs."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.device = device_of(module)
        self._random = torch.Generator().manual_seed(0)

    def first_batch(self, *, decoder: bool) -> Batch:
        """Return tokens that any model knows, in patterns that no positions have."""
        tokens = torch.tensor([[1, 0, 0, 1, 1], [0, 1, 1, 0, 1], [1, 1, 0, 1, 0]], device=self.device)
        return {"tokens": tokens} | ({"decoder_tokens": 1 - tokens[:, :DECODER_LENGTH]} if decoder else {})

    def tokens(self, rows: int | None, length: int) -> Tensor:
        """Draw tokens; the first few ids are left alone where there are others, they often mean padding."""
        if rows is None or rows < 3:
            low, high = 0, min(rows or 2, 2)
        else:
            low, high = min(5, rows - 2), rows
        return torch.randint(low, high, (ROWS, length), generator=self._random).to(self.device)

    def other(self, tokens: Tensor, rows: int | None) -> Tensor:
        """Return other tokens than these, at every place."""
        if rows is None or rows < 3:
            return 1 - tokens
        low = min(5, rows - 2)
        return low + (tokens - low + 1) % (rows - low)

    def watch(self, adapter: Adapter, batch: Batch) -> tuple[Any, Seen]:
        """Call the model, and return what its forward returns and what was seen."""
        seen = Seen()
        names = {part: name for name, part in self.module.named_modules()}
        hooks = [
            part.register_forward_pre_hook(lambda ran, _: seen.called.add(names.get(ran, "")))
            for part in self.module.modules()
        ]
        try:
            self._same_chance()
            with _Watch(self.module, seen):
                return adapter.call(self.module, batch), seen
        finally:
            for hook in hooks:
                hook.remove()

    def logits(self, adapter: Adapter, batch: Batch) -> Tensor:
        """Return the logits for a batch, as numbers that can be compared."""
        self._same_chance()
        return torch.nan_to_num(adapter.logits(self.module, batch).float())

    def _same_chance(self) -> None:
        """Let a model that draws random numbers draw the same ones each time."""
        torch.default_generator.manual_seed(0)
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):
                torch.cuda.manual_seed(0)

    def ends_at(self, adapter: Adapter, limit: int) -> bool:
        """Tell whether a model reads ``limit`` tokens and not one more; only tried where that is quick."""
        return self.is_quick(limit) and not self.reads(adapter, limit + 1) and self.reads(adapter, limit)

    def is_quick(self, length: int) -> bool:
        """Tell whether the model reads that many tokens in a moment."""
        return sum(parameter.numel() for parameter in self.module.parameters()) * length <= 5e8

    def reads(self, adapter: Adapter, length: int, token: int = 0) -> bool:
        """Tell whether a model reads that many tokens."""
        batch = {"tokens": torch.full((1, length), token, dtype=torch.int64, device=self.device)}
        if "decoder_tokens" in adapter.arguments:
            batch["decoder_tokens"] = batch["tokens"]
        try:
            with tables_kept(self.module):  # some make a longer one when they have to
                adapter.call(self.module, batch)
        except Exception:  # noqa: BLE001  (whatever it says, it can't read that many)
            return False
        return True


def moved(before: Tensor, after: Tensor, scale: Tensor | None = None) -> bool:
    """Tell whether logits differ by more than rounding, measured by ``scale``, a difference known to be real."""
    change = (before - after).abs().max()
    reference = scale if scale is not None else before.abs().max().clamp_min(1.0) * 1e-2
    return bool(change > 1e-4 * reference)


def shapes_in_words(found: list[tuple[str | int | None, Tensor]]) -> str:
    """Write the shapes of tensors."""
    return " and ".join(str(tuple(leaf.shape)) for _, leaf in found)


PROBABILITIES = Conclusion("output", "probabilities", "They are positive and sum to 1; the loss takes their logarithm.")


def are_probabilities(logits: Tensor) -> bool:
    """Tell whether logits have gone through a softmax already."""
    if not logits.is_floating_point() or logits.shape[-1] < 2 or not bool((logits >= 0).all()):
        return False
    sums = logits.sum(-1)
    return torch.allclose(sums, torch.ones_like(sums), atol=1e-3)
