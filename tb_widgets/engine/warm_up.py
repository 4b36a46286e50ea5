"""Paying for slow first times while nobody waits."""

from __future__ import annotations

import tokenizers  # noqa: F401 - imported here so that the run does not have to
import torch
from torch import nn

from tb_widgets.engine import metrics  # noqa: F401 - likewise
from tb_widgets.engine.objective import prediction_loss
from tb_widgets.engine.optimisers.build import build_optimiser
from tb_widgets.models.zoo import gpt
from tb_widgets.spec import TrainingSpec


def warm_up() -> None:
    """Train a throw-away model for one step.

    PyTorch sets up its kernels and threads at the first pass. Random states are left as they were.
    """
    with torch.random.fork_rng():
        model = gpt.build_model({"vocab_size": 8, "context_length": 4, "n_layer": 1, "n_head": 1, "n_embd": 8})
        optimiser = build_optimiser(model, TrainingSpec(), torch.device("cpu"))
        tokens = torch.zeros(1, 5, dtype=torch.int64)
        prediction_loss(model(tokens[:, :-1]), tokens[:, 1:]).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
