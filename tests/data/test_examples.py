"""Single examples: where they come from, and what their batches look like."""

import numpy as np
import pytest
import torch

from tb_widgets.data.examples import read_examples
from tb_widgets.data.padded import ExampleBatches, classified, translated
from tb_widgets.data.prepared import prepare
from tb_widgets.data.special import SpecialTokens
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, TokenizerSpec

SPECIAL = SpecialTokens(10)  # pad 10, mask 11, start 12, end 13


def ids(*rows):
    return [np.array(row, dtype=np.uint16) for row in rows]


def test_a_classification_batch_by_hand():
    batch = classified(ids([1, 2, 3], [4]), [1, 0], SPECIAL)
    assert batch["tokens"].tolist() == [[1, 2, 3], [4, 10, 10]]
    assert batch["mask"].tolist() == [[True, True, True], [True, False, False]]
    assert batch["labels"].tolist() == [1, 0]
    assert (batch["tokens"].dtype, batch["mask"].dtype, batch["labels"].dtype) == (torch.int64, torch.bool, torch.int64)


def test_a_sequence_to_sequence_batch_by_hand():
    batch = translated(ids([1, 2], [3]), ids([2, 1], [3, 3, 3]), SPECIAL)
    assert batch["tokens"].tolist() == [[1, 2, 13], [3, 13, 10]]
    assert batch["mask"].tolist() == [[True, True, True], [True, True, False]]
    assert batch["decoder_tokens"].tolist() == [[12, 2, 1, 10], [12, 3, 3, 3]]
    assert batch["labels"].tolist() == [[2, 1, 13, -100], [3, 3, 3, 13]]


def test_lines_of_prose_and_code_are_balanced_different_and_in_one_part_only():
    found = read_examples("prose-or-code")
    assert found.classes == ("prose", "code")
    texts = [example.text for example in found.examples]
    assert len(texts) > 8_000
    assert len(set(texts)) == len(texts)
    answers = [example.answer for example in found.examples]
    assert answers.count("prose") == answers.count("code") == len(answers) / 2
    training, held_back = found.parts(0.1)
    assert {e.text for e in training}.isdisjoint(e.text for e in held_back)
    assert len(training) + len(held_back) == len(texts)
    assert len(held_back) == pytest.approx(0.1 * len(texts), rel=0.15)
    # A larger share only moves lines from one part to the other.
    assert {e.text for e in held_back} < {e.text for e in found.parts(0.2)[1]}


def test_the_answers_of_reversed_words_are_their_words_backwards():
    found = read_examples("reversed-words")
    assert found.classes == ()
    assert len(found.examples) > 15_000
    for example in found.examples:
        words = example.text.split(" ")
        assert 2 <= len(words) == len(set(words)) <= 5
        assert example.answer == " ".join(reversed(words))
    training, held_back = found.parts(0.1)
    assert {e.text for e in training}.isdisjoint(e.text for e in held_back)


def numbers(batch_size=4, seed=1, count=100):
    lengths = np.arange(count) % 17
    return ExampleBatches(
        lambda found: {"labels": torch.from_numpy(found)}, lengths, batch_size=batch_size, seed=seed, fingerprint="x"
    )


def test_each_pass_sees_every_example_once_in_an_order_that_follows_from_the_step():
    steps = [numbers().batch(step)["labels"] for step in range(48)]  # 16 steps are put in order together
    first = torch.cat(steps)[:64]
    assert len(first.unique()) == 64  # no example twice within a pass
    for start in range(0, 1600, 16):
        row = torch.cat([numbers(count=64).batch(step)["labels"] for step in range(start, start + 16)])
        assert row.sort().values.tolist() == list(range(64))
        if start > 64:
            break
    again = numbers()
    assert all(torch.equal(again.batch(step)["labels"], steps[step]) for step in reversed(range(48)))
    assert not torch.equal(numbers(seed=2).batch(0)["labels"], steps[0])


def test_a_batch_holds_examples_of_about_the_same_length():
    spread = [np.ptp(numbers(count=1000).batch(step)["labels"].numpy() % 17) for step in range(16)]
    assert max(spread) <= 4
    firsts = [int(numbers(count=1000).batch(step)["labels"][0]) % 17 for step in range(16)]
    assert firsts != sorted(firsts)  # short ones do not all come first


def test_ranks_share_a_batch():
    parts = [numbers().batch(3, rank=rank, ranks=2)["labels"] for rank in (0, 1)]
    assert torch.equal(torch.cat(parts), numbers().batch(3)["labels"])


@pytest.mark.parametrize(
    ("task", "source", "specials"), [("sequence-classification", "prose-or-code", 1), ("seq2seq", "reversed-words", 4)]
)
def test_prepared_examples(tmp_path, task, source, specials):
    data = DataSpec(source=source, context_length=128)
    spec = TokenizerSpec(vocab_size=512)
    prepared, again = (prepare(data, spec, task=task, cache_dir=tmp_path) for _ in range(2))
    assert prepared.fingerprint == again.fingerprint
    assert prepared.vocab_size == prepared.tokenizer.vocab_size + specials
    batch = prepared.train_batches(batch_size=4, seed=1).batch(2)
    other = again.train_batches(batch_size=4, seed=1).batch(2)
    assert all(torch.equal(batch[role], other[role]) for role in batch)
    highest = max(batch[role].max().item() for role in ("tokens", "decoder_tokens") if role in batch)
    assert highest < prepared.vocab_size
    found = prepared.validation_batches(batch_size=8, batches=3)
    assert sum(len(batch["labels"]) for batch in found) == 24
    shown = prepared.held_back(3)
    assert len({example.prompt for example in shown}) == 3
    text = prepared.tokenizer.decode(prepared.validation.texts[0])
    assert text == prepared.examples[0].text == shown[0].prompt
    longer = prepare(data.model_copy(update={"validation_fraction": 0.2}), spec, task=task, cache_dir=tmp_path)
    assert longer.fingerprint != prepared.fingerprint


def test_a_long_text_is_cut_for_classification_and_a_long_pair_is_refused(tmp_path):
    byte = TokenizerSpec(kind="byte")
    cut = prepare(
        DataSpec(source="prose-or-code", context_length=24), byte, task="sequence-classification", cache_dir=tmp_path
    )
    assert cut.train.lengths.max() == 24
    with pytest.raises(DataError, match=r"longest text of reversed-words has \d+ tokens with its end, .*at least \d+"):
        prepare(DataSpec(source="reversed-words", context_length=24), byte, task="seq2seq", cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("source", "task", "message"),
    [
        (
            "prose-or-code",
            "seq2seq",
            r"the model turns one text into another \(seq2seq\) and needs pairs of texts; prose-or-code serves "
            r"sequence-classification\. Set data.source to reversed-words, or choose a model for sequence-class",
        ),
        ("notes.txt", "sequence-classification", r"needs texts with labels; notes.txt .*source to prose-or-code"),
        ("drawn-shapes", "masked-lm", r"needs a plain text; .* python-docs, python-source or the path of a text file"),
        ("prose-or-code", "vision-classification", r"sorts images into classes .*source to drawn-shapes"),
    ],
)
def test_a_source_that_can_not_serve_a_task_is_refused_with_those_that_can(tmp_path, source, task, message):
    with pytest.raises(DataError, match=message):
        prepare(DataSpec(source=source), TokenizerSpec(kind="byte"), task=task, cache_dir=tmp_path)


def test_a_part_without_examples_is_refused():
    with pytest.raises(DataError, match=r"validation_fraction is 1e-09, which leaves one part of reversed-words empty"):
        read_examples("reversed-words").parts(1e-9)
