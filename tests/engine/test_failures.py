"""How a run ends when it can't go on."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from tb_widgets.runs.checkpoints import verify


class BreaksDown(nn.Module):
    """Works for some training steps; then its scores are not numbers, or it raises."""

    def __init__(self, after: int, error: Exception | None = None) -> None:
        super().__init__()
        self.table = nn.Embedding(256, 256)
        self.after, self.error, self.calls = after, error, 0

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        if self.calls <= self.after:
            return self.table(ids)
        if self.error is not None:
            raise self.error
        return self.table(ids) * float("nan")


def test_a_loss_that_is_no_number_fails_the_run_and_spares_its_checkpoints(tiny, train):
    run = train(tiny({"training.steps": 40}), BreaksDown(after=25))
    status = run.status()
    assert status.state == "failed"
    assert status.message == "The loss is not a number any more at step 26."
    assert "Lower the learning rate" in status.hint
    checkpoints = run.checkpoints()
    assert [info.step for info in checkpoints] == [10, 20]
    for info in checkpoints:
        verify(info.path)
    last = json.loads(run.events_file.read_text().splitlines()[-1])
    assert (last["kind"], last["message"]) == ("failed", status.message)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("no such head"), "ValueError: no such head"),
        (torch.OutOfMemoryError("tried to allocate 8 GiB"), "do not fit into memory (tried to allocate 8 GiB)"),
    ],
    ids=["the model's own error", "out of memory"],
)
def test_an_error_of_the_model_is_a_sentence_in_the_status(tiny, train, capfd, error, sentence):
    run = train(tiny(), BreaksDown(after=5, error=error))
    assert run.status().state == "failed"
    assert sentence in run.status().message
    assert "Traceback" in capfd.readouterr().err  # which a worker sends to log.txt


def test_a_text_that_is_shorter_than_a_window_says_so(tiny, train, tmp_path):
    file = tmp_path / "short.txt"
    file.write_text("Too short.")
    status = train(tiny({"data.source": str(file)})).status()
    assert status.state == "failed"
    assert "tokens" in status.message
    assert "context" in status.hint
