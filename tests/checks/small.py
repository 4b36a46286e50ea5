"""A small healthy transformer whose parts can be exchanged one by one, and the adapters of all tasks."""

from __future__ import annotations

import math

import torch
from torch import nn

from tb_widgets.models.adapter import Adapter
from tb_widgets.models.load import LoadedModel

torch.set_num_threads(1)

VOCABULARY, WIDTH, HEADS, LONGEST, CLASSES = 40, 32, 2, 64, 3


class Block(nn.Module):
    """Pre-norm attention and MLP; ``causal`` hides later tokens."""

    def __init__(self, causal=True):
        super().__init__()
        self.causal = causal
        self.norm_1, self.norm_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.output = nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def hide(self, scores):
        """Mask scores ``(B, heads, T, T)``."""
        if not self.causal:
            return scores
        return scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)

    def weigh(self, scores):
        return scores.softmax(-1)

    def attend(self, x):
        batch, length, _ = x.shape
        q, k, v = (
            part(x).view(batch, length, HEADS, -1).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        weights = self.weigh(self.hide(q @ k.transpose(-2, -1) / math.sqrt(WIDTH // HEADS)))
        return self.output((weights @ v).transpose(1, 2).reshape(batch, length, WIDTH))

    def feed(self, x):
        return self.down(nn.functional.gelu(self.up(x)))

    def forward(self, x):
        x = x + self.attend(self.norm_1(x))
        return x + self.feed(self.norm_2(x))


class Small(nn.Module):
    """A language model; subclasses exchange ``block``, or wrap what goes in (``before``) and out (``after``)."""

    task, block = "causal-lm", Block
    limit = LONGEST

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LONGEST, WIDTH)
        self.blocks = nn.Sequential(self.block(), self.block())
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(WIDTH, VOCABULARY)

    def embed(self, ids):
        return self.table(ids) + self.places(torch.arange(ids.shape[1]))

    def before(self, x):
        return x

    def after(self, x):
        return x

    def forward(self, input_ids):
        x = self.after(self.blocks(self.before(self.embed(input_ids))))
        return self.out(self.norm(x))


class Both(Block):
    """Sees both sides."""

    def __init__(self):
        super().__init__(causal=False)


class Masked(Small):
    """A model for masked tokens."""

    task, block = "masked-lm", Both


class Classifier(Small):
    """Tells texts apart by the mean of their positions."""

    task, block = "sequence-classification", Both

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(WIDTH, CLASSES)

    def forward(self, input_ids):
        return self.out(self.norm(self.after(self.blocks(self.before(self.embed(input_ids)))).mean(1)))


class MaskedMean(nn.Module):
    """Tells texts apart by the mean of their tokens, padding left out."""

    task, limit = "sequence-classification", None

    def __init__(self):
        super().__init__()
        self.table, self.up, self.out = (
            nn.Embedding(VOCABULARY, WIDTH),
            nn.Linear(WIDTH, WIDTH),
            nn.Linear(WIDTH, CLASSES),
        )

    def weight(self, mask):
        return mask.unsqueeze(-1).float()

    def forward(self, input_ids, attention_mask=None):
        weight = self.weight(torch.ones_like(input_ids) if attention_mask is None else attention_mask)
        x = self.up(self.table(input_ids).cumsum(1) / 4).tanh()
        return self.out((x * weight).sum(1) / weight.sum(1))


def loaded(module: nn.Module, adapter: Adapter | None = None) -> LoadedModel:
    """A model with the adapter that its class asks for."""
    if adapter is None:
        arguments = {"tokens": "input_ids"} | ({"mask": "attention_mask"} if isinstance(module, MaskedMean) else {})
        classes = CLASSES if module.task == "sequence-classification" else None
        adapter = Adapter(module.task, arguments, vocab_size=VOCABULARY, context_limit=module.limit, classes=classes)
    return LoadedModel(module, adapter, sum(parameter.numel() for parameter in module.parameters()))
