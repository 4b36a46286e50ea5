"""What a sequence-to-sequence model answers is judged as a whole: BLEU, chrF and exact match."""

from __future__ import annotations

import json

import pytest
import torch

from tb_widgets.data.prepared import prepare
from tb_widgets.engine.inference.answers import Answers
from tb_widgets.engine.inference.load_checkpoint import load_checkpoint
from tb_widgets.engine.inference.writer import Writer
from tb_widgets.engine.metrics import ValidationMetrics, measured
from tb_widgets.engine.parallel import Group
from tb_widgets.engine.session import train_run
from tb_widgets.runs.folders import default_cache_dir
from tb_widgets.service.workers.evaluate import _evaluate as evaluate_all

CPU = torch.device("cpu")
SEQ2SEQ = {
    "model.source": "zoo:t5",
    "model.preset": "tiny",
    "model.config": {"n_layer": 1, "n_head": 2, "n_embd": 16},
    "data.source": "reversed-words",
    "data.context_length": 64,
    "evaluation.sample_length": 0,
}


@pytest.fixture(scope="module")
def run(tiny, new_run, tmp_path_factory):
    run = new_run(tmp_path_factory.mktemp("seq2seq"), tiny(SEQ2SEQ | {"checkpoints.monitor": "val/chrf"}))
    assert train_run(run) == "done", run.status().message
    return run


def prepared(run):
    spec = run.spec
    frozen = {"cache_dir": default_cache_dir(), "frozen_tokenizer": run.tokenizer_folder}
    return prepare(spec.data, spec.tokenizer, task="seq2seq", **frozen)


# What sacrebleu 2.6 says by default.
@pytest.mark.parametrize(
    ("written", "right", "bleu", "chrf", "exact"),
    [
        (
            ["the cat sat on the mat, didn't it?", "a dog"],
            ["the cat sat on a mat, didn't it?", "two dogs"],
            61.2372,
            73.6042,
            0,
        ),
        (["", "the the the the"], ["number 12", "the number of the day"], 8.973, 10.2176, 0),
        (["Zahl 1.000 ✓ groß"], ["Zahl 1.000 ✓ größer"], 59.4604, 73.1117, 0),
        (["one two"], ["one two three four five"], 0.0, 24.2083, 0),
        (["xyz", " yes\n"], ["ab", "yes"], None, None, 0.5),
        (["xyz"], ["ab"], 0.0, 0.0, 0),
    ],
)
def test_scores_are_those_of_sacrebleu(written, right, bleu, chrf, exact):
    metrics = ValidationMetrics("seq2seq", CPU, {"answers": len(right)})
    metrics.update(torch.zeros(1, 5), torch.tensor([1]))
    for answer, text in zip(written, right, strict=True):
        metrics.update_answers([answer], [text])
    found = metrics.compute()
    assert found["val/exact-match"] == exact
    if bleu is not None:
        assert (found["val/bleu"], found["val/chrf"]) == pytest.approx((bleu, chrf), abs=1e-4)


def test_without_answers_there_are_no_such_metrics():
    assert "val/bleu" not in measured("seq2seq", {})
    assert "val/bleu" in measured("seq2seq", {"answers": 4})
    assert "val/bleu" not in measured("causal-lm", {"answers": 4})


@pytest.mark.parametrize("trained", [True, False], ids=["trained", "at random"])
def test_answers_are_what_is_written_token_by_token(run, trained):
    model, data = load_checkpoint(run, run.checkpoints()[-1].path), prepared(run)
    torch.manual_seed(0)
    if not trained:
        for parameter in model.model.module.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    passes = []

    def logits_of(batch):
        passes.append(batch["decoder_tokens"].shape[1])
        return model.model.logits(batch)

    answers = Answers.of(data, pairs=9, batch_size=3, context_length=64)
    assert answers.facts == {"answers": 9}
    for batch, (written, right) in zip(
        answers.batches, answers.written(logits_of, Group().share, device=CPU), strict=True
    ):
        most = min(63, 2 * batch["labels"].shape[1])
        for row, (text, wanted) in enumerate(zip(written, right, strict=True)):
            source = batch["tokens"][row][batch["mask"][row]][:-1]  # its end token
            prompt = data.tokenizer.decode(source.numpy())
            assert text == data.tokenizer.decode([*Writer(model)._answer(prompt, most)])
            assert wanted.split() == prompt.split()[::-1]
        assert len(passes) <= most
        passes.clear()


