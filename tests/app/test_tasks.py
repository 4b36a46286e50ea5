"""What the page says of runs that do something else than continue texts."""

from __future__ import annotations

import json

import pytest

from tb_widgets.spec import TASKS

from .conftest import at, shown
from .test_escaping import EVIL


@pytest.fixture
def classified(dashboard, make_run):
    """A dashboard on a run that sorts lines, with samples of two evaluations."""
    run = make_run(state="done", step=20, total=20, task="sequence-classification")
    sample = {"task": "sequence-classification", "step": 20, "prompt": EVIL, "text": "code 64 %, prose 36 %"}
    lines = [
        sample | {"step": 10},
        sample | {"expected": "code"},
        sample | {"expected": f"prose {EVIL}", "picture": f'"{EVIL}'},
    ]
    run.samples_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    dashboard.open_run(run.path)
    dashboard.show("train")
    dashboard.refresh()
    return dashboard


def test_samples_of_the_last_evaluation_say_what_would_be_right(classified):
    seen = shown(classified.page.boxes["train"])
    assert "Predicted classes" in seen
    assert seen.count("64 %") == 2
    assert "✓ correct" in seen
    assert "✕ wrong</span> correct: prose" in seen
    assert "tbw-seen" not in seen  # what is no picture is not shown as one
    assert "<script" not in seen


def test_the_playground_says_what_such_a_model_can_do(classified):
    classified.show("runs")
    classified.refresh()
    box = classified.page.boxes["runs"]
    assert "Classify text" in shown(box)
    assert "Temperature" not in shown(box)
    assert at(box, "prompt") is not None


@pytest.mark.parametrize("task", ["masked-lm", "seq2seq", "sequence-classification", "vision-classification"])
def test_every_task_has_words_of_its_own(task):
    assert TASKS[task].ask_help
