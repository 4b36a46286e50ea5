"""A BERT with a dataclass output and two heads in two classes; config.json says which is meant."""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class BertConfig:
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    num_labels: int = 2


@dataclass
class ModelOutput:
    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None


class BertModel(nn.Module):
    def __init__(self, config: BertConfig):
        super().__init__()
        self.word = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=0)
        self.place = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.kind = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.mix = nn.MultiheadAttention(config.hidden_size, config.num_attention_heads, batch_first=True)
        self.register_buffer("position_ids", torch.arange(config.max_position_embeddings)[None], persistent=False)

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        positions = self.position_ids[:, : input_ids.shape[1]]
        x = self.word(input_ids) + self.place(positions) + self.kind(token_type_ids)
        hidden = (1.0 - attention_mask) * torch.finfo(x.dtype).min
        return x + self.mix(x, x, x, key_padding_mask=hidden, need_weights=False)[0]


class BertForMaskedLM(nn.Module):
    def __init__(self, config: BertConfig):
        super().__init__()
        self.bert = BertModel(config)
        self.cls = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, labels=None):
        return ModelOutput(logits=self.cls(self.bert(input_ids, attention_mask, token_type_ids)))


class BertForSequenceClassification(nn.Module):
    def __init__(self, config: BertConfig):
        super().__init__()
        self.bert = BertModel(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, labels=None):
        return ModelOutput(logits=self.classifier(self.bert(input_ids, attention_mask, token_type_ids)[:, 0]))
