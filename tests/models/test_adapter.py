"""Each kind of model ends in the right task, called the right way, and learns under it."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.nets import GPT, MLM, VOCAB, WIDTH, Bert, Classifier, Eyes, Net, Translator
from models.teaching import batch_for, learns, said
from tb_widgets.errors import DataError, ModelError
from tb_widgets.models.adapter import Adapter
from tb_widgets.models.load import check_fits, from_module
from tb_widgets.spec import ModelSpec


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


def test_an_export_without_a_mask_is_a_language_model_that_leaks():
    class CustomTransformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding_0_token = nn.Embedding(VOCAB, WIDTH)
            self.mhsa_0 = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
            self.output_0 = nn.Linear(WIDTH, VOCAB)

        def forward(self, input_0_tokens, attention_mask=None):
            x = self.embedding_0_token(input_0_tokens)
            return self.output_0(x + self.mhsa_0(x, x, x)[0])

    model = from_module(CustomTransformer())
    assert (model.task, model.adapter.leaks) == ("causal-lm", True)
    assert "Transformer Builder export" in said(model, "task").why
    assert said(model, "leak").value == "yes"
    assert from_module(CustomTransformer(), MLM).adapter.leaks is False


def test_a_decoder_that_sees_what_comes_is_said_to_leak():
    model = from_module(Translator(causal=False))
    assert (model.task, model.adapter.leaks) == ("seq2seq", True)


class LastOnly(Net):
    def forward(self, input_ids):
        return self.head(self.body(input_ids))[:, -1]


def test_logits_of_one_position_are_asked_about():
    with pytest.raises(
        ModelError, match=r"returned \(3, 40\): one row per text, with one logit per token of the vocabulary"
    ):
        from_module(LastOnly())
    assert from_module(LastOnly(), ModelSpec(task="sequence-classification")).adapter.classes == 40


def test_logits_of_all_texts_in_one():
    class Flat(Net):
        def forward(self, input_ids):
            return self.head(self.body(input_ids)).flatten(0, 1)

    model = from_module(Flat())
    assert (model.adapter.layout, model.token_logits(torch.ones(2, 7, dtype=torch.int64)).shape) == ("flat", (2, 7, 40))
    assert "(B" in said(model, "output").value
    assert learns(model)


def test_targets_called_y_are_no_decoder():
    class Told(Net):
        def forward(self, x, y):
            logits = self.head(self.body(x))
            return logits, F.cross_entropy(logits.flatten(0, 1), y.flatten())

    model = from_module(Told())
    assert (model.task, model.adapter.arguments) == ("causal-lm", {"tokens": "", "labels": "y"})
    assert learns(model)


def test_the_input_can_be_named():
    class GPT2(Net):
        def forward(self, x=None, words=None):
            return self.head(self.body(words))

    assert from_module(GPT2(), ModelSpec(input="words")).adapter.arguments == {"tokens": "words"}
    with pytest.raises(ModelError, match=r"model.input: forward has no argument 'ids'. It has x, words"):
        from_module(GPT2(), ModelSpec(input="ids"))


def test_claims_that_the_model_contradicts_are_refused():
    with pytest.raises(ModelError, match=r"Set by model.task: seq2seq. But the model returns logits for every token"):
        from_module(GPT(), ModelSpec(task="seq2seq"))
    with pytest.raises(ModelError, match=r"Set by .*: causal-lm. But the model returns one row of logits per text"):
        from_module(Classifier(), ModelSpec(task="causal-lm"))


def test_a_batch_whose_rows_mix_is_said():
    class Mixed(Net):
        def forward(self, input_ids):
            h = self.body(input_ids)
            return self.head(h + h.mean((0, 1)) + h.flip(0))

    assert said(from_module(Mixed(), MLM), "batch").value == "rows mix"


def test_a_probe_leaves_everything_as_it_was():
    module = GPT()
    nn.init.zeros_(module.head.weight)  # looked at with noise in it, and put back
    module.layer.eval()
    module.wte.train()
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    state = torch.get_rng_state()
    assert not from_module(module).adapter.leaks
    assert torch.equal(state, torch.get_rng_state())
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(value, weights[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert torch.is_grad_enabled()


def test_a_leak_behind_a_layer_of_zeros_is_seen():
    module = Bert()
    nn.init.zeros_(module.layer.self_attn.out_proj.weight)
    assert from_module(module).task == "masked-lm"
    assert from_module(module, ModelSpec(task="causal-lm")).adapter.leaks


class LongRope(nn.Module):
    """Its table grows with the text, or ends."""

    def __init__(self, grows):
        super().__init__()
        self.table, self.head = nn.Embedding(VOCAB, WIDTH), nn.Linear(WIDTH, VOCAB)
        self.grows = grows
        self.register_buffer("angles", torch.randn(20, WIDTH), persistent=False)

    def forward(self, idx):
        if self.grows and idx.shape[1] > self.angles.shape[0]:
            self.angles = torch.randn(idx.shape[1], WIDTH)
        return self.head(self.table(idx) + self.angles[: idx.shape[1]])


def test_a_table_that_grows_is_no_limit():
    growing = LongRope(grows=True)
    assert from_module(LongRope(grows=False)).context_limit == 20
    assert from_module(growing).context_limit is None
    assert growing.angles.shape[0] == 20, "and it is put back"


def test_what_does_not_fit_is_said():
    with pytest.raises(DataError, match=r"The dataset has 5 classes, but the model predicts 3"):
        check_fits(from_module(Classifier()), classes=5)
    with pytest.raises(DataError, match=r"The images are 3 × 12 × 12, but the model takes 1 × 12 × 12"):
        check_fits(from_module(Eyes()), image=(3, 12, 12))
    check_fits(from_module(Classifier()), vocab_size=40, context_length=32, classes=3)
    with pytest.raises(DataError, match=r"the model has 30"):
        check_fits(from_module(Translator()), vocab_size=31)


def test_probabilities_are_trained_by_their_logarithm():
    class Sure(Classifier):
        def forward(self, input_ids, attention_mask=None):
            return super().forward(input_ids, attention_mask).softmax(-1)

    model = from_module(Sure())
    assert model.adapter.probabilities
    torch.testing.assert_close(model.logits(batch_for(model)).exp().sum(-1), torch.ones(4))


@pytest.mark.parametrize("shape", ["(B,)", "(B, 1)"])
def test_one_logit_per_text_is_told_with_the_way_out(shape):
    class YesOrNo(Bert):
        def forward(self, input_ids):
            logits = super().forward(input_ids).mean(1)[:, :1].sigmoid()
            return logits[:, 0] if shape == "(B,)" else logits

    with pytest.raises(ModelError, match=r"one logit per text. It is a binary classifier.* Give its last layer two"):
        from_module(YesOrNo())


def test_a_tagger_is_told_what_it_may_be():
    class Tagger(Net):
        def forward(self, input_ids):
            return self.head(self.body(input_ids))

    with pytest.raises(ModelError, match=r"returns 9 logits per token: the output layer .* or it is a tagger"):
        from_module(Tagger(out=9, causal=False))
