"""An encoder that fills in hidden words, or tells texts apart: BERT (Devlin et al., 2018, arXiv 1810.04805).

Every position sees every other one; learned positions, GELU, output layer tied to the token embedding. Other than in
the paper, layers are normalised before and not after (arXiv 2002.04745), which needs no long warm-up; there are no
segment embeddings, since nothing here is asked about two sentences; and a class is told from the mean over all places
and not from the first one, which learns sooner without pretraining. This file needs torch only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True)
class BertConfig:
    """Sizes. At most ``context_length`` tokens are read; with ``classes`` the model tells so many apart."""

    vocab_size: int
    context_length: int
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    mlp_ratio: int = 4
    dropout: float = 0.0
    classes: int | None = None


class Attention(nn.Module):
    """Self-attention in both directions, all heads in one matrix product."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        """Map ``(B, T, C)`` to ``(B, T, C)``; ``seen`` is ``(B, 1, 1, T)``, False at padding."""
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.n_head, width // self.n_head).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=dropout)
        out: Tensor = self.proj(y.transpose(1, 2).reshape(batch, length, width))
        return out


class Block(nn.Module):
    """Attention, then an MLP, each on a normalised copy of the residual stream."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        hidden = config.mlp_ratio * config.n_embd
        self.norm_1 = nn.LayerNorm(config.n_embd)
        self.attention = Attention(config)
        self.norm_2 = nn.LayerNorm(config.n_embd)
        self.up = nn.Linear(config.n_embd, hidden)
        self.down = nn.Linear(hidden, config.n_embd)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        """Map ``(B, T, C)`` to ``(B, T, C)``."""
        x = x + self.dropout(self.attention(self.norm_1(x), seen))
        out: Tensor = x + self.dropout(self.down(F.gelu(self.up(self.norm_2(x)))))
        return out


class Bert(nn.Module):
    """Token ids ``(B, T)`` in, a guess for every place out, ``(B, T, vocab_size)``, or one a text, ``(B, classes)``."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.n_embd)
        self.positions = nn.Parameter(torch.empty(config.context_length, config.n_embd))
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(config.n_embd)
        self.tells_classes = config.classes is not None
        self.output = nn.Linear(config.n_embd, config.classes or config.vocab_size)
        if not self.tells_classes:
            self.output.weight = self.tokens.weight
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh weights: 1 / sqrt(inputs), tables half of that, zero where a layer writes into the stream."""
        tables = {id(self.tokens.weight), id(self.positions)}
        for name, parameter in self.named_parameters():
            if name.endswith(("bias", "proj.weight", "down.weight")):
                nn.init.zeros_(parameter)
            elif parameter.dim() > 1:
                scale = 0.5 if id(parameter) in tables else 1.0
                nn.init.normal_(parameter, std=scale / math.sqrt(parameter.shape[1]))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Map token ids ``(B, T)`` to logits; the mask ``(B, T)`` is True (or 1) at real tokens."""
        x = self.dropout(self.tokens(input_ids) + self.positions[: input_ids.shape[1]])
        seen = None if attention_mask is None else attention_mask.bool()[:, None, None, :]
        for block in self.blocks:
            x = block(x, seen)
        x = self.norm(x)
        if self.tells_classes:
            real = torch.ones_like(x[..., :1]) if attention_mask is None else attention_mask[..., None].to(x.dtype)
            x = (x * real).sum(1) / real.sum(1).clamp(min=1)
        logits: Tensor = self.output(x)
        return logits


def build_model(config: dict[str, Any]) -> Bert:
    """Build the model from the content of config.json; names that are not sizes of it are ignored."""
    known = {field.name for field in fields(BertConfig)}
    return Bert(BertConfig(**{name: value for name, value in config.items() if name in known}))
