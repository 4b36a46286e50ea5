"""A model that sees what it shall predict is found out, and looking leaves no trace."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tb_widgets.engine.causality import measure_causality
from tb_widgets.models.adapter import Adapter
from tb_widgets.models.load import LoadedModel
from tb_widgets.models.undisturbed import undisturbed

torch.set_num_threads(1)


class Mixer(nn.Module):
    """Tokens in, logits out; ``mix`` says what one position sees of the others. Its last layer begins at zero."""

    def __init__(self, mix):
        super().__init__()
        self.table = nn.Embedding(20, 8)
        self.mix = mix
        self.out = nn.Linear(8, 20)
        nn.init.zeros_(self.out.weight)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, ids):
        self.seen += 1
        return self.out(self.mix(self.table(ids)))


def loaded(mix, limit=None):
    module = Mixer(mix)
    return LoadedModel(module, Adapter("causal-lm", {"tokens": ""}, vocab_size=20, context_limit=limit), 0)


def until_here(x):
    return x.cumsum(1)


@pytest.mark.parametrize(
    ("mix", "leaks"),
    [
        (until_here, False),
        (lambda x: x, False),
        (lambda x: x + x.mean(1, keepdim=True), True),
        (lambda x: x + x.roll(-1, 1), True),
        (lambda x: until_here(x) + 1e-3 * x.sum(1, keepdim=True), True),
        # Causal in a short text only.
        (lambda x: until_here(x) if x.shape[1] < 40 else x.mean(1, keepdim=True).expand_as(x), True),
        (lambda x: until_here(nn.functional.dropout(x, 0.5)), False),
    ],
    ids=["causal", "one token", "mean", "next token", "a trace", "only where long", "dropout always on"],
)
def test_leaks_are_found(mix, leaks):
    assert measure_causality(loaded(mix)).leaks is leaks


def test_the_table_says_which_position_saw_what():
    moves = torch.tensor(measure_causality(loaded(lambda x: x + x.roll(-1, 1))).moves)
    seen_early = moves.tril(-1).nonzero().tolist()
    assert seen_early == [[later, later - 1] for later in range(1, 12)]


@pytest.mark.parametrize(
    ("mix", "limit", "words"),
    [
        (lambda x: x / 0, None, "NaN"),
        (until_here, 1, "one token at a time"),
    ],
)
def test_what_can_not_be_told_is_no_leak(mix, limit, words):
    found = measure_causality(loaded(mix, limit))
    assert words in found.why_not
    assert not found.leaks


def test_only_the_decoder_of_an_encoder_decoder_must_not_look_ahead():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(20, 20)

        def forward(self, source, target):
            return until_here(self.table(target)) + self.table(source).mean(1, keepdim=True)

    adapter = Adapter("seq2seq", {"tokens": "source", "decoder_tokens": "target"}, vocab_size=20)
    assert not measure_causality(LoadedModel(Pair(), adapter, 0)).leaks


def test_the_model_is_left_as_it_was():
    model = loaded(until_here)
    module = model.module
    module.train()
    module.mix_mode = nn.Dropout().eval()
    module.out.bias.grad = torch.ones(20)
    state, generator = {k: v.clone() for k, v in module.state_dict().items()}, torch.get_rng_state()
    measure_causality(model)
    assert all(torch.equal(state[name], value) for name, value in module.state_dict().items())
    assert torch.equal(generator, torch.get_rng_state())
    assert module.training
    assert not module.mix_mode.training
    assert module.out.bias.grad.sum() == 20
    with pytest.raises(RuntimeError), undisturbed(module):
        raise RuntimeError
    assert module.training
