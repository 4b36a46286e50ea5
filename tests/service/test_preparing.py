"""A model of one's own, from Python: what nobody chose is fitted to it, and what can't be trained leaves no run."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

import tb_widgets
from tb_widgets.errors import ModelError, SpecError
from tests.models.broken import ENCODER

SHORT = {"training.steps": 3, "training.batch_size": 4, "evaluation.every": 3, "evaluation.batches": 1}
CLASSIFIER = """from torch import nn


class TextClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(300, 16)
        self.classifier = nn.Linear(16, 2)

    def forward(self, input_ids):
        return self.classifier(self.words(input_ids).mean(1))
"""


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A model of 64 tokens that reads 48 of them and sees all of them."""
    (tmp_path / "model.py").write_text(ENCODER)
    return tmp_path / "model.py"


def test_text_and_sizes_that_nobody_chose_are_fitted_to_a_model(encoder, tmp_path):
    settings = SHORT | {"model.task": "masked-lm"}
    run = tb_widgets.train(model=encoder, runs_dir=tmp_path / "runs", settings=settings, show_progress=False)
    spec = run.spec
    assert run.state == "done"
    # Two of the 64 are signs, for padding and for what is to be guessed.
    assert (spec.tokenizer.kind, spec.tokenizer.vocab_size, spec.data.context_length) == ("bpe", 62, 48)


def test_what_was_chosen_and_does_not_fit_is_refused_before_there_is_a_run(encoder, tmp_path):
    settings = SHORT | {"model.task": "masked-lm", "data.context_length": 64, "tokenizer.kind": "byte"}
    with pytest.raises(SpecError) as caught:
        tb_widgets.train(model=encoder, runs_dir=tmp_path / "runs", settings=settings, show_progress=False)
    assert [field for field, _ in caught.value.problems] == ["data.context_length", "tokenizer.kind"]
    assert "the model reads at most 48 tokens" in str(caught.value)
    assert "data.context_length=48, tokenizer.kind=bpe" in caught.value.hint
    assert not (tmp_path / "runs").exists()


def test_what_a_file_gives_was_chosen_and_what_a_preset_gives_was_not(encoder, tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text("model: {task: masked-lm}\ntraining: {steps: 3}\ndata: {context_length: 64}\n")
    with pytest.raises(SpecError, match="reads at most 48 tokens"):
        tb_widgets.train(file, model=encoder, runs_dir=tmp_path / "runs", show_progress=False)
    settings = SHORT | {"model.task": "masked-lm"}
    run = tb_widgets.train(
        preset="quick", model=encoder, runs_dir=tmp_path / "runs", settings=settings, show_progress=False
    )
    assert run.spec.data.context_length == 48


def test_data_that_nobody_chose_give_way_to_what_the_task_asks_for(tmp_path, capsys):
    (tmp_path / "model.py").write_text(CLASSIFIER)
    run = tb_widgets.train(model=tmp_path, runs_dir=tmp_path / "runs", settings=SHORT)
    assert (run.state, run.spec.data.source) == ("done", "prose-or-code")
    said = capsys.readouterr().out
    assert "Set data.source=prose-or-code to fit the model: the model classifies texts" in said
    with pytest.raises(SpecError, match=r"data\.source: the model classifies"):
        tb_widgets.train(
            model=tmp_path, data="python-docs", runs_dir=tmp_path / "runs", settings=SHORT, show_progress=False
        )
    assert len(tb_widgets.list_runs(tmp_path / "runs")) == 1


def test_a_live_module_is_fitted_too(tmp_path):
    class Bigrams(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(100, 100)

        def forward(self, input_ids):  # type: ignore[no-untyped-def]
            return self.table(input_ids)

    run = tb_widgets.train(model=Bigrams(), runs_dir=tmp_path / "runs", settings=SHORT, show_progress=False)
    assert (run.state, run.spec.tokenizer.vocab_size) == ("done", 100)


def test_a_model_that_sees_the_answers_leaves_no_run(encoder, tmp_path):
    settings = SHORT | {"model.task": "causal-lm"}
    with pytest.raises(ModelError, match="can see the tokens it has to predict") as caught:
        tb_widgets.train(model=encoder, runs_dir=tmp_path / "runs", settings=settings, show_progress=False)
    assert "causal-mask in model.repairs" in caught.value.hint
    assert not (tmp_path / "runs").exists()


def test_what_can_not_be_told_is_asked_for_before_there_is_a_run(encoder, tmp_path):
    with pytest.raises(ModelError, match="nothing in it says which") as caught:
        tb_widgets.train(model=encoder, runs_dir=tmp_path / "runs", settings=SHORT, show_progress=False)
    assert "Set model.task to masked-lm or to causal-lm" in caught.value.hint
    assert not (tmp_path / "runs").exists()


def test_a_preflight_measures_what_a_run_would_be_fitted_to(encoder):
    measured = tb_widgets.preflight(model=encoder, settings=SHORT | {"model.task": "masked-lm"})
    assert measured.batch == "4 × 48 tokens"
    with pytest.raises(ModelError, match="reads at most 48 tokens"):
        tb_widgets.preflight(model=encoder, settings={"model.task": "masked-lm", "data.context_length": 64})


def test_data_are_weighed_against_a_model_of_one_s_own(tmp_path):
    (tmp_path / "model.py").write_text(CLASSIFIER)
    table = tmp_path / "reviews.csv"
    table.write_text("review,label\n" + "".join(f"text number {n},{'good' if n % 2 else 'bad'}\n" for n in range(60)))
    found = tb_widgets.preview(table, model=tmp_path)
    assert {choice.role: choice.column for choice in found.columns} == {"text": "review", "label": "label"}
    assert found.vocab_size is not None
    assert found.vocab_size <= 300
