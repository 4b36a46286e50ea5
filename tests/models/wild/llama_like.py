"""A llama with rotary positions in a plain tensor, and a starting position that must be given."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class ModelArgs:
    dim: int = 4096
    n_layers: int = 32
    n_heads: int = 32
    n_kv_heads: int | None = None
    vocab_size: int = -1  # defined later by tokenizer
    multiple_of: int = 256
    norm_eps: float = 1e-5
    max_batch_size: int = 32
    max_seq_len: int = 2048


def precompute_freqs_cis(dim: int, end: int, theta: float = 10000.0):
    freqs = 1.0 / (theta ** (torch.arange(0, dim, 2).float() / dim))
    freqs = torch.outer(torch.arange(end), freqs)
    return torch.polar(torch.ones_like(freqs), freqs)


def apply_rotary_emb(x, freqs_cis):
    x_ = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    assert freqs_cis.shape == (x_.shape[1], x_.shape[-1])
    return torch.view_as_real(x_ * freqs_cis[None, :, None]).flatten(3).type_as(x)


class Attention(nn.Module):
    def __init__(self, args: ModelArgs):
        super().__init__()
        self.n_kv_heads = args.n_heads if args.n_kv_heads is None else args.n_kv_heads
        self.n_heads, self.head_dim = args.n_heads, args.dim // args.n_heads
        self.wq = nn.Linear(args.dim, args.n_heads * self.head_dim, bias=False)
        self.wk = nn.Linear(args.dim, self.n_kv_heads * self.head_dim, bias=False)
        self.wv = nn.Linear(args.dim, self.n_kv_heads * self.head_dim, bias=False)
        self.wo = nn.Linear(args.n_heads * self.head_dim, args.dim, bias=False)

    def forward(self, x, start_pos: int, freqs_cis, mask: torch.Tensor | None):
        b, t, _ = x.shape
        xq = apply_rotary_emb(self.wq(x).view(b, t, self.n_heads, -1), freqs_cis)
        xk = apply_rotary_emb(self.wk(x).view(b, t, self.n_kv_heads, -1), freqs_cis)
        xv = self.wv(x).view(b, t, self.n_kv_heads, -1)
        repeat = self.n_heads // self.n_kv_heads
        xk, xv = xk.repeat_interleave(repeat, 2), xv.repeat_interleave(repeat, 2)
        scores = xq.transpose(1, 2) @ xk.transpose(1, 2).transpose(2, 3) / self.head_dim**0.5
        if mask is not None:
            scores = scores + mask
        return self.wo((F.softmax(scores, -1) @ xv.transpose(1, 2)).transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    def __init__(self, layer_id: int, args: ModelArgs):
        super().__init__()
        self.attention = Attention(args)
        self.w1, self.w2 = nn.Linear(args.dim, args.dim * 2), nn.Linear(args.dim * 2, args.dim)
        self.norm = nn.RMSNorm(args.dim, eps=args.norm_eps)

    def forward(self, x, start_pos, freqs_cis, mask):
        h = x + self.attention(self.norm(x), start_pos, freqs_cis, mask)
        return h + self.w2(F.silu(self.w1(h)))


class Transformer(nn.Module):
    def __init__(self, params: ModelArgs):
        super().__init__()
        self.tok_embeddings = nn.Embedding(params.vocab_size, params.dim)
        self.layers = nn.ModuleList([TransformerBlock(i, params) for i in range(params.n_layers)])
        self.output = nn.Linear(params.dim, params.vocab_size, bias=False)
        self.freqs_cis = precompute_freqs_cis(params.dim // params.n_heads, params.max_seq_len * 2)

    def forward(self, tokens: torch.Tensor, start_pos: int):
        _bsz, seqlen = tokens.shape
        h = self.tok_embeddings(tokens)
        freqs_cis = self.freqs_cis.to(h.device)[start_pos : start_pos + seqlen]
        mask = None
        if seqlen > 1:
            mask = torch.triu(torch.full((seqlen, seqlen), float("-inf"), device=tokens.device), diagonal=1)
        for layer in self.layers:
            h = layer(h, start_pos, freqs_cis, mask)
        return self.output(h).float()
