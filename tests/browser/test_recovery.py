"""A run that mends itself, as the page shows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tb_widgets import TrainingService
from tb_widgets.spec import RunSpec

from .page import DashboardPage
from .test_dashboard import tab, wait_for_figure, wait_for_state

UNWELL = """
import torch
from torch import nn

class Model(nn.Module):
    # Short of memory once it has trained for a while, and NaN once later.

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(256, 256)
        self.calls = 0

    def forward(self, input_ids):
        if self.training:
            self.calls += 1
            if self.calls > 20 and len(input_ids) > 4:
                raise torch.OutOfMemoryError("tried to allocate 8 GiB")
        logits = self.table(input_ids)
        return logits * float("nan") if self.training and self.calls == 70 else logits
"""


def test_what_a_run_has_mended_is_marked_and_said(
    open_dashboard: Callable[..., DashboardPage], tiny: Callable[..., RunSpec], tmp_path: Path
) -> None:
    (tmp_path / "model.py").write_text(UNWELL)
    (tmp_path / "config.json").write_text('{"vocab_size": 256}')
    fields = {"model.source": str(tmp_path / "model.py"), "model.config": {}, "model.task": "causal-lm"}
    fields |= {"training.batch_size": 8, "training.steps": 60, "checkpoints.every": 10}
    service = TrainingService(tmp_path / "runs")
    run = service.start(tiny(fields))
    assert service.wait(run, timeout=90) == "done", run.status().message
    page = open_dashboard("voila", runs_dir=tmp_path / "runs").page
    wait_for_figure(page)
    tab(page, "Runs").click()
    page.get_by_role("row").filter(has_text=run.id[-4:]).first.click()
    tab(page, "Train").click()
    wait_for_state(page, "done")
    marks = page.locator(".tbw-figure .shapelayer text")
    expect(marks.filter(has_text="smaller micro-batch")).to_have_count(1)
    expect(marks.filter(has_text="rate halved")).to_have_count(1)
    notes = page.locator(".tbw-note")
    expect(notes.filter(has_text="the micro-batch is now 4")).to_be_visible()
    expect(notes.filter(has_text="Training continues from the checkpoint of step")).to_be_visible()
    page.screenshot(path=str(tmp_path / "recovered.png"))
