"""The optimiser: what it updates, and how fast each part of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import get_args

import pytest
import torch
from torch import nn

from tb_widgets.engine.optimisers import muon
from tb_widgets.engine.optimisers.build import OPTIMISERS, build_optimiser
from tb_widgets.engine.optimisers.groups import parameter_groups, set_learning_rate
from tb_widgets.engine.optimisers.muon import orthogonalise
from tb_widgets.engine.schedule import SCHEDULES
from tb_widgets.engine.session import train_run
from tb_widgets.spec import Optimiser, Schedule, TrainingSpec

from .conftest import losses, weights_digest

TRAIN = """
import sys
from tb_widgets.engine.session import train_run
from tb_widgets.engine.warm_up import warm_up
from tb_widgets.runs import RunDirectory
warm_up()
assert train_run(RunDirectory(sys.argv[1])) == "done"
print("torch" in sys.modules, "torch._dynamo" in sys.modules)
"""


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


class Everything(nn.Module):
    """A bit of each kind of layer."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(11, 4)
        self.positions = nn.Parameter(torch.zeros(1, 7, 4))
        self.picture = nn.Conv2d(1, 4, 2)
        self.attention = nn.MultiheadAttention(4, 2)
        self.norm = nn.LayerNorm(4)
        self.up = nn.Linear(4, 11)
        self.down = nn.Linear(11, 4)
        self.table = nn.Parameter(torch.zeros(5, 4))
        self.head = nn.Linear(4, 11)


def grouped(module, outputs=()):
    names = {parameter: name for name, parameter in module.named_parameters()}
    groups = parameter_groups(module, TrainingSpec(relative_rates={"embedding": 4.0}), outputs)
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    assert sorted(map(id, trainable)) == sorted(id(p) for group in groups for p in group["params"])
    return {group["role"]: (*[names[p] for p in group["params"]], group["weight_decay"]) for group in groups}


def test_parameters_are_grouped_by_what_their_layers_are():
    model = Everything()
    matrices = ("attention.in_proj_weight", "attention.out_proj.weight", "up.weight", "down.weight")
    biases = ("picture.bias", "attention.in_proj_bias", "attention.out_proj.bias", "norm.weight", "norm.bias")
    found = grouped(model, {11})
    assert found == {
        "matrix": (*matrices, 0.1),
        "other": ("table", "picture.weight", 0.1),
        "head": ("head.weight", 0.1),
        "embedding": ("positions", "tokens.weight", 0.0),
        "vector": (*biases, "up.bias", "down.bias", "head.bias", 0.0),
    }
    assert grouped(model)["matrix"] == (*matrices, "head.weight", 0.1), "nobody knows how many tokens there are"
    model.head.weight = model.tokens.weight
    tied = grouped(model, {11})
    assert tied["embedding"] == ("positions", "tokens.weight", 0.0)
    assert "head" not in tied
    model.up.weight.requires_grad_(False)
    assert "up.weight" not in grouped(model)["matrix"]


@pytest.mark.parametrize("has_bf16", [True, False])
@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 8, 24), (1, 24, 5), (4, 1, 6)])
def test_orthogonal_is_what_a_decomposition_says(shape, has_bf16, monkeypatch):
    monkeypatch.setattr(muon, "_has_fast_bf16", lambda: has_bf16)
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(3)) * 50
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    turned = u.mT @ orthogonalise(matrices) @ v.mT  # the identity, where it is exact
    diagonal = torch.diagonal(turned, dim1=-2, dim2=-1)
    assert (diagonal - 1).abs().max() < 0.15
    assert (turned - torch.diag_embed(diagonal)).abs().max() < (0.05 if has_bf16 else 1e-3)
    assert torch.equal(orthogonalise(torch.zeros(shape)), torch.zeros(shape))


def test_muon_turns_matrices_by_equal_steps_and_leaves_the_rest_to_adamw():
    model, twin = Everything(), Everything()
    twin.load_state_dict(model.state_dict())
    training = TrainingSpec(optimizer="muon", learning_rate=0.1, weight_decay=0.5)
    optimiser, reference = (
        build_optimiser(each, kind, torch.device("cpu"), {11})
        for each, kind in ((model, training), (twin, training.model_copy(update={"optimizer": "adamw"})))
    )
    generator = torch.Generator().manual_seed(5)
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        one.grad = other.grad = torch.randn(one.shape, generator=generator)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimiser.step()
    reference.step()
    for name, parameter in model.named_parameters():
        is_matrix = name in ("attention.in_proj_weight", "attention.out_proj.weight", "up.weight", "down.weight")
        assert torch.equal(parameter, twin.get_parameter(name)) != is_matrix, name
    update = before["up.weight"] * (1 - 0.1 * 0.5) - model.up.weight  # (11, 4)
    singular = torch.linalg.svdvals(update.detach())
    assert singular.tolist() == pytest.approx([0.1 * 0.2 * 11**0.5] * 4, rel=0.15)
    blocks = (before["attention.in_proj_weight"] * 0.95 - model.attention.in_proj_weight).detach().view(3, 4, 4)
    for values in torch.linalg.svdvals(blocks).tolist():
        assert values == pytest.approx([0.1 * 0.2 * 4**0.5] * 4, rel=0.15), "queries, keys and values each by itself"


def test_a_run_with_muon_learns_and_resumes_to_the_same_weights(tiny, train):
    fields = {
        "training.optimizer": "muon",
        "training.steps": 40,
        "checkpoints.every": 20,
        "training.learning_rate": 0.01,
    }
    whole, broken = train(tiny(fields)), train(tiny(fields))
    shutil.rmtree(broken.checkpoints()[-1].path)
    assert train_run(broken) == "done"
    ends = [weights_digest(run.checkpoints()[-1].path) for run in (whole, broken)]
    assert ends[0] == ends[1]
    assert losses(whole)[-1] < 3.5


class TwoRates(nn.Module):
    """Two matrices and a bias."""

    def __init__(self):
        super().__init__()
        self.slow, self.fast = nn.Linear(5, 3), nn.Linear(5, 3, bias=False)

    def forward(self, x):
        return self.slow(x) + self.fast(x)


def build_with_two_rates(groups, training, device):
    """A builder as somebody may write it: the last matrix learns ten times as fast."""
    (matrices,) = (group for group in groups if group["role"] == "matrix")
    split = [
        matrices | {"params": matrices["params"][:-1]},
        matrices | {"params": matrices["params"][-1:], "lr_scale": 10.0},
        *(group for group in groups if group is not matrices),
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


@pytest.mark.parametrize("optimiser", get_args(Optimiser))
def test_training_does_not_import_the_compiler(optimiser, tiny, tmp_path, new_run):
    """It would take more than a second of every start."""
    run = new_run(tmp_path, tiny({"training": {"optimizer": optimiser, "steps": 3}}))
    child = subprocess.run([sys.executable, "-c", TRAIN, str(run.path)], capture_output=True, text=True, check=False)

    assert child.stdout.split() == ["True", "False"], child.stderr
