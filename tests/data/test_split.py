import random
import shutil
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tb_widgets.data.prepared import prepare
from tb_widgets.data.preview.preview import preview_data
from tb_widgets.data.reading import repeated_lines as copies
from tb_widgets.data.reading.corpus import ReadCounts, open_corpus
from tb_widgets.data.reading.repeated_lines import Copies, ValidationLines, copies_note
from tb_widgets.data.reading.split import Span, split_text
from tb_widgets.data.sources.builtin import read_text
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, TokenizerSpec


def split(pieces, fraction):
    return list(split_text(pieces, sum(map(len, pieces)), fraction))


def find_copies(spans, characters):
    lines = ValidationLines()
    lines.note(spans)
    return lines.copies(spans, characters)


def blocks(text, fraction):
    """Return training blocks and validation blocks of a single text."""
    parts = [], []
    block = ""
    for span in split([text], fraction):
        block += span.text
        if span.closes:
            parts[span.held_back].append(block)
            block = ""
    assert not block
    return parts


def documents(data, task="causal-lm"):
    """Return training documents, validation documents, and what was seen."""
    seen, parts, text = ReadCounts(), ([], []), ""
    for span in open_corpus(data, task).read(seen):
        text += span.text
        if span.closes:
            parts[span.held_back].append(text)
            text = ""
    assert not text
    return *parts, seen


@settings(max_examples=100, deadline=None)
@given(lines=st.lists(st.integers(0, 3000), max_size=120), fraction=st.floats(0.01, 0.5))
def test_both_parts_together_are_the_text_and_the_share_is_kept(lines, fraction):
    text = "\n".join(chr(97 + number % 26) * length for number, length in enumerate(lines))
    spans = split([text], fraction)
    assert "".join(span.text for span in spans) == text
    held_back = blocks(text, fraction)[1]
    assert len(held_back) <= 16
    # A cut moves by at most 1,024 characters to reach a line break, at either end of a block.
    assert abs(sum(map(len, held_back)) - fraction * len(text)) <= 2 * 1025 * 16 + 16


@settings(max_examples=100, deadline=None)
@given(
    lines=st.lists(st.integers(0, 3000), min_size=1, max_size=120),
    fraction=st.floats(0.01, 0.5),
    size=st.integers(1, 9000),
)
def test_the_cuts_do_not_depend_on_how_the_text_is_read(lines, fraction, size):
    text = "\n".join("x" * length for length in lines)
    pieces = [text[first : first + size] for first in range(0, len(text), size)]
    whole, read = ({False: "", True: ""} for _ in range(2))
    for spans, parts in ((split([text], fraction), whole), (split(pieces, fraction), read)):
        for span in spans:
            parts[span.held_back] += span.text + "|" * span.closes
    assert read == whole


def test_held_back_blocks_are_spread_over_the_text_and_begin_with_a_line():
    text = read_text("python-docs")
    training, held_back = blocks(text, 0.1)
    assert 8 <= len(held_back) <= 16
    assert all(block.endswith("\n") for block in training)
    begins = np.cumsum([len(a) + len(b) for a, b in zip(training, held_back, strict=True)])
    assert np.diff(begins).std() < 0.1 * np.diff(begins).mean()
    assert sum(map(len, held_back)) == pytest.approx(0.1 * len(text), rel=0.1)


def written(path: Path, rows) -> DataSpec:
    path.write_text("".join(f'{{"text": {row}}}\n' for row in rows), encoding="utf-8")
    return DataSpec(source=str(path))


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), min_size=30, max_size=80),
    fraction=st.floats(0.05, 0.5),
)
def test_no_held_back_document_is_in_training_and_none_is_lost(tmp_path_factory, texts, fraction):
    import json

    folder = tmp_path_factory.mktemp("rows")
    texts += [f"text {number}" for number in range(60)]  # so that neither part is empty
    data = written(folder / "rows.jsonl", map(json.dumps, texts)).model_copy(update={"validation_fraction": fraction})
    training, held_back, seen = documents(data)
    assert not set(training) & set(held_back)
    assert sorted(training + held_back) == sorted(text for text in texts if text.strip())
    assert (seen.documents, seen.held_back) == (len(training) + len(held_back), len(held_back))
    assert seen.empty == sum(not text.strip() for text in texts)


def test_the_part_of_a_document_follows_from_its_text_alone(tmp_path: Path):
    texts = [f"document {number}" for number in range(2000)]
    first = documents(written(tmp_path / "a.jsonl", (f'"{text}"' for text in texts)))
    assert len(first[1]) == pytest.approx(200, abs=45)
    more = documents(written(tmp_path / "b.jsonl", (f'"{text}"' for text in reversed([*texts, *texts, "another"]))))
    assert set(first[1]) == set(more[1]) - {"another"}
    assert len(more[1]) in (2 * len(first[1]), 2 * len(first[1]) + 1)


