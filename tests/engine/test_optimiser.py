"""The optimiser: what it updates, and how fast each part of it."""

from __future__ import annotations

import shutil
from typing import get_args

import torch
from torch import nn

from tb_widgets.engine.optimisers.build import OPTIMISERS, build_optimiser
from tb_widgets.engine.optimisers.groups import set_learning_rate
from tb_widgets.engine.schedule import SCHEDULES
from tb_widgets.engine.session import train_run
from tb_widgets.spec import Optimiser, Schedule, TrainingSpec


def train(module, optimiser, steps=4):
    inputs = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
    for _ in range(steps):
        module(inputs).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()


def test_it_is_adamw_bit_for_bit_also_after_its_state_was_put_back():
    training = TrainingSpec(learning_rate=0.01, weight_decay=0.1)
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    mine = build_optimiser(ours, training, torch.device("cpu"))
    reference = torch.optim.AdamW(
        [{"params": [theirs.weight], "weight_decay": 0.1}, {"params": [theirs.bias], "weight_decay": 0.0}],
        lr=0.01,
        betas=(training.beta1, training.beta2),
        eps=training.eps,
        fused=True,
    )
    train(ours, mine)
    again = build_optimiser(ours, training, torch.device("cpu"))
    again.load_state_dict(mine.state_dict())
    train(ours, again)
    train(theirs, reference, steps=8)

    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)
    assert all(parameter.requires_grad for parameter in ours.parameters())


class TwoRates(nn.Module):
    """Two matrices and a bias."""

    def __init__(self):
        super().__init__()
        self.slow, self.fast = nn.Linear(5, 3), nn.Linear(5, 3, bias=False)

    def forward(self, x):
        return self.slow(x) + self.fast(x)


def build_with_two_rates(groups, training, device):
    """A builder as somebody may write it: the last matrix learns ten times as fast."""
    matrices, rest = groups
    split = [
        matrices | {"params": matrices["params"][:-1]},
        matrices | {"params": matrices["params"][-1:], "lr_scale": 10.0},
        rest,
    ]
    return torch.optim.SGD(split, lr=training.learning_rate)


def test_relative_learning_rates_are_kept_at_every_step(tiny, train, monkeypatch):
    monkeypatch.setitem(OPTIMISERS, "adamw", build_with_two_rates)
    optimiser = build_optimiser(TwoRates(), TrainingSpec(learning_rate=0.5), torch.device("cpu"))
    assert [group["lr"] for group in optimiser.param_groups] == [0.5, 5.0, 0.5]
    set_learning_rate(optimiser, 0.1)
    assert [group["lr"] for group in optimiser.param_groups] == [0.1, 1.0, 0.1]
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.1, 0.1, 0.0]

    run = train(tiny({"model.config": {"n_layer": 1, "n_head": 2, "n_embd": 16}}))
    assert run.status().state == "done", "an optimiser of another kind trains, and its state is saved"
    shutil.rmtree(run.checkpoints()[-1].path)
    assert train_run(run) == "done", "and resumed"


def test_every_optimiser_and_schedule_of_the_spec_is_there():
    assert set(OPTIMISERS) == set(get_args(Optimiser))
    assert set(SCHEDULES) == set(get_args(Schedule))
