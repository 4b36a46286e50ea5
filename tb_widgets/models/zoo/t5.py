"""An encoder-decoder that turns one text into another: T5 (Raffel et al., 2019, arXiv 1910.10683).

Positions are known by distance only: a learned bias on the attention scores for each bucket of distances, shared by
all layers of a stack. Norms without bias, no biases in layers, ReLU, output layer tied to the token embedding. Other
than in the paper, attention scores are divided by the root of the head's width, so that usual weights fit; and layers
that write into the residual stream start at zero. This file needs torch only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True)
class T5Config:
    """Sizes. ``n_layer`` counts encoder layers, and decoder layers as well."""

    vocab_size: int
    n_layer: int = 3
    n_head: int = 4
    n_embd: int = 128
    mlp_ratio: int = 4
    dropout: float = 0.0
    buckets: int = 32
    max_distance: int = 128


class Attention(nn.Module):
    """Attention from one sequence to another, or to itself."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.q, self.k, self.v, self.proj = (nn.Linear(config.n_embd, config.n_embd, bias=False) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor | None) -> Tensor:
        """Map ``(B, T, C)`` to ``(B, T, C)``, looking at ``memory`` ``(B, S, C)``; ``bias`` is added to the scores."""
        heads = (self.n_head, x.shape[-1] // self.n_head)
        q, k, v = (
            layer(source).unflatten(-1, heads).transpose(1, 2)
            for layer, source in ((self.q, x), (self.k, memory), (self.v, memory))
        )
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout)
        out: Tensor = self.proj(y.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Self-attention, in a decoder also attention to the encoder, then an MLP."""

    def __init__(self, config: T5Config, *, decoder: bool) -> None:
        super().__init__()
        hidden = config.mlp_ratio * config.n_embd
        self.norm_1 = nn.RMSNorm(config.n_embd)
        self.attention = Attention(config)
        if decoder:
            self.norm_2 = nn.RMSNorm(config.n_embd)
            self.to_encoder = Attention(config)
        self.norm_3 = nn.RMSNorm(config.n_embd)
        self.up = nn.Linear(config.n_embd, hidden, bias=False)
        self.down = nn.Linear(hidden, config.n_embd, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, bias: Tensor, memory: Tensor | None = None, memory_bias: Tensor | None = None
    ) -> Tensor:
        """Map ``(B, T, C)`` to ``(B, T, C)``."""
        normed = self.norm_1(x)
        x = x + self.dropout(self.attention(normed, normed, bias))
        if memory is not None:
            x = x + self.dropout(self.to_encoder(self.norm_2(x), memory, memory_bias))
        out: Tensor = x + self.dropout(self.down(F.relu(self.up(self.norm_3(x)))))
        return out


class Stack(nn.Module):
    """The layers of the encoder, or of the decoder."""

    def __init__(self, config: T5Config, *, decoder: bool) -> None:
        super().__init__()
        self.decoder = decoder
        self.max_distance = config.max_distance
        self.distance_bias = nn.Parameter(torch.empty(config.buckets, config.n_head))
        self.blocks = nn.ModuleList(Block(config, decoder=decoder) for _ in range(config.n_layer))
        self.norm = nn.RMSNorm(config.n_embd)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, seen: Tensor | None, memory: Tensor | None = None) -> Tensor:
        """Map ``(B, T, C)`` to ``(B, T, C)``; ``seen`` is False at padding of what the encoder reads."""
        length = x.shape[1]
        place = torch.arange(length, device=x.device)
        distance = place[None, :] - place[:, None]  # from the one that looks to the one that is seen
        buckets = distance_bucket(
            distance, self.distance_bias.shape[0], self.max_distance, both_directions=not self.decoder
        )
        bias = self.distance_bias[buckets].permute(2, 0, 1)[None]
        padding = None if seen is None else torch.zeros(seen.shape, device=x.device).masked_fill(~seen, -math.inf)
        if self.decoder:
            bias = bias.masked_fill(distance > 0, -math.inf)
        elif padding is not None:
            bias = bias + padding[:, None, None, :]
        memory_bias = None if padding is None else padding[:, None, None, :].to(x.dtype)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, bias.to(x.dtype), memory, memory_bias if self.decoder else None)
        out: Tensor = self.dropout(self.norm(x))
        return out


class T5(nn.Module):
    """Two sequences of token ids in, ``(B, T)`` and ``(B, S)``; logits for what follows in the second out."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.n_embd)
        self.encoder = Stack(config, decoder=False)
        self.decoder = Stack(config, decoder=True)
        self.output = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.output.weight = self.tokens.weight
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh weights: 1 / sqrt(inputs), the table half of that, zero where a layer writes into the stream."""
        for name, parameter in self.named_parameters():
            if name.endswith(("proj.weight", "down.weight")):
                nn.init.zeros_(parameter)
            elif parameter.dim() > 1:
                scale = 0.5 if parameter is self.tokens.weight else 1.0
                nn.init.normal_(parameter, std=scale / math.sqrt(parameter.shape[1]))

    def forward(self, input_ids: Tensor, decoder_input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Map ``(B, T)`` and ``(B, S)`` to logits ``(B, S, vocab_size)``; the mask is True (or 1) at real tokens."""
        seen = None if attention_mask is None else attention_mask.bool()
        memory = self.encoder(self.tokens(input_ids), seen)
        logits: Tensor = self.output(self.decoder(self.tokens(decoder_input_ids), seen, memory))
        return logits


def distance_bucket(distance: Tensor, buckets: int, max_distance: int, *, both_directions: bool) -> Tensor:
    """Sort distances into buckets: short ones each into its own, longer ones by their logarithm.

    Parameters
    ----------
    distance
        Place of what is seen minus place of what looks, whole numbers.
    both_directions
        Whether half of the buckets are for what comes later; otherwise all later places share the first.

    Returns
    -------
    Tensor
        Bucket numbers from 0, of the same shape.
    """
    first = torch.zeros_like(distance)
    if both_directions:
        buckets //= 2
        first = (distance > 0) * buckets
        distance = distance.abs()
    else:
        distance = -distance.clamp(max=0)
    exact = buckets // 2
    far = exact + (
        torch.log(distance.clamp(min=1) / exact) / math.log(max_distance / exact) * (buckets - exact)
    ).long().clamp(max=buckets - exact - 1)
    return first + torch.where(distance < exact, distance, far)


def build_model(config: dict[str, Any]) -> T5:
    """Build the model from the content of config.json; names that are not sizes of it are ignored."""
    known = {field.name for field in fields(T5Config)}
    return T5(T5Config(**{name: value for name, value in config.items() if name in known}))
