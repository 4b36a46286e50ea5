"""A language model that sees what it has to predict is not trained, unless somebody insists."""

from __future__ import annotations

import json

import torch
from torch import nn

from tests.models.broken import ENCODER, TRANSLATOR


class Encoder(nn.Module):
    """A language model in name: its attention has no mask, and its output projection may start at zero."""

    def __init__(self, *, causal: bool, zeros: bool = False) -> None:
        super().__init__()
        self.words = nn.Embedding(256, 16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.output = nn.Linear(16, 256)
        self.causal = causal
        if zeros:
            nn.init.zeros_(self.attention.out_proj.weight)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        x = self.words(input_ids)
        length = input_ids.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool).triu(1) if self.causal else None
        return self.output(x + self.attention(x, x, x, attn_mask=mask, need_weights=False)[0])


CAUSAL = {"model.task": "causal-lm"}


def test_a_leaking_language_model_is_refused_with_three_ways_out(tiny, train):
    for zeros in (False, True):
        status = train(tiny(CAUSAL), Encoder(causal=False, zeros=zeros)).status()
        assert status.state == "failed"
        assert status.message.startswith("The model can see the tokens it has to predict")
        for way in ("no automatic repair", "masked-lm", "model.allow_leak"):
            assert way in status.hint
        assert status.step == 0


def test_the_refusal_names_the_repair_where_there_is_one(tiny, train, tmp_path):
    (tmp_path / "model.py").write_text(ENCODER)
    (tmp_path / "config.json").write_text('{"vocab_size": 256}')
    fields = CAUSAL | {"model.source": str(tmp_path), "model.config": {}, "data.context_length": 16}
    assert "causal-mask in model.repairs" in train(tiny(fields)).status().hint
    assert train(tiny(fields | {"model.repairs": ["causal-mask"]})).status().state == "done"


def test_a_decoder_that_sees_what_it_shall_write_is_refused_too(tiny, train, tmp_path):
    (tmp_path / "model.py").write_text(TRANSLATOR.replace("64)", "300)").replace("(64,", "(300,"))
    (tmp_path / "config.json").write_text("{}")
    fields = {"data.source": "reversed-words", "data.context_length": 64}
    fields |= {"model.source": str(tmp_path), "model.config": {}}
    status = train(tiny(fields)).status()
    assert "no automatic repair fits this code), or set model.allow_leak" in status.hint, status.message


def test_whoever_insists_may_train_it(tiny, train):
    assert train(tiny(CAUSAL | {"model.allow_leak": True}), Encoder(causal=False)).status().state == "done"


def test_a_piece_that_the_model_takes_for_padding_is_told(tiny, train):
    module = Encoder(causal=True)
    module.words.padding_idx = 10
    told = [json.loads(line) for line in train(tiny(CAUSAL), module).events_file.read_text().splitlines()]
    assert [e["message"] for e in told if e["kind"] == "warning"] == [
        "The model treats token 10 as padding and never learns it, but in the tokenizer it is "
        "'\\n'. Remove padding_idx from model.py."
    ]


def test_the_same_model_with_its_mask_is_trained(tiny, train):
    run = train(tiny(CAUSAL), Encoder(causal=True, zeros=True))
    assert run.status().state == "done", run.status().message
    assert not [e for e in map(json.loads, run.events_file.read_text().splitlines()) if e["kind"] == "warning"]


def test_the_test_changes_neither_weights_nor_chance(tiny, train):
    """With and without it, a run begins with the same weights and draws the same dropout."""
    one, other = (train(tiny({"model.allow_leak": allow})) for allow in (False, True))
    assert one.metrics_file.exists()
    figures = [
        [line.get("train/loss") for line in map(json.loads, run.metrics_file.read_text().splitlines())]
        for run in (one, other)
    ]
    assert figures[0] == figures[1]
