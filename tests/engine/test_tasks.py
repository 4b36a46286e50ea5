"""Every task through the whole engine, on models so small that they are done in a moment."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from torch import nn

from tb_widgets.app.state.draft import Draft
from tb_widgets.data.batches.masking import hide
from tb_widgets.data.batches.padded import translated
from tb_widgets.data.batches.streams import next_tokens
from tb_widgets.data.keyed_random import key_of
from tb_widgets.data.tokenizers.special_tokens import SpecialTokens
from tb_widgets.engine.evaluation import evaluate
from tb_widgets.engine.inference.writer import open_writer
from tb_widgets.engine.session import train_run
from tb_widgets.spec import Task

from .conftest import losses, weights_digest

SMALL = {"n_layer": 1, "n_head": 2, "n_embd": 16}
CLASSIFIER = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(300, 16)
        self.classifier = nn.Linear(16, 2)

    def forward(self, input_ids, attention_mask=None):
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        real = real.unsqueeze(-1).float()
        return self.classifier((self.words(input_ids) * real).sum(1) / real.sum(1))
"""
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """The fields of a run for each task beyond causal language modelling."""
    folder = tmp_path_factory.mktemp("classifier")
    (folder / "model.py").write_text(CLASSIFIER)
    (folder / "config.json").write_text("{}")
    found: dict[Task, dict] = {
        "masked-lm": {"model.source": "zoo:bert", "model.config": SMALL},
        "seq2seq": {
            "model.source": "zoo:t5",
            "model.config": SMALL,
            "data.source": "reversed-words",
            "data.context_length": 64,
            "evaluation.sample_length": 8,
        },
        "sequence-classification": {
            "model.source": str(folder),
            "model.config": {},
            "data.source": "prose-or-code",
            "data.context_length": 32,
        },
        "vision-classification": {
            "model.source": "zoo:vit",
            "model.config": SMALL | {"image_size": 16},
            "data.source": "drawn-shapes",
        },
    }
    return {task: {"model.preset": "tiny", **fields} for task, fields in found.items()}


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


ALL = ["masked-lm", "seq2seq", "sequence-classification", "vision-classification"]


@pytest.mark.parametrize("task", ALL)
def test_each_task_trains_tests_and_shows_what_it_does(tiny, train, tasks, task):
    run = train(tiny(tasks[task]))
    status = run.status()
    assert status.state == "done", status.message
    if task != "sequence-classification":  # a model of the user's own is counted when it is built
        assert Draft(run.spec).model.parameters == status.parameters
    assert len(losses(run)) == 20
    tested = [line for line in lines(run.metrics_file) if "val/loss" in line]
    assert [line["step"] for line in tested] == [0, 10, 20]
    for line in tested:
        assert 0 <= line["val/accuracy"] <= 1
        predicts_tokens = task in ("masked-lm", "seq2seq")
        assert ("val/perplexity" in line) == ("val/top-5" in line) == predicts_tokens
        assert ("val/f1" in line) == (not predicts_tokens)
        assert "val/bits-per-byte" not in line  # these labels are not the text
    speed = "examples_per_second" if task == "vision-classification" else "tokens_per_second"
    assert lines(run.metrics_file)[-1][speed] > 0
    samples = lines(run.samples_file)
    assert len(samples) == 6
    assert {sample["task"] for sample in samples} == {task}
    first = samples[0]
    assert first["expected"]
    assert run.tokenizer_folder.is_dir() == (task != "vision-classification")
    if task == "masked-lm":
        assert first["text"].count("«") == first["prompt"].count("[MASK]") == 3
    elif task == "seq2seq":
        assert first["expected"].split() == first["prompt"].split()[::-1]
    else:
        names = {"prose", "code"} if task == "sequence-classification" else {"circle", "square", "triangle", "cross"}
        assert first["expected"] in names
        assert {part.split()[0] for part in first["text"].split(", ")} == names


@pytest.mark.parametrize("task", ALL)
def test_micro_batches_give_the_losses_of_the_whole_batch(tiny, train, tasks, task):
    fields = tasks[task] | {"training.batch_size": 8, "training.steps": 8, "evaluation.sample_length": 0}
    whole = losses(train(tiny(fields)))
    parts = losses(train(tiny(fields | {"training.micro_batch_size": 3})))
    assert len(parts) == 8
    assert parts == pytest.approx(whole, rel=2e-5)


