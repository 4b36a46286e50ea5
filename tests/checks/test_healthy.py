"""Healthy models of every kind get no failed verdict."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tb_widgets.checks.run import run_checks
from tb_widgets.models.adapter import Adapter
from tb_widgets.models.load import build
from tb_widgets.models.sources.resolve import resolve
from tb_widgets.models.zoo import sizes
from tb_widgets.spec import ModelSpec
from tests.checks.faulty.tier_1 import SEQ2SEQ, Translator
from tests.checks.small import CLASSES, LONGEST, VOCABULARY, WIDTH, Classifier, Masked, MaskedMean, Small, loaded

CAUSAL = {"tokens": ""}


def causal(**more):
    return Adapter("causal-lm", CAUSAL | more.pop("arguments", {}), vocab_size=VOCABULARY, **more)


class PlainTransformer(nn.Module):
    """``nn.TransformerEncoder`` with a causal mask, post-norm as it comes, or pre-norm."""

    def __init__(self, norm_first=False, tied=False, sinusoids=True):
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 64, batch_first=True, norm_first=norm_first)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(WIDTH, VOCABULARY, bias=not tied)
        if tied:
            self.out.weight = self.table.weight
        angle = torch.arange(512)[:, None] / 10000 ** (torch.arange(0, WIDTH, 2) / WIDTH)
        self.register_buffer("pe", torch.cat((angle.sin(), angle.cos()), 1))

    def forward(self, x):
        length = x.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        x = self.table(x) * math.sqrt(WIDTH) + self.pe[:length]
        return self.out(self.norm(self.body(x, mask=mask, is_causal=True)))


class Recurrent(nn.Module):
    """An LSTM or GRU language model: returns its state as well."""

    def __init__(self, kind):
        super().__init__()
        self.table, self.body = nn.Embedding(VOCABULARY, WIDTH), kind(WIDTH, WIDTH, 2, batch_first=True, dropout=0.1)
        self.out = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, x, hidden=None):
        y, hidden = self.body(self.table(x), hidden)
        return self.out(y), hidden


class Forwarded(Small):
    """Signature and output of Hugging Face's models; weights normal with 0.02, biases zero, tied."""

    def __init__(self):
        super().__init__()
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)
            elif "norm" not in name:
                nn.init.zeros_(parameter)
        self.out.weight = self.table.weight

    def forward(self, input_ids=None, attention_mask=None, labels=None, **kwargs):
        logits = super().forward(input_ids)
        loss = None if labels is None else nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return SimpleNamespace(loss=loss, logits=logits)


class LastOnly(Small):
    """All logits only when it is told the targets, else the last position's; output layer begins at zero."""

    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, idx, targets=None):
        if targets is None:
            return super().forward(idx)[:, [-1]], None
        logits = super().forward(idx)
        return logits, nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


class Export(nn.Module):
    """The documented export, with the mask that it ought to have, and biases without gradient by nature."""

    def __init__(self):
        super().__init__()
        self.embedding_0_token, self.embedding_0_pos = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LONGEST, WIDTH)
        self.mhsa_0 = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.layernorm_0, self.layernorm_1 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.ffn_0 = nn.Sequential(nn.Linear(WIDTH, 64), nn.GELU(), nn.Linear(64, WIDTH))
        self.output_0 = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, input_0_tokens, attention_mask=None):
        length = input_0_tokens.shape[1]
        x = self.embedding_0_token(input_0_tokens) + self.embedding_0_pos(torch.arange(length))
        hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
        padding = None if attention_mask is None else attention_mask.logical_not()
        y, _ = self.mhsa_0(x, x, x, attn_mask=hidden, key_padding_mask=padding, need_weights=False)
        x = self.layernorm_0(x + y)
        return {"logits": self.output_0(self.layernorm_1(x + self.ffn_0(x)))}


class Bert(nn.Module):
    """Encoder with padding mask as ``nn.Transformer`` wants it (True = padding); masked tokens or classes."""

    def __init__(self, answers, classify):
        super().__init__()
        self.classify = classify
        self.table, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LONGEST, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 64, batch_first=True, activation="gelu")
        self.body = nn.TransformerEncoder(layer, 2)
        self.head = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Dropout(0.1), nn.Linear(WIDTH, answers))

    def forward(self, input_ids, padding=None):
        x = self.table(input_ids) + self.places(torch.arange(input_ids.shape[1]))
        x = self.body(x, src_key_padding_mask=padding)
        return self.head(x[:, 0] if self.classify else x)


