"""A vision transformer from one dictionary of sizes; it returns the logits and the attention maps."""

import torch
from torch import nn


class PatchEmbeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.num_patches = (config["image_size"] // config["patch_size"]) ** 2
        self.projection = nn.Conv2d(
            config["num_channels"], config["hidden_size"], kernel_size=config["patch_size"], stride=config["patch_size"]
        )

    def forward(self, x):
        return self.projection(x).flatten(2).transpose(1, 2)


class ViTForClassfication(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.patch_embeddings = PatchEmbeddings(config)
        self.position_embeddings = nn.Parameter(
            torch.randn(1, self.patch_embeddings.num_patches, config["hidden_size"])
        )
        self.encoder = nn.MultiheadAttention(config["hidden_size"], config["num_attention_heads"], batch_first=True)
        self.classifier = nn.Linear(config["hidden_size"], config["num_classes"])

    def forward(self, x, output_attentions=False):
        h = self.patch_embeddings(x) + self.position_embeddings
        mixed, maps = self.encoder(h, h, h)
        logits = self.classifier((h + mixed).mean(1))
        return (logits, maps) if output_attentions else (logits, None)
