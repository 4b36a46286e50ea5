"""A recurrent model with time mixing, its sizes in a namespace, and a length that it asserts."""

from types import SimpleNamespace

import torch
from torch import nn


class TimeMix(nn.Module):
    def __init__(self, args: SimpleNamespace):
        super().__init__()
        self.decay = nn.Parameter(torch.linspace(-4.0, 1.0, args.n_embd))
        self.mix = nn.Parameter(torch.full((args.n_embd,), 0.5))
        self.key = nn.Linear(args.n_embd, args.n_embd, bias=False)
        self.value = nn.Linear(args.n_embd, args.n_embd, bias=False)
        self.gate = nn.Linear(args.n_embd, args.n_embd, bias=False)
        self.output = nn.Linear(args.n_embd, args.n_embd, bias=False)
        nn.init.zeros_(self.output.weight)

    def forward(self, x):
        before = torch.cat((torch.zeros_like(x[:, :1]), x[:, :-1]), 1)
        h = x * self.mix + before * (1 - self.mix)
        k, v = self.key(h).clamp(max=10).exp(), self.value(h)
        decay = torch.exp(-self.decay.exp())
        top, bottom, out = torch.zeros_like(v[:, 0]), torch.zeros_like(v[:, 0]), []
        for t in range(x.shape[1]):
            top, bottom = decay * top + k[:, t] * v[:, t], decay * bottom + k[:, t]
            out.append(top / bottom)
        return self.output(torch.stack(out, 1) * self.gate(h).sigmoid())


class RWKV(nn.Module):
    def __init__(self, args: SimpleNamespace):
        super().__init__()
        self.args = args
        self.emb = nn.Embedding(args.vocab_size, args.n_embd)
        self.blocks = nn.ModuleList([TimeMix(args) for _ in range(args.n_layer)])
        self.norm = nn.LayerNorm(args.n_embd)
        self.head = nn.Linear(args.n_embd, args.vocab_size, bias=False)

    def forward(self, idx):
        _, T = idx.size()
        assert self.args.ctx_len >= T, "Cannot forward, because len(input) > model ctx_len."
        x = self.emb(idx)
        for block in self.blocks:
            x = x + block(x)
        return self.head(self.norm(x))
