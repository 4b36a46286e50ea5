"""Spans cut out of a text, and what is asked about them."""

import numpy as np
import pytest
import torch

from tb_widgets.data.batches import spans
from tb_widgets.data.keyed_random import key_of
from tb_widgets.data.prepared import prepare
from tb_widgets.data.tokenizers.special_tokens import SHORTEST_TO_CUT, SpecialTokens, span_sizes
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, TokenizerSpec

SPECIAL = SpecialTokens(100)  # start 102, end 103, and sentinels from 104 on


def cut_out(text, key):
    return {role: torch.from_numpy(rows) for role, rows in spans.cut_out(text.numpy(), key, SPECIAL).items()}


def test_a_batch_by_hand():
    """Of 40 tokens 6 go, in two spans; of 12 tokens two, in one. Where, follows from the key."""
    assert [span_sizes(length) for length in (10, 12, 40, 128, 512)] == [(2, 1), (2, 1), (6, 2), (19, 6), (77, 26)]
    batch = cut_out(torch.arange(12).expand(3, 12), key_of("by hand"))
    for row, first in enumerate((1, 7, 6)):
        kept = [*range(first), 104, *range(first + 2, 12), 103]
        assert batch["tokens"][row].tolist() == kept
        assert batch["decoder_tokens"][row].tolist() == [102, 104, first, first + 1]
        assert batch["labels"][row].tolist() == [104, first, first + 1, 103]


def put_back(read, written):
    """Put the written spans where their sentinels are read, as a person would."""
    found_spans, sentinel = {}, None
    for token in written[: written.index(103)]:
        if token >= 104:
            sentinel, found_spans[token] = token, []
        else:
            found_spans[sentinel].append(token)
    assert all(found_spans.values())  # none is empty
    found = []
    for token in read[: read.index(103)]:
        found += found_spans.pop(token) if token >= 104 else [token]
    assert not found_spans
    return found


@pytest.mark.parametrize("length", [SHORTEST_TO_CUT, 11, 31, 64, 200])
def test_what_was_cut_out_put_back_is_the_text(length):
    text = torch.randint(100, (5, length), generator=torch.Generator().manual_seed(length))
    batch = cut_out(text, key_of(length))
    roles = [batch[role].tolist() for role in ("tokens", "decoder_tokens", "labels")]
    for row, read, shifted, written in zip(text.tolist(), *roles, strict=True):
        assert len(read) <= length
        assert shifted == [102, *written[:-1]]
        assert put_back(read, written) == row
        sentinels = [token for token in read if token >= 104]
        assert sentinels == list(range(104, 104 + span_sizes(length)[1]))  # each once, in order


def test_15_in_a_hundred_go_in_spans_of_three_everywhere_alike():
    text = torch.arange(100).expand(2000, 100)
    batch = cut_out(text, key_of("many"))
    gone = np.ones((2000, 100), dtype=bool)
    read = batch["tokens"].numpy()
    for row, tokens in enumerate(read):
        gone[row, tokens[tokens < 100]] = False
    assert (gone.sum(1) == 15).all()
    per_place = gone.mean(0)
    assert per_place[10:90].std() < 0.02
    assert per_place[[0, 99]].min() > 0.05  # a text may begin and end with a span
    begins = gone & ~np.pad(gone, ((0, 0), (1, 0)))[:, :-1]
    assert (begins.sum(1) == 5).all()  # three tokens each, on average


def test_a_plain_text_serves_a_model_that_turns_one_text_into_another(tmp_path, text_file):
    data = DataSpec(source=str(text_file), context_length=64)
    prepared = prepare(data, TokenizerSpec(kind="byte"), task="seq2seq", cache_dir=tmp_path)
    assert prepared.vocab_size == 256 + 4 + 3
    one, again = (prepared.train_batches(batch_size=4, seed=1) for _ in range(2))
    assert all(torch.equal(one.batch(3)[role], again.batch(3)[role]) for role in one.batch(3))
    assert not torch.equal(one.batch(3)["tokens"], prepared.train_batches(batch_size=4, seed=2).batch(3)["tokens"])
    halves = [one.batch(3, rank=rank, ranks=2)["labels"] for rank in (0, 1)]
    assert torch.equal(torch.cat(halves), one.batch(3)["labels"])
    assert one.batch(3)["tokens"].max() == 256 + 4 + 2
    (held_back,) = prepared.validation_batches(batch_size=2, batches=1)
    assert torch.equal(held_back["labels"], prepared.validation_batches(batch_size=2, batches=1)[0]["labels"])
    for shown in prepared.validation_examples(3):
        assert shown.prompt.count("[MASK]") == 3  # as many as there are sentinels


def test_a_context_in_which_nothing_can_be_cut_out(tmp_path, text_file):
    data = DataSpec(source=str(text_file), context_length=9)
    with pytest.raises(
        DataError, match=r"data.context_length is 9, which is too short for span corruption.* Set it to 10 or more"
    ):
        prepare(data, TokenizerSpec(kind="byte"), task="seq2seq", cache_dir=tmp_path)
