"""The validation metrics, against values worked out by hand."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from tb_widgets.data.batches.streams import next_tokens
from tb_widgets.engine.evaluation import evaluate
from tb_widgets.engine.metrics import perplexity
from tb_widgets.errors import TrainingError

CPU = torch.device("cpu")
NOTHING = nn.Identity()


def test_every_token_counts_the_same_however_it_is_batched():
    # Two tokens; the model gives "the right one is 0" odds of 3 to 1, so 0 costs ln(4/3) and 1 costs ln 4.
    def odds(batch):
        return torch.tensor([math.log(3.0), 0.0]).expand(*batch["tokens"].shape, 2)

    three_rows = torch.zeros(3, 5, dtype=torch.int64)  # 12 targets, all 0
    one_row = torch.ones(1, 5, dtype=torch.int64)  # 4 targets, all 1
    metrics = evaluate(NOTHING, odds, [next_tokens(three_rows), next_tokens(one_row)], device=CPU)
    by_hand = (12 * math.log(4 / 3) + 4 * math.log(4)) / 16
    assert metrics["val/loss"] == pytest.approx(by_hand)
    assert metrics["val/accuracy"] == 12 / 16
    assert metrics["val/perplexity"] == pytest.approx(math.exp(by_hand))


def test_a_model_that_repeats_its_input_is_right_only_where_the_text_repeats_itself():
    def repeat(batch):
        return nn.functional.one_hot(batch["tokens"], 5).float()

    text = torch.tensor([[1, 1, 2, 2, 3]])  # 1 -> 1 right, 1 -> 2 wrong, 2 -> 2 right, 2 -> 3 wrong
    assert evaluate(NOTHING, repeat, [next_tokens(text)], device=CPU)["val/accuracy"] == 0.5


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary():
    def shrug(batch):
        return torch.zeros(*batch["tokens"].shape, 50)

    metrics = evaluate(NOTHING, shrug, [next_tokens(torch.arange(9).reshape(1, 9))], device=CPU)
    assert metrics["val/perplexity"] == pytest.approx(50.0)


def test_a_loss_beyond_all_numbers_is_an_infinite_perplexity():
    assert perplexity(0.0) == 1.0
    assert perplexity(10_000.0) == math.inf


def test_dropout_is_off_while_testing_and_on_again_after():
    module = nn.Dropout(0.5)

    def through_dropout(batch):
        return module(nn.functional.one_hot(batch["tokens"], 5).float() * 9)

    text = torch.ones(4, 50, dtype=torch.int64)
    assert evaluate(module.train(), through_dropout, [next_tokens(text)], device=CPU)["val/accuracy"] == 1.0
    assert module.training


def test_held_back_data_without_a_label_are_told():
    def shrug(batch):
        return torch.zeros(*batch["tokens"].shape, 50)

    batch = next_tokens(torch.arange(9).reshape(1, 9))
    batch["labels"] = torch.full_like(batch["labels"], -100)
    with pytest.raises(TrainingError, match="No label of the validation data counts") as caught:
        evaluate(NOTHING, shrug, [batch], device=CPU)
    assert "Use a larger" in caught.value.hint


def test_the_journal_holds_them_at_every_evaluation(tiny, train):
    lines = [json.loads(line) for line in train(tiny()).metrics_file.read_text().splitlines()]
    tested = {line["step"]: line for line in lines if "val/loss" in line}
    assert list(tested) == [0, 10, 20]
    for line in tested.values():
        assert line["val/perplexity"] == pytest.approx(math.exp(line["val/loss"]))
        assert 0 <= line["val/accuracy"] <= 1