class Vision(nn.Module):
    """A small ViT: patches by convolution, a class token that begins at zero."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 8, 8)
        self.cls, self.pos = nn.Parameter(torch.zeros(1, 1, WIDTH)), nn.Parameter(torch.randn(1, 17, WIDTH) * 0.02)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 64, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, pixel_values):
        x = self.patches(pixel_values).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls.expand(len(x), -1, -1), x), 1) + self.pos
        return self.head(self.body(x)[:, 0])


class Convolution(nn.Module):
    """A convolutional image classifier with batch norm: no attention at all."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(4)
        )
        self.head = nn.Linear(256, 4)

    def forward(self, x):
        return self.head(self.body(x).flatten(1))


class StateSpace(nn.Module):
    """A state-space language model: a recurrence with decays that are kept as logarithms."""

    def __init__(self):
        super().__init__()
        self.table, self.norm = nn.Embedding(VOCABULARY, WIDTH), nn.LayerNorm(WIDTH)
        self.A_log = nn.Parameter(torch.arange(1, 9).float().repeat(WIDTH, 1).log())
        self.D = nn.Parameter(torch.ones(WIDTH))
        self.inputs, self.out = nn.Linear(WIDTH, 17), nn.Linear(WIDTH, VOCABULARY)

    def forward(self, x):
        x = self.table(x)
        step, b, c = self.inputs(self.norm(x)).split((1, 8, 8), -1)
        step = nn.functional.softplus(step)
        state, outputs = torch.zeros(len(x), WIDTH, 8), []
        for t in range(x.shape[1]):
            decay = (-step[:, t, :, None] * self.A_log.exp()).exp()
            state = state * decay + (step[:, t] * x[:, t])[..., None] * b[:, t, None]
            outputs.append((state * c[:, t, None]).sum(-1))
        return self.out(self.norm(x + torch.stack(outputs, 1) + self.D * x))


class TiedNormal(Small):
    """Tied to a table that PyTorch fills with a standard normal: it guesses wildly at first, then learns."""

    def __init__(self):
        super().__init__()
        self.out.weight = self.table.weight


