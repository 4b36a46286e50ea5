"""Labelled rows and pairs from files: what is left out, what is cut, what is held back."""

from __future__ import annotations

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tb_widgets.data.prepared import prepare
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, TokenizerSpec

BYTE = TokenizerSpec(kind="byte")


@pytest.fixture
def table(tmp_path):
    """Write a csv file of the rows, and return a function that prepares it."""

    def write(rows, task="sequence-classification", **fields):
        path = tmp_path / "table.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        data = DataSpec(source=str(path), validation_fraction=0.3, **fields)
        return prepare(data, BYTE, task=task, cache_dir=tmp_path / "cache")

    return write


def shown(prepared):
    """All examples of both parts, read back."""
    found = []
    for part in (prepared.train, prepared.validation):
        texts = [prepared.tokenizer.decode(part.texts[n]) for n in range(len(part.texts))]
        if part.classes is None:
            answers = [prepared.tokenizer.decode(part.answers[n]) for n in range(len(part.answers))]
        else:
            answers = [prepared.classes[number] for number in part.classes]
        found.append(list(zip(texts, answers, strict=True)))
    return found


def test_every_row_arrives_with_its_class_and_numbers_are_in_their_order(table):
    rows = [(f"text {n}", (2, 10, 1)[n % 3]) for n in range(60)]
    prepared = table([("text", "label"), *rows])
    assert prepared.classes == ("1", "2", "10")
    training, held_back = shown(prepared)
    assert sorted(training + held_back) == sorted((text, str(label)) for text, label in rows)
    assert 5 < len(held_back) < 30
    assert prepared.vocab_size == 257
    assert prepared.notes == ()


def test_rows_without_text_or_label_are_left_out_and_counted(table):
    rows = [(f"text {n}" if n % 10 else "  ", "" if n % 15 == 1 else "ab"[n % 2]) for n in range(60)]
    prepared = table([("text", "label"), *rows])
    training, held_back = shown(prepared)
    assert len(training) + len(held_back) == 50 == 60 - prepared.statistics["left_out"]
    assert prepared.notes == ("Skipped 10 of 60 rows of table.csv without a text or a label.",)


def test_texts_that_are_too_long_are_cut_and_the_share_is_told(table):
    rows = [("x" * (20 if n % 4 else 40), "ab"[n % 2]) for n in range(60)] + [(f"short {n}", "a") for n in range(40)]
    prepared = table([("text", "label"), *rows], context_length=32)
    assert max(prepared.train.lengths.max(), prepared.validation.lengths.max()) == 32
    assert prepared.notes == ("15.0 % of the texts are longer than data.context_length (32 tokens): truncated.",)


def test_copies_of_a_text_are_on_one_side(table):
    rows = [(f"text {n % 20}", f"answer {n}") for n in range(200)]
    training, held_back = shown(table([("source", "target"), *rows], "seq2seq"))
    assert {text for text, _ in training}.isdisjoint(text for text, _ in held_back)
    assert len(training) + len(held_back) == 200
    assert len({text for text, _ in held_back}) > 1


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([("a b", "x")] * 30, r"column label of table.csv has the one value 'x': there is nothing to classify"),
        ([(f"a {n}", f"name {n}") for n in range(1200)], r"label of table.csv has more than 1,000 different values"),
    ],
)
def test_labels_that_are_no_classes(table, rows, sentence):
    with pytest.raises(DataError, match=sentence):
        table([("text", "label"), *rows])


def test_the_data_decide_themselves_what_is_held_back(tmp_path):
    for part, numbers in (("train", range(40)), ("validation", range(35, 50))):
        lines = [json.dumps({"text": f"text {n}", "label": "ab"[n % 2]}) + "\n" for n in numbers]
        (tmp_path / f"{part}.jsonl").write_text("".join(lines))
    data = DataSpec(source=str(tmp_path / "*.jsonl"), validation_split="validation")
    prepared = prepare(data, BYTE, task="sequence-classification", cache_dir=tmp_path / "cache")
    training, held_back = shown(prepared)
    assert [text for text, _ in held_back] == [f"text {n}" for n in range(35, 50)]
    assert [text for text, _ in training] == [f"text {n}" for n in range(35)]  # what is held back is not trained on


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_whole_labels_that_became_floats_where_some_are_missing(tmp_path, form):
    labels = [float(number % 3) if number % 10 else None for number in range(60)]
    texts = [f"text {number}" for number in range(60)]
    path = tmp_path / f"labels.{form}"
    if form == "csv":
        rows = zip(texts, ("" if label is None else label for label in labels), strict=True)
        path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    elif form == "jsonl":
        rows = zip(texts, labels, strict=True)
        path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    else:
        pq.write_table(pa.table({"text": texts, "label": labels}), path)
    data = DataSpec(source=str(path), validation_fraction=0.3)
    prepared = prepare(data, BYTE, task="sequence-classification", cache_dir=tmp_path / "cache")
    assert prepared.classes == ("0", "1", "2")
    assert prepared.statistics["left_out"] == 6
    assert ("text 11", "2") in [example for part in shown(prepared) for example in part]


def test_labels_between_whole_numbers_are_no_classes(table):
    with pytest.raises(
        DataError, match=r"contains numbers, but classes must be whole numbers, words, or true and false"
    ):
        table([("text", "label"), ("one", 0.0), ("two", 1.5), ("three", 1.0)])


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_a_chosen_column_may_begin_late(tmp_path, form):
    rows = [{"label": number % 2} for number in range(1200)]
    rows += [{"label": number % 2, "text": f"text {number}"} for number in range(1200, 1300)]
    lines = map(json.dumps, rows)
    path = tmp_path / f"late.{form}"
    path.write_text("\n".join(lines) if form == "jsonl" else f"[{', '.join(lines)}]")
    data = DataSpec(source=str(path), columns={"text": "text", "label": "label"})
    prepared = prepare(data, BYTE, task="sequence-classification", cache_dir=tmp_path / "cache")
    assert sum(map(len, shown(prepared))) == 100
    with pytest.raises(DataError, match=r"has no column 'body' for the text; it has label"):
        prepare(
            DataSpec(source=str(path), columns={"text": "body"}),
            BYTE,
            task="sequence-classification",
            cache_dir=tmp_path / "cache",
        )


def test_a_table_with_hardly_any_different_texts_says_so(table):
    rows = [("text", "number")] + [(("yes", "no")[number % 2], number) for number in range(400)]
    with pytest.raises(DataError, match=r"there are 400 texts, and only 2 of them are different.*Add different"):
        table(rows, task="causal-lm", context_length=8)