def test_what_is_known_whole_takes_one_pass(run):
    data = prepared(run)
    answers, passes = Answers.of(data, pairs=4, batch_size=4, context_length=64), []
    size = data.vocab_size

    def knows(batch):
        passes.append(batch)
        length = batch["decoder_tokens"].shape[1]
        labels = answers.batches[0]["labels"]
        right = torch.nn.functional.pad(labels, (0, length - labels.shape[1]), value=-100)
        end = labels[0][labels[0] != -100][-1]
        return torch.nn.functional.one_hot(right.masked_fill(right == -100, end), size).float()

    ((written, right),) = answers.written(knows, Group().share, device=CPU)
    assert written == right
    assert len(passes) == 1


def test_ranks_share_the_answers_and_parts_leave_them_as_they_are(run):
    model, data = load_checkpoint(run, run.checkpoints()[-1].path), prepared(run)
    answers = Answers.of(data, pairs=5, batch_size=5, context_length=64)

    def told(group, rows=None):
        parts = list(answers.written(model.model.logits, group.share, device=CPU, rows=rows))
        return [[text for part in parts for text in part[side]] for side in (0, 1)]

    whole = told(Group())
    assert told(Group(), rows=2) == whole
    halves = [told(Group(rank, 2)) for rank in (0, 1)]
    assert [halves[0][side] + halves[1][side] for side in (0, 1)] == whole
    assert told(Group(5, 6)) == [[], []]
    metrics = ValidationMetrics("seq2seq", CPU, answers.facts)
    metrics.update(torch.zeros(1, 5), torch.tensor([1]))
    metrics.update_answers([], [])
    assert metrics.compute()["val/bleu"] == 0


def test_a_run_measures_them_and_takes_its_best_checkpoint_by_them(run):
    lines = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
    tested = [line for line in lines if "val/loss" in line]
    assert ["val/bleu" in line for line in tested] == [False, True, True], "an untrained model has nothing to answer"
    for line in tested[1:]:
        assert 0 <= line["val/exact-match"] <= 1
        assert 0 <= line["val/chrf"] <= 100
    assert run.status().best["value"] == max(line["val/chrf"] for line in tested[1:])
    assert run.spec.checkpoints.better == "max"
    last, size = run.checkpoints()[-1], run.spec.training.batch_size
    again = evaluate_all(run=str(run.path), checkpoint=str(last.path), batches=32 // size)
    assert {key: again[key] for key in ("val/bleu", "val/chrf", "val/exact-match")} == pytest.approx(
        {key: tested[-1][key] for key in ("val/bleu", "val/chrf", "val/exact-match")}
    )


def test_a_monitor_without_answers_is_refused_with_a_way_out(tiny, train):
    status = train(tiny(SEQ2SEQ | {"checkpoints.monitor": "val/bleu", "evaluation.answers": 0})).status()
    assert "val/bleu, which can't be measured on these data: it needs answers." in status.message
    assert status.hint.startswith("Set evaluation.answers to 32. Or: set it to val/loss or ")
    spans = SEQ2SEQ | {"data.source": tiny().data.source, "checkpoints.monitor": "val/bleu"}
    status = train(tiny(spans)).status()
    assert "val/bleu, which can't be measured on these data" in status.message
    assert status.hint.startswith("Set it to val/loss")
    status = train(tiny({"checkpoints.monitor": "val/bleu"})).status()
    assert "val/bleu, which a model for causal-lm does not have" in status.message
