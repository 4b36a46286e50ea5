"""A T5 with relative positions, a shared table, and a config class with an initialiser."""

import torch
from torch import nn


class T5Config:
    def __init__(self, vocab_size=32128, d_model=512, num_heads=8, num_layers=6, num_buckets=8, **kwargs):
        self.vocab_size = vocab_size
        self.d_model = d_model
        self.num_heads = num_heads
        self.num_layers = num_layers
        self.num_buckets = num_buckets


class T5Attention(nn.Module):
    def __init__(self, config, causal):
        super().__init__()
        self.h, self.causal, self.buckets = config.num_heads, causal, config.num_buckets
        self.q, self.k, self.v, self.o = (nn.Linear(config.d_model, config.d_model, bias=False) for _ in range(4))
        self.bias = nn.Embedding(2 * config.num_buckets + 1, config.num_heads)

    def forward(self, x, memory, mask=None):
        b, t, d = x.shape
        s = memory.shape[1]
        q, k, v = (
            f(y).view(b, -1, self.h, d // self.h).transpose(1, 2)
            for f, y in ((self.q, x), (self.k, memory), (self.v, memory))
        )
        distance = torch.arange(s, device=x.device)[None] - torch.arange(t, device=x.device)[:, None]
        bias = self.bias(distance.clamp(-self.buckets, self.buckets) + self.buckets).permute(2, 0, 1)
        scores = q @ k.transpose(-2, -1) + bias
        if self.causal:
            scores = scores.masked_fill(distance > 0, torch.finfo(scores.dtype).min)
        if mask is not None:
            scores = scores + (1.0 - mask[:, None, None, :]) * torch.finfo(scores.dtype).min
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, d))


class T5ForConditionalGeneration(nn.Module):
    def __init__(self, config: T5Config):
        super().__init__()
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder = T5Attention(config, causal=False)
        self.decoder = T5Attention(config, causal=True)
        self.cross = T5Attention(config, causal=False)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)

    def forward(self, input_ids=None, attention_mask=None, decoder_input_ids=None, labels=None):
        x = self.shared(input_ids)
        memory = x + self.encoder(x, x, attention_mask)
        y = self.shared(decoder_input_ids)
        y = y + self.decoder(y, y)
        y = y + self.cross(y, memory, attention_mask)
        logits = self.lm_head(y)
        loss = None
        if labels is not None:
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return {"loss": loss, "logits": logits}