class RelativePlaces(Small):
    """Has a small table of relative places, as T5 does, with PyTorch's own first values: 128 of them, mean 0.23."""

    def __init__(self):
        super().__init__()
        self.relative = nn.Embedding(64, 2)
        with torch.no_grad():
            self.relative.weight += 0.23 - self.relative.weight.mean()

    def before(self, x):
        return x + self.relative(torch.arange(x.shape[1])).repeat(1, WIDTH // 2)


class SmallTable(Small):
    """Begins as RWKV does: a table of values within 0.0001, and a norm behind it."""

    def __init__(self):
        super().__init__()
        nn.init.uniform_(self.table.weight, -1e-4, 1e-4)
        self.first_norm = nn.LayerNorm(WIDTH)

    def embed(self, ids):
        return self.first_norm(self.table(ids)) + self.places(torch.arange(ids.shape[1]))


class WithPooler(Masked):
    """Runs a pooler whose output nobody takes, as nearly every BERT for masked tokens does."""

    def __init__(self):
        super().__init__()
        self.pooler = nn.Linear(WIDTH, WIDTH)

    def after(self, x):
        torch.tanh(self.pooler(x[:, 0]))
        return super().after(x)


class TwoHeads(Masked):
    """Says whether the next sentence follows, beside the logits of every token; all is of the padding's segment."""

    def __init__(self):
        super().__init__()
        self.next_sentence = nn.Linear(WIDTH, 2)
        self.segment = nn.Embedding(3, WIDTH, padding_idx=0)

    def forward(self, input_ids):
        x = self.blocks(self.embed(input_ids) + self.segment(torch.zeros_like(input_ids)))
        return self.next_sentence(x[:, 0]).log_softmax(-1), self.out(self.norm(x)).log_softmax(-1)


class WithValues(Small):
    """A language model that gives each place a value beside its logits."""

    def __init__(self):
        super().__init__()
        self.value_head = nn.Linear(WIDTH, 1)

    def forward(self, input_ids):
        x = self.blocks(self.embed(input_ids))
        return self.out(self.norm(x)), self.value_head(x)


VISION = Adapter("vision-classification", {"images": ""}, classes=4, image=(3, 32, 32))
GREY = Adapter("vision-classification", {"images": ""}, classes=4, image=(1, 28, 28))
CLASSIFY = Adapter(
    "sequence-classification",
    {"tokens": "input_ids", "mask": "padding"},
    mask="drop",
    vocab_size=VOCABULARY,
    context_limit=LONGEST,
    classes=CLASSES,
)
MLM = Adapter(
    "masked-lm",
    {"tokens": "input_ids", "mask": "padding"},
    mask="drop",
    vocab_size=VOCABULARY,
    context_limit=LONGEST,
)
SECOND_OUTPUT = Adapter("masked-lm", {"tokens": "input_ids"}, vocab_size=VOCABULARY, context_limit=LONGEST, output=1)

HEALTHY = {
    "our test's GPT": lambda: loaded(Small()),
    "our test's BERT": lambda: loaded(Masked()),
    "our test's classifier": lambda: loaded(Classifier()),
    "masked mean": lambda: loaded(MaskedMean()),
    "post-norm": lambda: loaded(PlainTransformer(), causal(context_limit=512)),
    "pre-norm": lambda: loaded(PlainTransformer(norm_first=True), causal(context_limit=512)),
    "pre-norm, tied": lambda: loaded(PlainTransformer(norm_first=True, tied=True), causal(context_limit=512)),
    "LSTM": lambda: loaded(Recurrent(nn.LSTM), causal()),
    "GRU": lambda: loaded(Recurrent(nn.GRU), causal()),
    "state space": lambda: loaded(StateSpace(), causal()),
    "Hugging Face's signature": lambda: loaded(
        Forwarded(),
        Adapter("causal-lm", {"tokens": "input_ids"}, vocab_size=VOCABULARY, context_limit=LONGEST),
    ),
    "logits with targets only": lambda: loaded(
        LastOnly(),
        Adapter("causal-lm", {"tokens": "idx", "labels": "targets"}, vocab_size=VOCABULARY, context_limit=LONGEST),
    ),
    "export with a mask": lambda: loaded(Export(), causal(context_limit=LONGEST, arguments={"mask": "attention_mask"})),
    "BERT for masked tokens": lambda: loaded(Bert(VOCABULARY, classify=False), MLM),
    "BERT for classes": lambda: loaded(Bert(CLASSES, classify=True), CLASSIFY),
    "encoder-decoder": lambda: loaded(Translator(causal=True), SEQ2SEQ),
    "ViT": lambda: loaded(Vision(), VISION),
    "convolutions": lambda: loaded(Convolution(), GREY),
    "tied to a standard normal": lambda: loaded(TiedNormal()),
    "a table of relative places": lambda: loaded(RelativePlaces()),
    "a small table and a norm": lambda: loaded(SmallTable()),
    "a pooler that nobody asks": lambda: loaded(WithPooler()),
    "two heads of a BERT": lambda: loaded(TwoHeads(), SECOND_OUTPUT),
    "a head for values": lambda: loaded(WithValues()),
}
MAY_WARN = {
    "a small table and a norm": {"initialisation"},
    "a pooler that nobody asks": {"gradients"},
    "two heads of a BERT": {"gradients"},
    "a head for values": {"gradients"},
    "tied to a standard normal": {"initialisation"},
    "pre-norm, tied": {"initialisation"},
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_model_passes(name):
    torch.manual_seed(0)
    results = run_checks(HEALTHY[name]())
    said = {result.id: (result.verdict, result.message) for result in results}
    wrong = {check: why for check, why in said.items() if why[0] not in ("pass", "unknown")}
    assert set(wrong) <= MAY_WARN.get(name, set()), wrong
    assert "fail" not in {verdict for verdict, _ in said.values()}
    could_not_tell = {check for check, (verdict, _) in said.items() if verdict == "unknown"}
    assert could_not_tell <= {"attention", "robustness"}, said


@pytest.mark.parametrize("name", sizes.ZOO_TITLES)
def test_the_zoo_passes(name):
    torch.manual_seed(0)
    source = resolve(ModelSpec(source=f"zoo:{name}", preset="tiny"), vocab_size=300, context_length=32)
    wrong = [result for result in run_checks(build(source)) if result.verdict != "pass"]
    assert not wrong


def test_nothing_is_changed_by_all_the_checks():
    module = Small()
    module.train()
    generator, state = torch.get_rng_state(), {name: value.clone() for name, value in module.state_dict().items()}
    results = run_checks(loaded(module), tier=2)
    assert len(results) == 11
    assert all(torch.equal(state[name], value) for name, value in module.state_dict().items())
    assert torch.equal(generator, torch.get_rng_state())
    assert module.training
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not any(part._forward_hooks for part in module.modules())


def test_a_limit_is_told_and_not_failed():
    results = {result.id: result for result in run_checks(loaded(Small()), tier=1)}
    assert results["shapes"].verdict == "pass"
    assert results["shapes"].value == LONGEST
    assert "its limit of 64 tokens works; it can't read longer texts" in results["shapes"].message
