"""Single examples: where they come from, and what their batches look like."""

import numpy as np
import pytest
import torch

from tb_widgets.data.batches.padded import classified, translated
from tb_widgets.data.prepared import prepare
from tb_widgets.data.reading.examples import find_examples
from tb_widgets.data.tokenizers.special_tokens import SpecialTokens
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


def test_padding_on_the_left_by_hand():
    batch = classified(ids([1, 2, 3], [4]), [1, 0], SPECIAL, side="left")
    assert batch["tokens"].tolist() == [[1, 2, 3], [10, 10, 4]]
    assert batch["mask"].tolist() == [[True, True, True], [False, False, True]]
    pairs = translated(ids([1, 2], [3]), ids([2, 1], [3, 3, 3]), SPECIAL, side="left")
    assert pairs["tokens"].tolist() == [[1, 2, 13], [10, 3, 13]]
    assert pairs["mask"].tolist() == [[True, True, True], [False, True, True]]
    # What the decoder reads begins with its start token, on either side.
    assert pairs["decoder_tokens"].tolist() == [[12, 2, 1, 10], [12, 3, 3, 3]]
    assert pairs["labels"].tolist() == [[2, 1, 13, -100], [3, 3, 3, 13]]


def both_parts(source, fraction=0.1):
    """The texts and answers of both parts of a source of ours."""
    rows = list(find_examples(DataSpec(source=source), "seq2seq").rows(DataSpec(validation_fraction=fraction)))
    return [[row for is_held_back, row in rows if is_held_back is part] for part in (False, True)]


def test_lines_of_prose_and_code_are_balanced_different_and_in_one_part_only():
    assert find_examples(DataSpec(source="prose-or-code"), "sequence-classification").classes == ("prose", "code")
    training, held_back = both_parts("prose-or-code")
    texts = [example.text for example in training + held_back]
    assert len(texts) > 8_000
    assert len(set(texts)) == len(texts)
    answers = [example.answer for example in training + held_back]
    assert answers.count("prose") == answers.count("code") == len(answers) / 2
    assert {e.text for e in training}.isdisjoint(e.text for e in held_back)
    assert len(held_back) == pytest.approx(0.1 * len(texts), rel=0.15)
    # A larger share only moves lines from one part to the other.
    assert {e.text for e in held_back} < {e.text for e in both_parts("prose-or-code", 0.2)[1]}


def test_the_answers_of_reversed_words_are_their_words_backwards():
    assert find_examples(DataSpec(source="reversed-words"), "seq2seq").classes == ()
    training, held_back = both_parts("reversed-words")
    assert len(training + held_back) > 15_000
    for example in training + held_back:
        words = example.text.split(" ")
        assert 2 <= len(words) == len(set(words)) <= 5
        assert example.answer == " ".join(reversed(words))
    assert {e.text for e in training}.isdisjoint(e.text for e in held_back)


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
    shown = prepared.validation_examples(3)
    assert len({example.prompt for example in shown}) == 3
    text = prepared.tokenizer.decode(prepared.validation.texts[0])
    assert text == shown[0].prompt == both_parts(source)[1][0].text
    assert shown[0].expected == both_parts(source)[1][0].answer
    longer = prepare(data.model_copy(update={"validation_fraction": 0.2}), spec, task=task, cache_dir=tmp_path)
    assert longer.fingerprint != prepared.fingerprint


def test_a_long_text_is_cut_for_classification_and_a_long_pair_is_refused(tmp_path):
    byte = TokenizerSpec(kind="byte")
    cut = prepare(
        DataSpec(source="prose-or-code", context_length=24), byte, task="sequence-classification", cache_dir=tmp_path
    )
    assert cut.train.lengths.max() == 24
    assert [
        note
        for note in cut.notes
        if " % of the texts are longer than data.context_length (24 tokens): truncated." in note
    ]
    with pytest.raises(
        DataError, match=r"pairs of reversed-words are longer than \d+ tokens; the longest text has \d+ .*at least \d+"
    ):
        prepare(DataSpec(source="reversed-words", context_length=24), byte, task="seq2seq", cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("source", "task", "message"),
    [
        (
            "prose-or-code",
            "seq2seq",
            r"the model maps one text to another \(seq2seq\) and needs pairs of texts, but prose-or-code is for "
            r"sequence-classification\. Set data.source to reversed-words.*, or choose a model for sequence-class",
        ),
        ("notes.txt", "sequence-classification", r"needs texts with labels, but notes.txt .*source to prose-or-code"),
        (
            "drawn-shapes",
            "masked-lm",
            r"needs plain text, but .* python-docs, python-source or the path of a text file",
        ),
        ("prose-or-code", "vision-classification", r"classifies images .*source to drawn-shapes"),
    ],
)
def test_a_source_that_can_not_serve_a_task_is_refused_with_those_that_can(tmp_path, source, task, message):
    with pytest.raises(DataError, match=message):
        prepare(DataSpec(source=source), TokenizerSpec(kind="byte"), task=task, cache_dir=tmp_path)


def test_a_part_without_examples_is_refused(tmp_path):
    data = DataSpec(source="reversed-words", validation_fraction=1e-9)
    with pytest.raises(DataError, match=r"validation_fraction is 1e-09, which leaves one set of reversed-words empty"):
        prepare(data, TokenizerSpec(kind="byte"), task="seq2seq", cache_dir=tmp_path)


def test_pairs_that_are_too_long_are_left_out_or_cut_where_the_user_says_so(tmp_path):
    data = DataSpec(source="reversed-words", context_length=24)
    byte = TokenizerSpec(kind="byte")
    whole = sum(map(len, both_parts("reversed-words")))
    for choice, done in (("leave-out", "skipped"), ("cut", "truncated")):
        wanted = data.model_copy(update={"long_pairs": choice})
        prepared = prepare(wanted, byte, task="seq2seq", cache_dir=tmp_path)
        counts = [prepared.statistics[f"{part}_examples"] for part in ("train", "validation")]
        too_long = prepared.statistics["too_long"]
        assert sum(counts) == whole - (too_long if choice == "leave-out" else 0)
        assert 0 < too_long < whole
        assert prepared.train.texts.lengths.max() == prepared.train.answers.lengths.max() == 23  # and an end
        assert prepared.notes[0].endswith(f" of the pairs are longer than data.context_length (24 tokens): {done}.")
