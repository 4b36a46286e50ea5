"""The optimiser: what it updates, and what it does not import."""

from __future__ import annotations

import subprocess
import sys

import torch
from torch import nn

from tb_widgets.engine.optimisers.build import build_optimiser
from tb_widgets.runs import create_run
from tb_widgets.spec import TrainingSpec

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


def test_no_training_imports_the_compiler(tiny, tmp_path):
    """It takes seconds of every start, and nothing is compiled."""
    run = create_run(tmp_path, tiny())
    done = subprocess.run([sys.executable, "-c", TRAIN, str(run.path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
