"""Each kind of model ends in the right task, called the right way, and learns under it."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.teaching import batch_for, learns, said
from tb_widgets.errors import ModelError
from tb_widgets.models.adapter import Adapter
from tb_widgets.models.load import check_fits, from_module
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


class Masked(Net):
    """An encoder with a mask in a given convention."""

    def __init__(self, convention, axes=2):
        super().__init__(causal=False)
        self.convention, self.axes = convention, axes

    def forward(self, input_ids, mask=None):
        padding = None
        if mask is not None:
            assert mask.dim() == self.axes
            mask = mask.flatten(1)
            if self.convention == "numbers":
                mask = (1 - mask).bool()
            elif self.convention == "keep":
                mask = ~mask
            elif self.convention == "additive":
                assert mask.is_floating_point()
            padding = mask
        return self.head(self.body(input_ids, padding))


MLM = ModelSpec(task="masked-lm")


@pytest.mark.parametrize("axes", [2, 3, 4])
@pytest.mark.parametrize("convention", ["keep", "numbers", "drop", "additive"])
def test_the_convention_of_a_mask_is_found_by_trial(convention, axes):
    adapter = from_module(Masked(convention, axes), MLM).adapter
    assert (adapter.mask, adapter.mask_axes, adapter.arguments["mask"]) == (convention, axes, "mask")


def test_a_mask_can_be_decided_by_the_user():
    unmasked = from_module(Masked("drop"), ModelSpec(task="masked-lm", mask="none"))
    assert "mask" not in unmasked.adapter.arguments
    forced = from_module(Masked("drop"), ModelSpec(task="masked-lm", mask="drop"))
    assert forced.adapter.mask == "drop"
    with pytest.raises(ModelError, match=r"model.mask: forward takes no mask for padding"):
        from_module(GPT(), ModelSpec(mask="keep"))


def test_a_mask_that_does_nothing_is_not_given():
    class Idle(Net):
        def forward(self, input_ids, attention_mask=None):
            return self.head(self.body(input_ids))

    model = from_module(Idle(causal=False), MLM)
    assert "mask" not in model.adapter.arguments
    assert "No convention of attention_mask hides padding" in said(model, "mask").why


@pytest.mark.parametrize("optional", [True, False])
def test_a_mask_that_makes_a_model_causal_is_given(optional):
    class MyDecoder(Net):
        def read(self, x, mask):
            h = self.wte(x)
            return self.head(self.layer(h, src_mask=mask))

        if optional:

            def forward(self, x, mask=None):
                return self.read(x, mask)
        else:

            def forward(self, x, mask):
                return self.read(x, mask)

    model = from_module(MyDecoder())
    assert (model.task, model.adapter.leaks) == ("causal-lm", False)
    assert model.adapter.extras["mask"].recipe == "causal"
    assert learns(model)


def test_a_mask_that_must_be_given_hides_padding_in_an_encoder_and_a_classifier():
    class BertLike(Net):
        def forward(self, x, mask):
            return self.head(self.body(x, mask == 0))

    class Rated(Net):
        def forward(self, x, mask):
            weight = mask.float()[..., None]
            return self.head((self.body(x, mask == 0) * weight).sum(1) / weight.sum(1))

    for module, task in (
        (BertLike(causal=False), "masked-lm"),
        (Rated(causal=False, out=3), "sequence-classification"),
    ):
        model = from_module(module)
        assert (model.task, model.adapter.arguments["mask"]) == (task, "mask")
        assert model.adapter.extras["mask"].recipe == "padding"
        model.scores({"tokens": torch.ones(2, 6, dtype=torch.int64)})
        assert learns(model)


def test_a_mask_that_nothing_explains_is_asked_about():
    class Net3(Net):
        def forward(self, x, mask):
            return self.head(self.layer(self.wte(x), src_mask=mask))

    with pytest.raises(ModelError, match=r"asks for a mask, and nothing in the model says"):
        from_module(Net3())
    assert from_module(Net3(), ModelSpec(task="causal-lm")).adapter.extras["mask"].recipe == "causal"


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
    assert "export of the documented form" in said(model, "task").why
    assert said(model, "leak").value == "yes"
    assert from_module(CustomTransformer(), MLM).adapter.leaks is False


def test_a_decoder_that_sees_what_comes_is_said_to_leak():
    model = from_module(Translator(causal=False))
    assert (model.task, model.adapter.leaks) == ("seq2seq", True)


class LastOnly(Net):
    def forward(self, input_ids):
        return self.head(self.body(input_ids))[:, -1]


def test_scores_of_one_position_are_asked_about():
    with pytest.raises(ModelError, match=r"into \(3, 40\): one row per text, with as many scores as it knows tokens"):
        from_module(LastOnly())
    assert from_module(LastOnly(), ModelSpec(task="sequence-classification")).adapter.classes == 40


def test_scores_in_other_orders():
    class Second(Net):
        def forward(self, input_ids):
            return self.head(self.body(input_ids)).transpose(1, 2)

    class Flat(Net):
        def forward(self, input_ids):
            return self.head(self.body(input_ids)).flatten(0, 1)

    for kind, layout in ((Second, "bvt"), (Flat, "flat")):
        model = from_module(kind())
        assert (model.adapter.layout, model.logits(torch.ones(2, 7, dtype=torch.int64)).shape) == (layout, (2, 7, 40))
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
    with pytest.raises(ModelError, match=r"model.task says so: seq2seq. But the model gives scores for every token"):
        from_module(GPT(), ModelSpec(task="seq2seq"))
    with pytest.raises(ModelError, match=r"says so: causal-lm. But the model gives one row of scores per text"):
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


@pytest.mark.parametrize(("size", "channels"), [(12, 1), (32, 3), (20, 3), (28, 1)])
def test_the_size_of_images_is_read_from_the_model(size, channels):
    assert from_module(Eyes(size, channels)).adapter.image == (channels, size, size)


def test_images_that_fail_say_where():
    class Broken(Eyes):
        def forward(self, pixel_values):
            return self.patch(pixel_values) @ self.pos

    with pytest.raises(ModelError, match=r"fails on images of shape \(3, 1, 12, 12\), and of every other usual size: "):
        from_module(Broken())

    class Features(Eyes):
        def forward(self, pixel_values):
            return self.patch(pixel_values)

    with pytest.raises(ModelError, match=r"into \(3, 16, 3, 3\). An image classifier returns one row of scores"):
        from_module(Features())
    with pytest.raises(ModelError, match=r"fails on images of shape \(3, 3, 32, 32\)"):
        from_module(GPT(), ModelSpec(task="vision-classification"))


def test_what_does_not_fit_is_said():
    with pytest.raises(ModelError, match=r"The data have 5 classes and the model tells 3 apart"):
        check_fits(from_module(Classifier()), classes=5)
    with pytest.raises(ModelError, match=r"The images are 3 x 12 x 12 and the model takes 1 x 12 x 12"):
        check_fits(from_module(Eyes()), image=(3, 12, 12))
    check_fits(from_module(Classifier()), vocab_size=40, context_length=32, classes=3)
    with pytest.raises(ModelError, match=r"decoder knows 30"):
        check_fits(from_module(Translator()), vocab_size=31)


def test_probabilities_are_trained_by_their_logarithm():
    class Sure(Classifier):
        def forward(self, input_ids, attention_mask=None):
            return super().forward(input_ids, attention_mask).softmax(-1)

    model = from_module(Sure())
    assert model.adapter.probabilities
    torch.testing.assert_close(model.scores(batch_for(model)).exp().sum(-1), torch.ones(4))


def test_the_size_of_images_may_stand_in_config_json_only(export):
    code = (
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.see, self.head = nn.Conv2d(2, 4, 3), nn.Linear(4, 5)\n"
        "    def forward(self, x):\n        return self.head(self.see(x).amax((2, 3)))\n"
    )
    assert export.build(code, '{"image_size": [20, 18]}').adapter.image == (2, 20, 18)
    assert export.build(code, "{}").adapter.image == (2, 32, 32)
