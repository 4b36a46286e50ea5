"""Activations that are computed again: less memory, and the same run to the bit."""

from __future__ import annotations

import torch
from torch import nn

from tb_widgets.engine.activation_checkpointing import activation_checkpointing
from tb_widgets.models.zoo import gpt
from tb_widgets.spec import RunSpec
from tests.engine.conftest import losses, weights_digest


def test_the_run_is_the_same_to_the_bit_dropout_and_all(tiny, train):
    spec = tiny().with_values({"model.config": {"n_layer": 3, "n_head": 2, "n_embd": 16, "dropout": 0.2}})
    plain = train(spec)
    saving = train(spec.with_values({"training.activation_checkpointing": True}))
    assert saving.status().state == "done", saving.status().message
    assert losses(saving) == losses(plain)
    assert weights_digest(saving.checkpoints()[-1].path) == weights_digest(plain.checkpoints()[-1].path)


def kept_bytes(module, tokens):
    """What a forward pass keeps for the backward pass."""
    kept = {}

    def note(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        module(tokens).sum().backward()
    return sum(kept.values())


def test_a_pass_keeps_less_and_the_model_is_as_before_at_the_end():
    sizes = {"vocab_size": 50, "context_length": 64, "n_layer": 6, "n_head": 2, "n_embd": 32}
    module, tokens = gpt.build_model(sizes).train(), torch.zeros(4, 64, dtype=torch.int64)
    whole, names = kept_bytes(module, tokens), [*module.state_dict()]
    with activation_checkpointing(module):
        assert kept_bytes(module, tokens) < whole / 2
        assert [*module.state_dict()] == names
        module.eval()
        assert kept_bytes(module, tokens) > whole / 2, "who evaluates waits for nothing"
    assert all("forward" not in vars(block) for block in module.blocks)
    assert kept_bytes(module.train(), tokens) == whole


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(256, 8), nn.Linear(8, 256)

    def forward(self, tokens):
        return self.head(self.table(tokens))


def test_a_model_without_blocks_is_refused_in_words(tiny, train):
    run = train(tiny({"training.activation_checkpointing": True}), Flat())
    assert run.status().state == "failed"
    assert run.status().message == "training.activation_checkpointing is true, but the model has no repeated blocks."
    assert "nn.ModuleList" in run.status().hint


class Wrapped(nn.Module):
    """A block whose forward is the object's own, and takes and returns more than one thing."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.forward = lambda x, *, scale: (self.inner(x) * scale, scale)


def test_a_block_may_have_a_forward_of_its_own():
    blocks = nn.ModuleDict({"list": nn.ModuleList([Wrapped(), Wrapped()])}).train()
    own = blocks["list"][0].forward
    with activation_checkpointing(blocks):
        out, scale = blocks["list"][0](torch.ones(1, 4), scale=2.0)
        out.sum().backward()
        assert scale == 2.0
        assert blocks["list"][0].inner.weight.grad is not None
    assert blocks["list"][0].forward is own
    assert not RunSpec().training.activation_checkpointing
