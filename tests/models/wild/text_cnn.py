"""Convolutions over words, the widest of four, and the largest answer of each."""

import torch
import torch.nn.functional as F
from torch import nn


class TextCNN(nn.Module):
    def __init__(self, vocab_size=40, embed_dim=16, num_classes=3, kernel_sizes=(2, 3, 4), channels=8):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, embed_dim)
        self.convs = nn.ModuleList([nn.Conv1d(embed_dim, channels, size) for size in kernel_sizes])
        self.fc = nn.Linear(channels * len(kernel_sizes), num_classes)

    def forward(self, x):
        x = self.embed(x).transpose(1, 2)
        x = torch.cat([F.relu(conv(x)).max(2)[0] for conv in self.convs], 1)
        return self.fc(x)
