"""Seeing the attention weights of any model, however it computes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_SOFTMAX = (functional.softmax, torch.softmax, Tensor.softmax, torch.special.softmax)


@dataclass(frozen=True)
class Attention:
    """The weights of one layer, ``(B, heads, queries, keys)``, in float32."""

    weights: Tensor

    @property
    def rows_sum_to_one(self) -> bool:
        """Whether each query gives its keys 1 in all."""
        return bool((self.weights.sum(-1) - 1).abs().max() < 0.01)

    def allowed(self) -> Tensor:
        """Which keys each query may look at, ``(queries, keys)``: those before it, where the layer is causal."""
        used = (self.weights > 0).flatten(0, 1).any(0)
        square = used.shape[0] == used.shape[1]
        if square and not used.triu(1).any():
            return torch.ones_like(used).tril()
        return used.any(0).expand_as(used)

    def entropies(self) -> Tensor:
        """Return each head's entropy, ``(heads,)``, from 0 (one place) to 1 (all places alike).

        It is the mean over the queries that have a choice: the first of a causal layer has none.
        """
        keys = self.allowed().sum(-1)
        choice = keys > 1
        if not choice.any():
            return torch.ones(self.weights.shape[1])
        entropy: Tensor = torch.special.entr(self.weights).sum(-1)[..., choice] / keys[choice].float().log()
        return entropy.mean((0, 2)).cpu()

    def uniform_heads(self, tolerance: float = 1e-5) -> Tensor:
        """Return which heads give all keys the same, ``(heads,)``, bool."""
        allowed = self.allowed()
        choice = allowed.sum(-1) > 1
        if not choice.any():
            return torch.zeros(self.weights.shape[1], dtype=torch.bool)
        highest = self.weights.masked_fill(~allowed, -math.inf).amax(-1)[..., choice]
        lowest = self.weights.masked_fill(~allowed, math.inf).amin(-1)[..., choice]
        return ((highest - lowest) <= tolerance * highest).flatten(2).all(-1).all(0).cpu()


@contextmanager
def watch_attention() -> Iterator[list[Attention]]:
    """Collect the weights of every attention that a forward pass computes.

    Seen are PyTorch's fused attention, its multi-head layers, and every softmax over scores of queries and keys that
    the model writes out itself.
    """
    watcher = _Watcher()
    with watcher:
        yield watcher.seen


class _Watcher(TorchFunctionMode):
    """Looks over the shoulder of every call of a torch function; what such a function calls inside is not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Attention] = []

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is functional.multi_head_attention_forward:
            return self._multi_head(function, args, kwargs)
        result = function(*args, **kwargs)
        if function is functional.scaled_dot_product_attention:
            self._keep(fused_weights(*args, **kwargs))
        elif function in _SOFTMAX and looks_like_attention(result):
            self._keep(result)
        return result

    def _multi_head(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        wanted = kwargs.get("need_weights", True), kwargs.get("average_attn_weights", True)
        output, weights = function(*args, **kwargs | {"need_weights": True, "average_attn_weights": False})
        self._keep(weights)
        if not wanted[0]:
            return output, None
        return output, weights.mean(dim=-3) if wanted[1] else weights

    def _keep(self, weights: Tensor) -> None:
        weights = weights.detach().float()
        # (queries, keys) of one row, (B, queries, keys) of one head, or (B, groups, heads, queries, keys)
        while weights.dim() < 4:
            weights = weights.unsqueeze(0) if weights.dim() == 2 else weights.unsqueeze(1)
        self.seen.append(Attention(weights.flatten(1, -3)))


def looks_like_attention(weights: Any) -> bool:
    """Tell scores of queries and keys from those of tokens: at least three sides, the last two of equal length."""
    return isinstance(weights, Tensor) and weights.dim() >= 3 and weights.shape[-1] == weights.shape[-2] > 1


def fused_weights(  # noqa: PLR0917 - the arguments of the fused function
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return the weights that :func:`torch.nn.functional.scaled_dot_product_attention` computes and keeps to itself."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
    scores = query.float() @ key.float().transpose(-2, -1) * (scale or 1 / math.sqrt(query.shape[-1]))
    if is_causal:
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return scores.softmax(-1)
