"""``tb-widgets check``: a table for people, a line for machines, and an exit code for scripts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import tb_widgets
from tb_widgets.checks.result import ORDER

from .conftest import Terminal, command

LEAKS = """
import torch
from torch import nn

class CustomTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding_0_token = nn.Embedding(30, 8)
        self.mhsa_0 = nn.MultiheadAttention(8, 2, batch_first=True)
        self.output_0 = nn.Linear(8, 30)

    def forward(self, input_0_tokens):
        x = self.embedding_0_token(input_0_tokens)
        return self.output_0(x + self.mhsa_0(x, x, x)[0])
"""


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text(LEAKS)
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def test_a_good_model_prints_what_it_is_and_what_was_found(tmp_path):
    said = command("check", "zoo:gpt", "--set", "model.preset=tiny", cwd=tmp_path)
    assert (said.code, said.err) == (0, "")
    assert "GPT, 529,056 parameters" in said.out
    for title in ("Shapes", "Gradients", "Causality", "Speed"):
        assert f"✓ {title}" in said.out
    assert not list(tmp_path.iterdir())


def test_a_leaking_model_fails_with_advice_and_with_json(leaking):
    said = command("check", leaking, "--tier", "1", "--json", "--set", "model.task=causal-lm")
    assert said.code == 1
    found = said.json
    assert (found["model"], found["task"]) == (str(leaking), "causal-lm")
    checks = {check["id"]: check for check in found["checks"]}
    assert tuple(checks) == ORDER[:8]
    assert {name for name, check in checks.items() if check["verdict"] == "fail"} == {"causality"}
    for key in ("verdict", "value", "threshold", "advice"):
        assert key in checks["speed"]
    assert "causal mask" in checks["causality"]["advice"]
    assert checks["causality"]["value"] > 0.01


def test_a_terminal_breaks_between_words_and_below_the_text(leaking, tmp_path):
    words = ("check", leaking, "--tier", "1", "--set", "model.task=causal-lm")
    terminal = Terminal(*words, runs=tmp_path)
    assert terminal.exit_code() == 1
    lines = terminal.lines
    assert max(map(len, lines)) <= 80
    for beginning in ("  leak ", "✕ Causality "):
        first = next(number for number, line in enumerate(lines) if line.startswith(beginning))
        assert re.match(r" {18}\S", lines[first + 1])


@pytest.mark.parametrize(
    ("model", "words"),
    [("nowhere", "there is no file or folder 'nowhere'"), ("zoo:elephant", "no zoo model 'elephant'")],
)
def test_a_model_that_is_not_there_is_code_2(model, words):
    said = command("check", model, "--json")
    assert said.code == 2
    assert words in said.err
    assert [(check["id"], check["verdict"]) for check in said.json["checks"]] == [("loads", "fail")]


def test_a_model_that_can_not_be_run_is_code_2(leaking):
    (leaking / "model.py").write_text(LEAKS.replace("return self", "return missing"))
    said = command("check", leaking)
    assert said.code == 2
    assert "NameError: name 'missing' is not defined" in said.err
    assert "Traceback" not in said.err


def test_a_wrong_setting_is_code_2():
    said = command("check", "zoo:gpt", "--set", "model.presets=tiny")
    assert said.code == 2
    assert "Did you mean model.preset?" in said.err


def test_python_checks_a_path_and_a_live_module(leaking):
    settings = {"model.task": "causal-lm"}
    results = tb_widgets.check(leaking, tier=1, settings=settings)
    assert [result.id for result in results if result.verdict == "fail"] == ["causality"]
    torch.set_num_threads(1)
    module = nn.Sequential(nn.Embedding(30, 8), nn.Linear(8, 30))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    results = tb_widgets.check(module, tier=1, settings=settings)
    assert [result.verdict for result in results] == ["pass"] * 8
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert module.training
    assert all(parameter.grad is None for parameter in module.parameters())
