"""BERT with segment ids: it answers whether the texts follow one another, and which tokens were masked."""

import torch
from torch import nn


class BERTEmbedding(nn.Module):
    def __init__(self, vocab_size, embed_size, max_len=64):
        super().__init__()
        self.token = nn.Embedding(vocab_size, embed_size, padding_idx=0)
        self.segment = nn.Embedding(3, embed_size, padding_idx=0)
        self.position = nn.Parameter(torch.randn(1, max_len, embed_size) * 0.1)

    def forward(self, sequence, segment_label):
        return self.token(sequence) + self.position[:, : sequence.size(1)] + self.segment(segment_label)


class TransformerBlock(nn.Module):
    def __init__(self, hidden, attn_heads):
        super().__init__()
        self.attention = nn.MultiheadAttention(hidden, attn_heads, batch_first=True)
        self.norm = nn.LayerNorm(hidden)
        self.feed_forward = nn.Sequential(nn.Linear(hidden, 4 * hidden), nn.GELU(), nn.Linear(4 * hidden, hidden))

    def forward(self, x):
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return x + self.feed_forward(self.norm(x))


class BERT(nn.Module):
    """Bidirectional Encoder Representations from Transformers."""

    def __init__(self, vocab_size, hidden=32, n_layers=2, attn_heads=4):
        super().__init__()
        self.hidden = hidden
        self.embedding = BERTEmbedding(vocab_size=vocab_size, embed_size=hidden)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(hidden, attn_heads) for _ in range(n_layers)])

    def forward(self, x, segment_info):
        x = self.embedding(x, segment_info)
        for block in self.transformer_blocks:
            x = block(x)
        return x


class NextSentencePrediction(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.linear = nn.Linear(hidden, 2)

    def forward(self, x):
        return self.linear(x[:, 0]).log_softmax(-1)


class MaskedLanguageModel(nn.Module):
    def __init__(self, hidden, vocab_size):
        super().__init__()
        self.linear = nn.Linear(hidden, vocab_size)

    def forward(self, x):
        return self.linear(x).log_softmax(-1)


class BERTLM(nn.Module):
    def __init__(self, bert: BERT, vocab_size):
        super().__init__()
        self.bert = bert
        self.next_sentence = NextSentencePrediction(bert.hidden)
        self.mask_lm = MaskedLanguageModel(bert.hidden, vocab_size)

    def forward(self, x, segment_label):
        x = self.bert(x, segment_label)
        return self.next_sentence(x), self.mask_lm(x)
