"""An image classifier that reads an image as a row of patches: ViT (Dosovitskiy et al., 2020, arXiv 2010.11929).

Each patch becomes one vector, positions are learned, and the class is read from the mean of all vectors: without the
paper's class vector, which learns more slowly (arXiv 2205.01580). Layers that write into the residual stream start at
zero. This file needs torch only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True)
class ViTConfig:
    """Sizes. Images are ``(channels, image_size, image_size)``; ``patch_size`` divides ``image_size``."""

    channels: int = 1
    image_size: int = 32
    patch_size: int = 4
    classes: int = 4
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    mlp_ratio: int = 4
    dropout: float = 0.0


class Attention(nn.Module):
    """Self-attention among patches, all heads in one matrix product."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, N, C)`` to ``(B, N, C)``."""
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.n_head, width // self.n_head).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        out: Tensor = self.proj(y.transpose(1, 2).reshape(batch, length, width))
        return out


class Block(nn.Module):
    """Attention, then an MLP, each on a normalised copy of the residual stream."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        hidden = config.mlp_ratio * config.n_embd
        self.norm_1 = nn.LayerNorm(config.n_embd)
        self.attention = Attention(config)
        self.norm_2 = nn.LayerNorm(config.n_embd)
        self.up = nn.Linear(config.n_embd, hidden)
        self.down = nn.Linear(hidden, config.n_embd)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, N, C)`` to ``(B, N, C)``."""
        x = x + self.dropout(self.attention(self.norm_1(x)))
        out: Tensor = x + self.dropout(self.down(F.gelu(self.up(self.norm_2(x)))))
        return out


class ViT(nn.Module):
    """An image classifier: images ``(B, channels, H, W)`` in, logits ``(B, classes)`` out."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        patches = (config.image_size // config.patch_size) ** 2
        self.patches = nn.Conv2d(config.channels, config.n_embd, config.patch_size, stride=config.patch_size)
        self.positions = nn.Parameter(torch.empty(patches, config.n_embd))
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(config.n_embd)
        self.head = nn.Linear(config.n_embd, config.classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh weights: 1 / sqrt(inputs), the table half, zero for the head and where a layer writes."""
        for name, parameter in self.named_parameters():
            if name.endswith(("bias", "proj.weight", "down.weight", "head.weight")):
                nn.init.zeros_(parameter)
            elif parameter is self.positions:
                nn.init.normal_(parameter, std=0.5 / math.sqrt(parameter.shape[1]))
            elif parameter.dim() > 1:
                nn.init.normal_(parameter, std=1 / math.sqrt(parameter[0].numel()))

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Map images ``(B, channels, H, W)`` to logits ``(B, classes)``."""
        x = self.patches(pixel_values).flatten(2).transpose(1, 2)
        x = self.dropout(x + self.positions)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x).mean(dim=1))
        return logits


def build_model(config: dict[str, Any]) -> ViT:
    """Build the model from the content of config.json; names that are not sizes of it are ignored."""
    known = {field.name for field in fields(ViTConfig)}
    return ViT(ViTConfig(**{name: value for name, value in config.items() if name in known}))
