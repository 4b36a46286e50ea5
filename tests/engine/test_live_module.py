"""A run leaves alone what the model's author has arranged: frozen parts, and tables that are made at first use."""

from __future__ import annotations

import pytest
import torch
from torch import nn


class MakesATable(nn.Module):
    """Makes a table in a pass after ten training steps, which are the test and the samples of step 10."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.words, self.steps, self.scale, self.rows = nn.Embedding(256, 256), 0, None, rows

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if self.steps == 10 and len(ids) == self.rows and self.scale is None:
            self.scale = torch.ones(256)
        self.steps += self.training
        logits = self.words(ids)
        return logits if self.scale is None else logits * self.scale


@pytest.mark.parametrize("rows", [4, 1], ids=["while it is tested", "while it writes a sample"])
def test_a_table_that_is_made_between_two_steps_serves_the_next_one(tiny, train, rows):
    module = MakesATable(rows)
    status = train(tiny(), module).status()
    assert status.state == "done", status.message
    assert module.scale is not None


class HasFrozenParts(nn.Module):
    """One part of it was put into evaluation mode when it was built, another one always is."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.loose, self.frozen, self.held = nn.Embedding(256, 256), *(nn.Dropout(0.1) for _ in range(3))
        self.frozen.eval()
        self.seen: list[tuple[bool, ...]] = []

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self.held.eval()
        return self

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(part.training for part in (self, self.loose, self.frozen, self.held)))
        return self.held(self.frozen(self.loose(self.words(ids))))


def test_frozen_parts_stay_in_evaluation_mode_through_the_whole_run(tiny, train):
    module = HasFrozenParts()
    assert train(tiny(), module).status().state == "done"
    assert set(module.seen) == {(True, True, False, False), (False, False, False, False)}
    assert module.seen.count((True, True, False, False)) == 20, "every training step"


def test_a_model_that_comes_in_evaluation_mode_is_trained_as_a_whole(tiny, train):
    module = HasFrozenParts().eval()
    train(tiny(), module)
    assert module.seen.count((True, True, True, False)) == 20