def test_a_table_with_labels_or_of_pairs_is_trained_on_and_the_run_keeps_the_names_of_its_classes(
    tiny, train, tasks, tmp_path
):
    reviews = tmp_path / "reviews.csv"
    rows = [
        f"{n},it was {'good' if n % 2 else 'bad'} {'indeed ' * (n % 7)},{'liked' if n % 2 else 'hated'}"
        for n in range(99)
    ]
    reviews.write_text("\n".join(["id,review,opinion", *rows]))
    chosen = {"data.source": str(reviews), "data.columns": {"label": "opinion"}, "data.validation_fraction": 0.3}
    run = train(tiny(tasks["sequence-classification"] | chosen | {"data.padding_side": "left"}))
    assert run.status().state == "done", run.status().message
    reviews.unlink()
    answer = "".join(open_writer(run, run.checkpoints()[-1].path).write("it was good", length=1))
    assert {part.split()[0] for part in answer.split(", ")} == {"hated", "liked"}

    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(json.dumps({"en": f"number {n}", "de": f"Zahl {n}"}) + "\n" for n in range(99)))
    run = train(tiny(tasks["seq2seq"] | {"data.source": str(pairs), "data.validation_fraction": 0.3}))
    assert run.status().state == "done", run.status().message
    sample = lines(run.samples_file)[0]
    assert sample["expected"] == sample["prompt"].replace("number", "Zahl")


@pytest.mark.parametrize("task", ["masked-lm", "seq2seq"])
def test_a_resumed_run_ends_with_the_same_bits(tiny, train, tasks, task):
    dropout = {"model.config": SMALL | {"dropout": 0.1}}
    run = train(tiny(tasks[task] | dropout))
    expected, loss = weights_digest(run.checkpoints()[-1].path), losses(run)
    assert [info.step for info in run.checkpoints()] == [10, 20]
    shutil.rmtree(run.checkpoints()[-1].path)
    assert train_run(run) == "done"
    assert any(event["kind"] == "resumed" and event["step"] == 10 for event in lines(run.events_file))
    assert weights_digest(run.checkpoints()[-1].path) == expected
    assert losses(run) == loss


def test_models_that_copy_what_they_read_are_right_by_chance_only():
    """Where labels and inputs are out of step by one, or in step where they should not be, copying pays."""
    text = torch.randint(20, (64, 65), generator=torch.Generator().manual_seed(0))

    def copied(role):
        return lambda batch: nn.functional.one_hot(batch[role], 30).float()

    def accuracy(role, batch, task):
        return evaluate(nn.Identity(), copied(role), [batch], task=task, device=CPU)["val/accuracy"]

    assert accuracy("tokens", next_tokens(text), "causal-lm") == pytest.approx(1 / 20, abs=0.02)
    shown = hide(text.numpy(), key_of("key"), vocab_size=20, mask=21)
    hidden = {role: torch.from_numpy(rows) for role, rows in shown.items()}
    assert accuracy("tokens", hidden, "masked-lm") == pytest.approx(0.1 + 0.1 / 20, abs=0.04)
    pairs = translated(text.numpy(), text.numpy(), SpecialTokens(20))
    assert accuracy("decoder_tokens", pairs, "seq2seq") == pytest.approx(1 / 20, abs=0.02)


def test_a_best_checkpoint_by_a_figure_that_there_is_not(tiny, train, tasks):
    status = train(tiny(tasks["vision-classification"] | {"checkpoints.monitor": "val/perplexity"})).status()
    assert status.state == "failed"
    assert status.message.startswith("checkpoints.monitor is val/perplexity, which a model for vision-classification")


@pytest.mark.parametrize(
    ("task", "fields", "sentence"),
    [
        ("seq2seq", {"data.source": "prose-or-code"}, "needs pairs of texts, but prose-or-code is for sequence-class"),
        ("masked-lm", {"data.source": "drawn-shapes"}, "needs plain text, but drawn-shapes is for vision"),
        ("vision-classification", {"model.config": {"classes": 3}}, "4 classes, but the model predicts 3"),
        (
            "sequence-classification",
            {"tokenizer.kind": "bpe", "tokenizer.vocab_size": 300},
            "need 301 ids, but the model has 300",
        ),
        (
            "vision-classification",
            {"evaluation.prompts": ["A circle."]},
            "contains text, but the model classifies images",
        ),
        ("masked-lm", {"evaluation.prompts": ["No gap."]}, "fills in masked tokens, and this prompt has none"),
    ],
)
def test_what_does_not_go_together_fails_before_training(tiny, train, tasks, *, task, fields, sentence):
    run = train(tiny(tasks[task] | fields))
    assert run.status().state == "failed"
    assert sentence in run.status().message
    assert run.status().hint
    assert not run.metrics_file.exists() or not run.metrics_file.read_text()
