"""``tb-widgets preflight``: what a run would be like here, in words and in JSON, and nothing is trained."""

from __future__ import annotations

from pathlib import Path

import tb_widgets
from tb_widgets.spec import RunSpec

from .conftest import command


def test_figures_in_words(tiny_file, tmp_path):
    said = command("preflight", tiny_file, "--set", "training.learning_rate=0.5", cwd=tmp_path)
    assert (said.code, said.err) == (0, "")
    assert "training.learning_rate: 0.5 is far above what is typical for AdamW" in " ".join(said.out.split())
    for title in (
        "Measured with   4 × 16 tokens",
        "Peak memory ",
        "Speed ",
        "Whole run ",
        "CPU threads ",
        "Overfitting ",
    ):
        assert title in said.out
    assert not list(tmp_path.iterdir())


def test_figures_for_machines(tiny_file):
    said = command("preflight", tiny_file, "--json", "--micro-batches", "--set", "training.steps=1000")
    assert said.code == 0
    measured = said.json
    assert measured["task"] == "causal-lm"
    assert measured["eta"] > 900 * measured["step_seconds"]
    assert measured["best_micro_batch"] in (1, 2, 4)
    assert measured["seconds"] < 20


def test_a_model_that_never_ends_keeps_to_the_time(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"task": "causal-lm"}')
    (tmp_path / "model.py").write_text(
        "from torch import nn\n"
        "class Model(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.table = nn.Embedding(20, 20)\n"
        "    def forward(self, input_ids):\n"
        "        while self.training: pass\n"
        "        return self.table(input_ids).cumsum(1)\n"
    )
    measured = tb_widgets.preflight(RunSpec(), settings={"model.source": str(tmp_path)})
    assert measured.parameters == 400
    assert measured.left_out == ("number of threads", "memory and initial loss", "speed", "overfitting one batch")


def test_a_spec_and_a_preset_is_one_too_many(tiny_file):
    said = command("preflight", tiny_file, "--preset", "quick")
    assert said.code == 2
    assert "give a spec or a preset, not both" in said.err
