"""Ids of special tokens: what a tokenizer brings along is used, and the rest follows its pieces."""

from __future__ import annotations

import pytest
import tokenizers
import torch

from tb_widgets.data.prepared import prepare
from tb_widgets.data.preview.preview import preview_data
from tb_widgets.data.tokenizers.special_tokens import SpecialTokens, vocabulary_with_specials
from tb_widgets.spec import DataSpec, TokenizerSpec


def test_missing_ones_follow_the_pieces_in_order():
    none, some = SpecialTokens(10), SpecialTokens(10, {"pad": 3, "start": 1})
    assert (none.pad, none.mask, none.start, none.end, none.sentinel(0), none.document_end) == (10, 11, 12, 13, 14, 10)
    assert (some.pad, some.mask, some.start, some.end, some.sentinel(0), some.document_end) == (3, 10, 1, 11, 12, 3)
    assert SpecialTokens(10, {"end": 2}).document_end == 2


@pytest.mark.parametrize(
    ("task", "own", "settings", "needed"),
    [
        ("causal-lm", {}, {}, 10),
        ("causal-lm", {}, {"documents": True}, 11),
        ("causal-lm", {"end": 2}, {"documents": True}, 10),
        ("masked-lm", {}, {"documents": True}, 12),
        ("masked-lm", {"mask": 4}, {}, 11),
        ("masked-lm", {"mask": 4, "pad": 0}, {}, 10),
        ("sequence-classification", {"mask": 4}, {}, 11),
        ("seq2seq", {"pad": 0, "end": 1}, {"sentinels": 3}, 15),
    ],
)
def test_a_model_must_know_the_highest_id_that_a_task_uses(task, own, settings, needed):
    assert vocabulary_with_specials(10, task, own=own, **settings) == needed


@pytest.fixture
def words(tmp_path):
    """A tokenizer of words with signs of its own."""
    vocabulary = ["[PAD]", "[UNK]", "[MASK]", *(f"w{n}" for n in range(50))]
    core = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: number for number, word in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    core.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    core.add_special_tokens(["[PAD]", "[UNK]", "[MASK]"])
    core.save(str(tmp_path / "tokenizer.json"))
    return TokenizerSpec(kind="file", file=str(tmp_path / "tokenizer.json"))


def test_a_tokenizer_with_signs_of_its_own_needs_no_more_ids(words, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("".join(f"w{n * n % 50} w{n % 7}\n" for n in range(3000)))
    data = DataSpec(source=str(text), context_length=32)
    prepared = prepare(data, words, task="masked-lm", cache_dir=tmp_path / "cache")
    assert prepared.vocab_size == 53 == preview_data(data, words, "masked-lm").vocab_size
    batch = prepared.train_batches(batch_size=8, seed=1).batch(0)
    assert batch["tokens"].max() < 53
    hidden = (batch["labels"] != -100) & (batch["tokens"] == 2)
    assert hidden.sum() > 0.5 * (batch["labels"] != -100).sum()
    (row, *_) = preview_data(data, words, "masked-lm").batch
    assert {mark.text for mark in row.reads if mark.kind == "hidden"} == {"[MASK]"}

    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\n" + "".join(f"{'w1 ' * (n % 5 + 1)},{'ab'[n % 2]}\n" for n in range(80)))
    data = DataSpec(source=str(rows), validation_fraction=0.3)
    prepared = prepare(data, words, task="sequence-classification", cache_dir=tmp_path / "cache")
    assert prepared.vocab_size == 53
    batch = prepared.train_batches(batch_size=50, seed=1).batch(0)
    assert torch.equal(batch["tokens"] == 0, ~batch["mask"])
    (row, *_) = preview_data(data, words, "sequence-classification").batch
    assert [mark.text for mark in row.reads if mark.kind == "special"] == ["[PAD]"] * 2
