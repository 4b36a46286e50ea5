"""A decoder-only transformer that is quick to train on a CPU.

Pre-norm blocks, rotary or learned positions, one fused projection for queries, keys and values, causal attention by
``scaled_dot_product_attention``, an MLP, output layer tied to the token embedding. This file needs torch only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True)
class GPTConfig:
    """Sizes. ``positions`` is ``"rope"`` (any length) or ``"learned"`` (at most ``context_length`` tokens).

    ``activation`` is ``"gelu"`` or ``"relu2"``, the square of ReLU (So et al., arXiv 2109.08668): cheaper on a CPU.

    Each token is read together with the ``ngram - 1`` before it: with 1, by itself. A small vocabulary gains by it.
    ``trigrams`` is the number of vectors for three tokens in a row, which a hash chooses from: many parameters, and
    hardly any computing. 0 is none.
    """

    vocab_size: int
    context_length: int
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    positions: str = "rope"
    mlp_ratio: int = 4
    bias: bool = False
    dropout: float = 0.0
    tie_weights: bool = True
    ngram: int = 1
    activation: str = "gelu"
    trigrams: int = 0


class Attention(nn.Module):
    """Causal self-attention with all heads in one matrix product."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)

    def forward(self, x: Tensor, rotation: Tensor | None, seen: Tensor | None) -> Tensor:
        """Map ``(B, T, C)`` to ``(B, T, C)``; ``seen`` is which tokens each sees, if not all before it."""
        batch, length, width = x.shape
        # Queries and keys stay together until they are turned: one pass over the memory instead of two.
        qk, v = self.qkv(x).split((2 * width, width), dim=-1)
        qk = qk.view(batch, length, 2, self.n_head, width // self.n_head)
        v = v.view(batch, length, self.n_head, width // self.n_head)
        if rotation is not None:
            qk = rotate(qk, rotation)
        q, k = qk.unbind(2)
        y = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            attn_mask=seen,
            is_causal=seen is None,
            dropout_p=self.dropout if self.training else 0.0,
        )
        out: Tensor = self.proj(y.transpose(1, 2).reshape(batch, length, width))
        return out


class Block(nn.Module):
    """Attention, then an MLP, each on a normalised copy of the residual stream."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        hidden = config.mlp_ratio * config.n_embd
        self.norm_1 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.attention = Attention(config)
        self.norm_2 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.is_squared = config.activation == "relu2"
        self.up = nn.Linear(config.n_embd, hidden, bias=config.bias)
        self.down = nn.Linear(hidden, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout) if config.dropout else nn.Identity()

    def forward(self, x: Tensor, rotation: Tensor | None, seen: Tensor | None) -> Tensor:
        """Map ``(B, T, C)`` to ``(B, T, C)``."""
        x = x + self.dropout(self.attention(self.norm_1(x), rotation, seen))
        hidden = self.up(self.norm_2(x))
        hidden = F.relu(hidden).square() if self.is_squared else F.gelu(hidden)
        out: Tensor = x + self.dropout(self.down(hidden))
        return out


class GPT(nn.Module):
    """A causal language model: token ids ``(B, T)`` in, logits ``(B, T, vocab_size)`` out."""

    rotation: Tensor

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.n_embd)
        # What a token means to those after it, one table for each distance; the last row is for none there.
        self.before = nn.ModuleList(nn.Embedding(config.vocab_size + 1, config.n_embd) for _ in range(config.ngram - 1))
        if config.trigrams:
            self.trigrams = nn.Embedding(config.trigrams, config.n_embd // 4)
            self.widen = nn.Linear(config.n_embd // 4, config.n_embd, bias=False)
        learned = config.positions == "learned"
        self.positions = nn.Parameter(torch.empty(config.context_length, config.n_embd)) if learned else None
        self.dropout = nn.Dropout(config.dropout) if config.dropout else nn.Identity()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.output = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        if config.tie_weights:
            self.output.weight = self.tokens.weight
        if not learned:
            # Not saved: it follows from the sizes.
            table = rotation_table(config.context_length, config.n_embd // config.n_head)
            self.register_buffer("rotation", table, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh weights from torch's global generator.

        Weights have a standard deviation of ``1 / sqrt(inputs)``; the two layers that write into the residual stream
        start at zero, and tables of vectors at half that, so that a fresh model guesses about evenly. Loss on the
        validation part of python-docs after 250 steps of 16 x 64 tokens, 0.43 M parameters, AdamW 0.003 cosine, mean
        of two seeds: this 3.88; with q and k normalised 3.92; tables at 0.02 4.15; 0.02 everywhere 4.60, with outputs
        scaled by depth 4.31, with outputs at zero 4.45. Tables at 0.1 reach 3.87, but begin far above an even guess.
        """
        tables = {id(self.tokens.weight), id(self.output.weight), id(self.positions)}
        if self.config.trigrams:
            tables.add(id(self.trigrams.weight))
        for name, parameter in self.named_parameters():
            if name.endswith(("bias", "proj.weight", "down.weight")) or name.startswith("before."):
                nn.init.zeros_(parameter)
            elif parameter.dim() > 1:
                scale = 0.5 if id(parameter) in tables else 1.0
                nn.init.normal_(parameter, std=scale / math.sqrt(parameter.shape[1]))

    def forward(self, input_ids: Tensor, document_ids: Tensor | None = None) -> Tensor:
        """Map token ids ``(B, T)`` to logits ``(B, T, vocab_size)``.

        With ``document_ids``, ``(B, T)``, a token sees only those of its own document, and positions count from the
        document's beginning.
        """
        length = input_ids.shape[1]
        x = self.tokens(input_ids)
        for distance, table in enumerate(self.before, start=1):
            x = x + table(self.earlier(input_ids, distance, document_ids))
        if self.config.trigrams:
            key = input_ids
            for distance in (1, 2):
                key = key * (self.config.vocab_size + 1) + self.earlier(input_ids, distance, document_ids)
            x = x + self.widen(self.trigrams((key * 2654435761 >> 7) % self.config.trigrams))  # Knuth's multiplier
        rotation = seen = None
        if document_ids is not None:
            seen = (document_ids[:, :, None] == document_ids[:, None, :]).tril()[:, None]
        if self.positions is not None:
            x = x + (self.positions[:length] if seen is None else self.positions[seen.sum(-1)[:, 0] - 1])
        else:
            if length > self.rotation.shape[1]:
                self.rotation = rotation_table(length, self.config.n_embd // self.config.n_head).to(x.device)
            rotation = self.rotation[:, :length]  # of distances: where a document begins makes no difference
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, rotation, seen)
        logits: Tensor = self.output(self.norm(x))
        return logits

    def earlier(self, input_ids: Tensor, distance: int, document_ids: Tensor | None) -> Tensor:
        """Return the token some places before each one, ``vocab_size`` where its document has not begun there."""
        none, length = self.config.vocab_size, input_ids.shape[1]
        moved = F.pad(input_ids, (distance, 0), value=none)[:, :length]
        if document_ids is not None:
            is_other = document_ids != F.pad(document_ids, (distance, 0), value=-1)[:, :length]
            moved = moved.masked_fill(is_other, none)
        return moved


def rotation_table(length: int, width: int) -> Tensor:
    """Return cosines and signed sines of rotary positions (arXiv 2104.09864), ``(2, length, 1, 1, width)``."""
    frequency = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    angle = torch.outer(torch.arange(length, dtype=torch.float32), frequency)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack((torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)))[:, :, None, None]


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn pairs of features of ``(B, T, 2, heads, width)`` by the angle of their position."""
    cos, sin = rotation
    left, right = x.chunk(2, dim=-1)
    turned: Tensor = x * cos + torch.cat((right, left), dim=-1) * sin
    return turned.type_as(x)


def build_model(config: dict[str, Any]) -> GPT:
    """Build the model from the content of config.json; names that are not sizes of it are ignored."""
    known = {field.name for field in fields(GPTConfig)}
    return GPT(GPTConfig(**{name: value for name, value in config.items() if name in known}))