def test_the_own_held_back_part_is_taken_and_its_texts_are_left_out_of_training(tmp_path: Path):
    written(tmp_path / "train.jsonl", ['"one"', '"two"', '""', '"three"', '"two"'])
    written(tmp_path / "test.jsonl", ['"two"', '"four"'])
    data = DataSpec(source=str(tmp_path), validation_split="test")
    training, held_back, seen = documents(data)
    assert (training, held_back) == (["one", "three"], ["two", "four"])
    assert (seen.documents, seen.held_back, seen.in_both, seen.empty) == (4, 2, 2, 1)


def texts_of(data: DataSpec) -> tuple[str, str, ReadCounts]:
    """Return the whole training part and the whole validation part of plain texts."""
    seen = ReadCounts()
    parts = {True: "", False: ""}
    for span in open_corpus(data, "causal-lm").read(seen):
        parts[span.held_back] += span.text + "|" * span.closes
    return parts[False], parts[True], seen


@pytest.mark.parametrize(
    ("training", "held_back", "test"),
    [
        ("train.txt", "validation.txt", "test.txt"),
        ("wiki.train.raw", "wiki.validation.raw", "wiki.test.raw"),
        ("train/a.txt", "Validation/a.txt", "test/a.txt"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_files_of_plain_text_say_by_their_names_what_is_held_back(tmp_path, training, held_back, test, packed):
    folder = tmp_path / "test"  # the name of the folder that holds all of them says nothing
    for name, text in ((training, "learn this"), (held_back, "ask this"), (test, "later")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    source = shutil.make_archive(str(tmp_path / "texts"), "zip", folder) if packed else folder
    data = DataSpec(source=str(source), validation_split="validation")
    assert texts_of(data)[:2] == ("learn this|", "ask this|")
    corpus = open_corpus(data, "causal-lm")
    assert not corpus.has_documents
    (note,) = corpus.notes
    assert note.endswith(": test files are used neither for training nor for validation.")
    share_only = open_corpus(data.model_copy(update={"validation_split": None}), "causal-lm")
    assert share_only.fingerprint != corpus.fingerprint
    tested = data.model_copy(update={"validation_split": "test"})
    assert texts_of(tested)[1] == "later|"
    assert open_corpus(tested, "causal-lm").fingerprint != corpus.fingerprint


def test_held_back_files_that_are_also_among_the_training_files_are_left_out_there(tmp_path: Path):
    for name, text in (("train-0.txt", "one"), ("train-1.txt", "two"), ("train-2.txt", " "), ("valid.txt", "two")):
        (tmp_path / name).write_text(text)
    data = DataSpec(source=str(tmp_path), validation_split="valid")
    training, held_back, seen = texts_of(data)
    assert (training, held_back) == ("one|", "two|")
    assert (seen.documents, seen.held_back, seen.in_both, seen.empty) == (2, 1, 1, 1)
    assert seen.share == pytest.approx(1.0)
    (tmp_path / "train-0.txt").write_text("two")
    with pytest.raises(
        DataError, match=r"Nothing in .* is left to train on: all of its texts are also in the validation set"
    ):
        texts_of(data)
    with pytest.raises(DataError, match=r"data.validation_split: no file is named dev. Give a word"):
        texts_of(data.model_copy(update={"validation_split": "dev"}))
    with pytest.raises(DataError, match=r"data.validation_split: every file is named valid"):
        texts_of(DataSpec(source=str(tmp_path / "valid.txt"), validation_split="valid"))


def test_a_model_is_trained_on_the_files_that_are_not_held_back(tmp_path: Path):
    lines = [f"This is the line of the number {n}, which is {n * n} if squared.\n" for n in range(2000)]
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "train.txt").write_text("".join(lines[:1500]))
    (tmp_path / "texts" / "valid.txt").write_text("".join(lines[1400:]))
    data = DataSpec(source=str(tmp_path / "texts"), validation_split="valid", context_length=32)
    prepared = prepare(data, TokenizerSpec(kind="byte"), cache_dir=tmp_path / "cache")
    assert bytes(prepared.train.astype("u1")).decode() == "".join(lines[:1500])
    assert bytes(prepared.validation.astype("u1")).decode() == "".join(lines[1400:])
    assert any(
        note.startswith("17 % of the validation lines also occur in the training set") for note in prepared.notes
    )
    found = preview_data(data, TokenizerSpec(kind="byte"), "causal-lm", batch_size=10)
    assert found.tokens == len(prepared.train)
    assert found.steps_per_epoch == pytest.approx(len(prepared.train) / 320, rel=0.01)
    assert not found.documents
    masked = prepare(data, TokenizerSpec(kind="byte"), task="masked-lm", cache_dir=tmp_path / "cache")
    assert masked.validation_batches(batch_size=4, batches=1)


def test_test_files_of_a_table_are_left_out_too(tmp_path: Path):
    for part in ("train", "validation", "test"):
        written(tmp_path / f"{part}.jsonl", [f'"{part} {n}"' for n in range(3)])
    data = DataSpec(source=str(tmp_path), validation_split="validation")
    training, held_back, _ = documents(data)
    assert {text.split()[0] for text in training} == {"train"}
    assert {text.split()[0] for text in held_back} == {"validation"}
    assert open_corpus(data, "causal-lm").notes == (
        "Skipped test.jsonl: test files are used neither for training nor for validation.",
    )


def test_an_empty_part_is_refused(tmp_path: Path):
    with pytest.raises(
        DataError, match=r"The validation set of one.jsonl is empty: there are 1 texts, and 0 of them are for"
    ):
        documents(written(tmp_path / "one.jsonl", ['"text"']))


def test_files_are_documents_and_at_least_one_is_held_back(tmp_path: Path):
    for number in range(4):
        (tmp_path / f"{number}.txt").write_text(f"Text {number}\n" * 9000)
    (tmp_path / "again.txt").write_text("Text 0\n" * 9000)
    (tmp_path / "blank.txt").write_text(" \n")
    for fraction in (0.01, 0.5):
        data = DataSpec(source=str(tmp_path), validation_fraction=fraction)
        training, held_back, seen = documents(data)
        assert len(training) + len(held_back) == 5
        assert training
        assert held_back
        assert not set(training) & set(held_back)
        assert (seen.empty, seen.documents, seen.held_back, seen.share) == (1, 5, len(held_back), 1.0)
    for number in range(1, 4):
        (tmp_path / f"{number}.txt").unlink()
    with pytest.raises(DataError, match="has 3 files, but no two different texts, so none can be kept for validation"):
        documents(data)


@pytest.mark.parametrize("fraction", [0.1, 0.3])
def test_a_text_read_in_pieces_is_cut_as_a_whole_text_would_be(fraction):
    """The rule in the words of a program that holds the whole text."""

    def cut(position):
        if position <= 0 or position >= len(text):
            return max(0, min(position, len(text)))
        found = text.find("\n", position - 1, min(position + 1024, len(text) - 1))
        return found + 1 if found >= 0 else position

    text = read_text("python-docs")
    count = max(1, min(16, int(len(text) * fraction) // 4096))
    expected = [], []
    for number in range(count):
        start, end = len(text) * number // count, len(text) * (number + 1) // count
        border = cut(end - round((end - start) * fraction))
        expected[0].append(text[cut(start) : border])
        expected[1].append(text[border : cut(end)])
    assert blocks(text, fraction) == expected
    read = [
        ("".join(span.text for span in group), held_back)
        for held_back, group in groupby(
            open_corpus(DataSpec(validation_fraction=fraction), "causal-lm").read(ReadCounts()),
            lambda one: one.held_back,
        )
    ]
    assert [text for text, held_back in read if held_back] == expected[1]


def test_held_back_lines_that_are_trained_on_too_are_told_before_the_run_and_in_it(tmp_path: Path):
    lines = [f"This is the line of the number {n}, which is {n * n} if squared.\n" for n in range(2000)]
    shuffled = random.Random(0).sample(lines * 3, 6000)
    tokenizer = TokenizerSpec(kind="byte")
    for name, content, is_told in (("copied", shuffled, True), ("once", lines, False)):
        (tmp_path / f"{name}.txt").write_text("".join(content))
        data = DataSpec(source=str(tmp_path / f"{name}.txt"), context_length=32)
        prepared = prepare(data, tokenizer, cache_dir=tmp_path / "cache")
        again = prepare(data, tokenizer, cache_dir=tmp_path / "cache")
        told = [note for note in prepared.notes if "validation lines also occur in" in note]
        assert bool(told) is is_told
        assert again.notes == prepared.notes
        warnings = preview_data(data, tokenizer, "causal-lm").warnings
        assert [text for text in warnings if "also occur in" in text] == told
    with_few = find_copies([Span(lines[0], held_back, closes=True) for held_back in (False, True)], 100)
    assert with_few.share == 0.0


def test_of_a_long_text_copies_are_looked_for_in_some_of_it(monkeypatch):
    lines = [f"This is the line of the number {n}, which is {n * n} if squared.\n" for n in range(500)]
    spans = [Span("".join(lines), held_back, closes=True) for held_back in (False, True)]
    assert find_copies(spans, 40_000) == (1.0, False)
    monkeypatch.setattr(copies, "_KEPT", 30)
    monkeypatch.setattr(copies, "_LOOKED_THROUGH", 10_000)
    parts = [Span(line, n % 10 == 0, closes=True) for n, line in enumerate(lines * 2)]
    found = find_copies(parts, 80_000)
    assert found.is_least
    assert copies_note(Copies(0.42, is_least=True)).startswith("At least 42 % of the validation lines")
    assert copies_note(Copies(0.1, is_least=False)) == ""
