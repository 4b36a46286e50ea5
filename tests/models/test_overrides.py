"""What the user decides about a model is taken where it can be true, and refused in words where it can't."""

import pytest
import torch
from torch import nn

from models.nets import GPT, VOCAB, WIDTH, Classifier, Eyes, Net, Translator
from models.teaching import learns, said
from tb_widgets.errors import ModelError
from tb_widgets.models.load import from_module
from tb_widgets.spec import ModelSpec


class Told:
    """An output with attributes."""

    def __init__(self, first, second):
        self.draft, self.final = first, second


class TwoAnswers(Net):
    """Scores every token twice, and each text once."""

    def __init__(self, form):
        super().__init__()
        self.second, self.label = nn.Linear(WIDTH, VOCAB), nn.Linear(WIDTH, 3)
        self.form = form

    def forward(self, input_ids):
        h = self.body(input_ids)
        first, second, label = self.head(h), self.second(h), self.label(h[:, -1])
        forms = {
            "tuple": lambda: (first, second, label),
            "dict": lambda: {"draft": first, "final": second, "label": label, "loss": None},
            "object": lambda: Told(first, second),
        }
        return forms[self.form]()


@pytest.mark.parametrize(
    ("form", "found", "wanted", "others"),
    [
        ("tuple", 0, "1", "items 1 and 2"),
        ("dict", "draft", "final", "final and label"),
        ("object", "draft", "final", "final"),
    ],
)
def test_the_output_can_be_named(form, found, wanted, others):
    module = TwoAnswers(form)
    left = from_module(module)
    assert left.adapter.output == found
    assert (said(left, "output").value, said(left, "output").override) == (
        "item 0 of 3" if form == "tuple" else found,
        "model.output",
    )
    assert said(left, "output").why == f"It has the shape of logits; forward also returns {others}."

    model = from_module(module, ModelSpec(output=wanted))
    assert said(model, "output").why == "Set by model.output."
    ids = torch.ones(2, 7, dtype=torch.int64)
    module.eval()
    torch.testing.assert_close(model.token_logits(ids), module.second(module.body(ids)))
    assert learns(model)


def test_an_output_of_another_shape_makes_another_task():
    model = from_module(TwoAnswers("dict"), ModelSpec(output="label"))
    assert (model.task, model.adapter.classes) == ("sequence-classification", 3)


def test_an_output_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(
        ModelError, match=r"model.output: forward returns no tensor 'logits'. It returns 0 \(3, 5, 40\), "
    ):
        from_module(TwoAnswers("tuple"), ModelSpec(output="logits"))
    with pytest.raises(ModelError, match=r"no tensor 'loss'. It returns draft \(3, 5, 40\), final \(3, 5, 40\), label"):
        from_module(TwoAnswers("dict"), ModelSpec(output="loss"))
    with pytest.raises(ModelError, match=r"forward returns a single tensor. Leave model.output empty"):
        from_module(GPT(), ModelSpec(output="0"))

    class WithStates(Net):
        def forward(self, input_ids):
            h = self.body(input_ids)
            return {"logits": self.head(h), "states": h[None]}

    with pytest.raises(ModelError, match=r"returned \(1, 3, 5, 16\) \(model.output is states"):
        from_module(WithStates(), ModelSpec(output="states"))


def test_a_vocabulary_can_be_smaller_than_the_tables_and_no_larger():
    model = from_module(GPT(), ModelSpec(vocab_size=30))
    assert (model.vocab_size, said(model, "vocabulary").why) == (30, "Set by model.vocab_size.")
    assert from_module(Classifier(), ModelSpec(vocab_size=30)).vocab_size == 30
    both = from_module(Translator(), ModelSpec(vocab_size=20)).adapter
    assert (both.vocab_size, both.decoder_vocab_size) == (20, 20)
    with pytest.raises(
        ModelError, match=r"model.vocab_size is 41, but the model returns only 40 logits. Set it to at most 40"
    ):
        from_module(GPT(), ModelSpec(vocab_size=41))
    with pytest.raises(ModelError, match=r"returns only 30 logits"):
        from_module(Translator(), ModelSpec(vocab_size=31))


