"""Masks of every convention: which one hides padding, and which one later tokens."""

import pytest
import torch

from models.nets import GPT, MLM, Bert, Classifier, Net, Translator
from models.teaching import batch_for, learns, said
from tb_widgets.errors import ModelError
from tb_widgets.models.load import from_module
from tb_widgets.spec import ModelSpec


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
        before = model.logits({**batch, "mask": mask})
        after = model.logits({**batch, "mask": mask, "tokens": other})
        seen = model.logits({**batch, "mask": torch.ones_like(mask), "tokens": other})
    real = slice(None, 5) if model.task == "masked-lm" else slice(None)
    torch.testing.assert_close(before[0, real], after[0, real])
    assert not torch.allclose(after[0, real], seen[0, real])


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


class HidesZero(Net):
    """An encoder that takes token 0 for padding: by its own mask, by ``padding_idx``, or both."""

    def __init__(self, hides=False, unlearned=False, tied=False):
        super().__init__(causal=False)
        self.hides = hides
        self.wte.padding_idx = 0 if unlearned else None
        if tied:
            self.head.weight = self.wte.weight

    def forward(self, input_ids):
        return self.head(self.body(input_ids, input_ids == 0 if self.hides else None))


@pytest.mark.parametrize(("hides", "unlearned"), [(True, False), (False, True), (True, True)])
def test_a_token_that_the_model_takes_for_padding_is_told(hides, unlearned):
    model = from_module(HidesZero(hides, unlearned), MLM)
    assert (model.adapter.padding_id, model.adapter.hides_padding_id) == (0, hides)
    assert ("lost" if hides else "padding_idx") in said(model, "padding").why
    assert ("the model hides token 0 itself" in said(model, "mask").why) == hides


def test_a_token_that_every_place_sees_and_learns_is_none():
    for module in (HidesZero(), HidesZero(unlearned=True, tied=True), GPT(), Bert()):
        assert from_module(module, ModelSpec() if isinstance(module, GPT) else MLM).adapter.padding_id is None


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
        model.logits({"tokens": torch.ones(2, 6, dtype=torch.int64)})
        assert learns(model)


def test_a_mask_that_nothing_explains_is_asked_about():
    class Net3(Net):
        def forward(self, x, mask):
            return self.head(self.layer(self.wte(x), src_mask=mask))

    with pytest.raises(ModelError, match=r"requires a mask, but nothing in the model says"):
        from_module(Net3())
    assert from_module(Net3(), ModelSpec(task="causal-lm")).adapter.extras["mask"].recipe == "causal"
