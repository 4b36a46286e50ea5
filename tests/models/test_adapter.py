"""Each kind of model ends in the right task, called the right way, and learns under it."""

import dataclasses

import pytest
import torch
from torch import nn

from models.teaching import batch_for, learns, said
from tb_widgets.errors import ModelError
from tb_widgets.models.adapter import Adapter
from tb_widgets.models.load import from_module
from tb_widgets.spec import ModelSpec

VOCAB, WIDTH = 40, 16


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
        self.patch = nn.Conv2d(channels, WIDTH, 4, 4)
        self.pos = nn.Parameter(torch.randn(1, (size // 4) ** 2, WIDTH))
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, pixel_values):
        h = self.patch(pixel_values).flatten(2).transpose(1, 2) + self.pos
        return {"logits": self.head(torch.tanh(h).mean(1))}


@pytest.mark.parametrize(
    ("module", "task", "vocab", "limit"),
    [
        (GPT(), "causal-lm", 40, 32),
        (Bert(), "masked-lm", 40, 32),
        (Classifier(), "sequence-classification", 40, 32),
        (Translator(), "seq2seq", 50, None),
        (Eyes(), "vision-classification", None, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_each_task_is_told_and_learns(module, task, vocab, limit):
    model = from_module(module)
    assert (model.task, model.vocab_size, model.context_limit) == (task, vocab, limit)
    assert said(model, "task").override == "model.task"
    assert not model.adapter.leaks
    assert learns(model)


def test_classes_and_images_are_measured():
    assert from_module(Classifier()).adapter.classes == 3
    eyes = from_module(Eyes()).adapter
    assert (eyes.image, eyes.classes) == ((1, 12, 12), 4)
    assert from_module(Translator()).adapter.decoder_vocab_size == 30


@pytest.mark.parametrize("module", [Bert(), Classifier(), Translator()], ids=lambda m: type(m).__name__)
def test_padding_is_kept_out_of_sight(module):
    model = from_module(module)
    model.module.eval()
    assert "mask" in model.adapter.arguments
    batch = batch_for(model)
    mask = torch.ones(4, 8, dtype=torch.bool)
    mask[0, 5:] = False
    other = batch["tokens"].clone()
    other[0, 5:] = (other[0, 5:] + 7) % model.vocab_size
    with torch.no_grad():
        before = model.scores({**batch, "mask": mask})
        after = model.scores({**batch, "mask": mask, "tokens": other})
        seen = model.scores({**batch, "mask": torch.ones_like(mask), "tokens": other})
    real = slice(None, 5) if model.task == "masked-lm" else slice(None)
    torch.testing.assert_close(before[0, real], after[0, real])
    assert not torch.allclose(after[0, real], seen[0, real])


def test_a_model_that_nothing_names_is_asked_about():
    class Net2(Net):
        def forward(self, x):
            return self.head(self.body(x))

    module = Net2(causal=False)
    with pytest.raises(ModelError, match=r"nothing in it says which. Set model.task to masked-lm or to causal-lm"):
        from_module(module)
    assert from_module(module, ModelSpec(task="masked-lm")).task == "masked-lm"
    leaking = from_module(module, ModelSpec(task="causal-lm"))
    assert (leaking.task, leaking.adapter.leaks, said(leaking, "leak").value) == ("causal-lm", True, "yes")


def test_the_adapter_is_plain_data():
    adapter = from_module(GPT()).adapter
    assert dataclasses.asdict(adapter)["arguments"] == {"tokens": ""}
    assert Adapter(task="causal-lm", arguments={"tokens": ""}).mask == "keep"
