"""Small models of each kind."""

import torch
from torch import nn

from tb_widgets.spec import ModelSpec

VOCAB, WIDTH = 40, 16
MLM = ModelSpec(task="masked-lm")


class Net(nn.Module):
    """A table, one layer of attention or none, and a head."""

    def __init__(self, *, vocab=VOCAB, out=VOCAB, longest=32, causal=True, batch_first=True):
        super().__init__()
        self.wte = nn.Embedding(vocab, WIDTH)
        self.wpe = nn.Embedding(longest, WIDTH)
        self.layer = nn.TransformerEncoderLayer(WIDTH, 2, 32, dropout=0.0, batch_first=batch_first)
        self.head = nn.Linear(WIDTH, out)
        self.causal = causal

    def body(self, ids, padding=None):
        length = ids.shape[1]
        seen = torch.ones(length, length, dtype=torch.bool).triu(1) if self.causal else None
        h = self.wte(ids) + self.wpe(torch.arange(length, device=ids.device))
        return self.layer(h, src_mask=seen, src_key_padding_mask=padding)


class GPT(Net):
    def forward(self, input_ids):
        return self.head(self.body(input_ids))


class Bert(Net):
    def __init__(self, **sizes):
        super().__init__(causal=False, **sizes)

    def forward(self, input_ids, attention_mask=None):
        padding = None if attention_mask is None else attention_mask == 0
        return self.head(self.body(input_ids, padding))


class Classifier(Net):
    def __init__(self, **sizes):
        super().__init__(causal=False, out=3, **sizes)

    def forward(self, input_ids, attention_mask=None):
        padding = None if attention_mask is None else attention_mask == 0
        h = self.body(input_ids, padding)
        if attention_mask is None:
            return self.head(h.mean(1))
        weight = attention_mask.float()[..., None]
        return self.head((h * weight).sum(1) / weight.sum(1))


class Translator(nn.Module):
    def __init__(self, causal=True):
        super().__init__()
        self.source, self.target = nn.Embedding(50, WIDTH), nn.Embedding(30, WIDTH)
        self.core = nn.Transformer(WIDTH, 2, 1, 1, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(WIDTH, 30)
        self.causal = causal

    def forward(self, src, tgt, src_key_padding_mask=None):
        length = tgt.shape[1]
        seen = torch.ones(length, length, dtype=torch.bool).triu(1) if self.causal else None
        h = self.core(
            self.source(src),
            self.target(tgt),
            tgt_mask=seen,
            src_key_padding_mask=src_key_padding_mask,
            memory_key_padding_mask=src_key_padding_mask,
        )
        return self.head(h)


class Eyes(nn.Module):
    def __init__(self, size=12, channels=1):
        super().__init__()
        self.image_size = size
        self.patch = nn.Conv2d(channels, WIDTH, 4, 4)
        self.pos = nn.Parameter(torch.randn(1, (size // 4) ** 2, WIDTH))
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, pixel_values):
        h = self.patch(pixel_values).flatten(2).transpose(1, 2) + self.pos
        return {"logits": self.head(torch.tanh(h).mean(1))}