def test_a_vocabulary_that_the_tables_do_not_tell_is_tried():
    class Hashed(nn.Module):
        def __init__(self):
            super().__init__()
            self.tables = nn.ModuleList([nn.Embedding(8, WIDTH), nn.Embedding(8, WIDTH)])
            self.head = nn.Linear(WIDTH, 3)

        def forward(self, input_ids):
            return self.head((self.tables[0](input_ids % 8) + self.tables[1](input_ids // 8 + 1)).mean(1))

    assert from_module(Hashed()).vocab_size == 8
    assert from_module(Hashed(), ModelSpec(vocab_size=56)).vocab_size == 56
    with pytest.raises(ModelError, match=r"model.vocab_size is 57, but the model's forward fails on token 56"):
        from_module(Hashed(), ModelSpec(vocab_size=57))


def test_a_context_limit_is_taken_as_far_as_the_model_reads():
    model = from_module(GPT(), ModelSpec(context_limit=20))
    assert (model.context_limit, said(model, "context").why) == (20, "Set by model.context_limit.")
    assert from_module(Translator(), ModelSpec(context_limit=500)).context_limit == 500
    with pytest.raises(
        ModelError, match=r"is 33 tokens, but the model fails on that many; its position .* has 32 rows. Set"
    ):
        from_module(GPT(), ModelSpec(context_limit=33))

    class Large(GPT):
        def __init__(self):
            super().__init__()
            self.unused = nn.Linear(4000, 4000)

    with pytest.raises(ModelError, match=r"its position embedding has 32 rows"):
        from_module(Large(), ModelSpec(context_limit=10_000))


class AnySize(nn.Module):
    """Takes images of every size."""

    def __init__(self):
        super().__init__()
        self.see, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, image):
        return self.head(self.see(image).amax((2, 3)))


class Flat(nn.Module):
    """Takes any images of 48 numbers."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(48, 5)

    def forward(self, image):
        return self.head(image.flatten(1))


def test_the_size_of_images_can_be_decided():
    assert from_module(AnySize()).adapter.image == (3, 32, 32)
    model = from_module(AnySize(), ModelSpec(image_size=12))
    assert model.adapter.image == (3, 12, 12)
    assert said(model, "image").why == "Channels: the first convolution. Size: model.image_size."
    assert said(model, "image").override == "model.image_size"
    flat = ModelSpec(image_size=4, image_channels=3)
    assert from_module(Flat(), flat).adapter.image == (3, 4, 4)


def test_images_that_the_model_can_t_take_are_refused():
    with pytest.raises(
        ModelError, match=r"model.image_size is 20: the model's forward fails on images of shape \(3, 1, 20"
    ):
        from_module(Eyes(), ModelSpec(image_size=20))
    with pytest.raises(
        ModelError, match=r"model.image_size is 12 and model.image_channels is 3: the model's forward fails"
    ):
        from_module(Eyes(), ModelSpec(image_size=12, image_channels=3))


def test_sizes_beside_the_point_are_refused():
    with pytest.raises(ModelError, match=r"model.image_size is 32, but the model reads tokens"):
        from_module(GPT(), ModelSpec(image_size=32))
    with pytest.raises(ModelError, match=r"model.context_limit is 32, but the model reads images"):
        from_module(Eyes(), ModelSpec(context_limit=32))


class Asking(Net):
    """Asks for what no name explains, and takes a mask that it only uses when it is given."""

    def forward(self, input_ids, scale, attn_mask=None):
        h = self.body(input_ids)
        if attn_mask is not None:
            h = h + attn_mask.float().softmax(-1) @ h
        return self.head(h) * scale


def test_other_arguments_are_given_what_is_wanted():
    with pytest.raises(ModelError, match="requires more than its input input_ids: scale") as caught:
        from_module(Asking())
    assert "{scale: 1}" in caught.value.hint
    model = from_module(Asking(), ModelSpec(arguments={"scale": 2}))
    once = from_module(model.module, ModelSpec(arguments={"scale": 1}))
    ids = torch.ones(2, 7, dtype=torch.int64)
    torch.testing.assert_close(model.token_logits(ids), 2 * once.token_logits(ids))
    assert (said(model, "scale").value, said(model, "scale").override) == ("2", "model.arguments")

    masked = from_module(model.module, ModelSpec(task="causal-lm", arguments={"scale": 1, "attn_mask": "causal"}))
    assert said(masked, "attn_mask").why == "Set by model.arguments."
    assert not torch.equal(masked.token_logits(ids), once.token_logits(ids))


def test_a_decoder_may_be_told_the_truth_by_chance_if_somebody_wants_that():
    class Forced(Translator):
        def forward(self, src, trg, teacher_forcing_ratio=0.5):
            self.told = teacher_forcing_ratio
            return super().forward(src, trg)

    module = Forced()
    assert said(from_module(module), "teacher forcing").override == "model.arguments"
    assert module.told == 1
    from_module(module, ModelSpec(arguments={"teacher_forcing_ratio": 0.25}))
    assert module.told == 0.25


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"nothing": 0}, "nothing is not an argument of forward"), ({"input_ids": 0}, "input_ids is its input")],
)
def test_an_argument_that_is_not_there_or_is_the_input_is_refused(arguments, words):
    with pytest.raises(ModelError, match=words) as caught:
        from_module(Asking(), ModelSpec(arguments=arguments))
    assert "scale, attn_mask" in caught.value.hint


def test_the_order_of_the_input_can_be_said():
    module = nn.LSTM(VOCAB, VOCAB)  # time first, unless told otherwise

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.reader = nn.Embedding(VOCAB, VOCAB), module

        def forward(self, input_ids):
            return self.reader(self.table(input_ids))[0]

    found = from_module(Recurrent())
    assert (said(found, "batch").value, said(found, "batch").override) == ("time first", "model.order")
    told = from_module(Recurrent(), ModelSpec(order="rows-first"))
    assert (said(told, "batch").value, said(told, "batch").why) == ("rows first", "Set by model.order.")
    assert (found.adapter.sequence_first, told.adapter.sequence_first) == (True, False)
