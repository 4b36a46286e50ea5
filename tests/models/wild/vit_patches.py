"""A vision transformer that flattens patches without a convolution."""

import torch
from torch import nn


def pair(t):
    return t if isinstance(t, tuple) else (t, t)


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mix = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(self, x):
        h = self.norm(x)
        return self.mix(h, h, h, need_weights=False)[0]


class ViT(nn.Module):
    def __init__(self, *, image_size, patch_size, num_classes, dim, depth, heads, mlp_dim, channels=3):
        super().__init__()
        height, width = pair(image_size)
        self.p = patch_size
        self.to_patch_embedding = nn.Linear(channels * patch_size**2, dim)
        patches = (height // patch_size) * (width // patch_size)
        self.pos_embedding = nn.Parameter(torch.randn(1, patches + 1, dim))
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.layers = nn.ModuleList([Attention(dim, heads) for _ in range(depth)])
        self.mlp_head = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, mlp_dim), nn.GELU(), nn.Linear(mlp_dim, num_classes)
        )

    def forward(self, img):
        b, c, h, w = img.shape
        p = self.p
        x = img.reshape(b, c, h // p, p, w // p, p).permute(0, 2, 4, 3, 5, 1).reshape(b, -1, p * p * c)
        x = self.to_patch_embedding(x)
        x = torch.cat((self.cls_token.expand(b, -1, -1), x), 1) + self.pos_embedding[:, : x.shape[1] + 1]
        for layer in self.layers:
            x = x + layer(x)
        return self.mlp_head(x[:, 0])
