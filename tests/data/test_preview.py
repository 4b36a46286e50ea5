"""What is told about data before a run, and what is warned of."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from contextlib import nullcontext

import pytest

from tb_widgets.data.prepared import prepare
from tb_widgets.data.preview import sample as reading
from tb_widgets.data.preview.preview import preview_data
from tb_widgets.data.preview.problems import problems_of
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, TokenizerSpec

BYTE = TokenizerSpec(kind="byte")


@pytest.fixture
def write(tmp_path):
    """Write rows as csv, or a text, and return its path."""

    def write_file(content):
        path = tmp_path / ("data.txt" if isinstance(content, str) else "data.csv")
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(content)
        return str(path)

    return write_file


def look(source, task="causal-lm", tokenizer=BYTE, limits=None, **fields):
    return preview_data(DataSpec(source=source, **fields), tokenizer, task, **(limits or {}))


def told(row):
    return "".join(mark.text for mark in row.reads)


def labelled(number, text="some words here {}", label="ab"):
    return [("text", "label"), *((text.format(n), label[n % len(label)]) for n in range(number))]


def test_a_plain_text(write):
    text = "One line of so and so many letters.\n" * 3 + "".join(f"And line {n}, another one.\n" for n in range(97))
    found = look(write(text), context_length=50, limits={"parameters": 1000, "batch_size": 4})
    assert (found.name, found.unit, found.looked_at) == ("data.txt", "line", "all 100 lines")
    assert found.header == ("text",)
    assert found.first_rows[:2] == (("One line of so and so many letters.",),) * 2
    assert (found.tokens, found.counted, found.units) == (len(text), "exact", 100)
    assert found.tokens_per_parameter == pytest.approx(0.9 * len(text) / 1000)
    assert found.steps_per_epoch == pytest.approx(0.9 * len(text) / 200)
    assert found.truncated is None
    assert told(found.batch[0]) + told(found.batch[1]) == text[:100]
    assert sum(bar.texts for bar in found.lengths) == 100
    assert {bar.up_to: bar.texts for bar in found.lengths if bar.texts} == {32: 97, 64: 3}
    assert found.warnings == ()


def test_a_classified_batch_and_the_reasons_for_its_columns(write):
    source = write([("id", "review", "stars"), (1, "Bad.", 1), (2, "Better.", 2)])
    found = look(source, "sequence-classification")
    assert [(choice.role, choice.column) for choice in found.columns] == [("text", "review"), ("label", "stars")]
    assert all(choice.why for choice in found.columns)
    assert found.header == ("review", "stars", "id")
    assert found.first_rows == (("Bad.", "1", "1"), ("Better.", "2", "2"))
    assert [mark.text for mark in found.batch[0].reads] == [*"Bad.", "[PAD]", "[PAD]", "[PAD]"]
    assert found.batch[0].reads[-1].kind == "special"
    assert found.batch[0].answers[0].text == "1"
    left = look(source, "sequence-classification", padding_side="left")
    assert [mark.text for mark in left.batch[0].reads] == ["[PAD]", "[PAD]", "[PAD]", *"Bad."]


def test_a_masked_batch_tells_what_is_hidden_and_was_there(write):
    text = "".join(f"Line {n} of a text with many letters.\n" for n in range(50))
    (row, *_) = look(write(text), "masked-lm", context_length=128).batch
    kinds = {mark.kind for mark in row.reads}
    assert {"text", "hidden"} <= kinds <= {"text", "hidden", "changed", "asked"}
    assert "".join(mark.was or mark.text for mark in row.reads) == text[:128]
    assert all(mark.text == "[MASK]" for mark in row.reads if mark.kind == "hidden")


def test_a_batch_with_gaps_and_one_of_pairs(write):
    text = "".join(f"Line {n} of a text with many letters.\n" for n in range(50))
    (row, *_) = look(write(text), "seq2seq", context_length=64).batch
    assert [mark.text for mark in row.reads if mark.kind == "special"] == [
        "[SENTINEL 1]",
        "[SENTINEL 2]",
        "[SENTINEL 3]",
        "[END]",
    ]
    assert [mark.text for mark in row.answers if mark.kind == "special"] == [
        "[SENTINEL 1]",
        "[SENTINEL 2]",
        "[SENTINEL 3]",
        "[END]",
    ]
    pairs = [("en", "de"), *((f"number {n}", f"Zahl {n}") for n in range(30))]
    (row, *_) = look(write(pairs), "seq2seq").batch
    assert told(row) == "number 0[END]"
    assert "".join(mark.text for mark in row.answers) == "Zahl 0[END]"


def test_ends_of_documents_are_seen(write):
    found = look(write([("text", "id"), *((f"Story {n}.", n) for n in range(40))]), context_length=30)
    assert told(found.batch[0]) == "Story 0.[END]Story 1.[END]Story 2.[END]Sto"
    assert found.vocab_size == 257
    assert found.tokens == sum(len(f"Story {n}.") + 1 for n in range(40))


@pytest.mark.parametrize(
    ("rows", "fields", "sentence"),
    [
        (
            [("text", "label"), *(("" if n % 5 < 2 else f"words and {n}", "ab"[n % 2]) for n in range(100))],
            {},
            "40 % of the rows are empty in text or label and skipped. Is it the right column?",
        ),
        (
            labelled(50, "x" * 90 + "{}") + labelled(33, "short {}")[1:],
            {"context_length": 64},
            "60 % of the texts are longer than 64 tokens (data.context_length) and are truncated. 92 would cover "
            "95 % of them.",
        ),
        (
            labelled(60, label="a" * 39 + "b"),
            {},
            "98 % of the rows have the label a: always predicting it would be nearly",
        ),
        (labelled(60, "same"), {}, "98 % of the rows are duplicates."),
        (labelled(60, "n{}"), {}, "The texts of the column text are very short: 3 tokens. Is it the right column?"),
        (
            [("text", "label"), *((f"some words here {n}", f"name {n}") for n in range(80))],
            {},
            "There are 80 different labels in 80 rows. Is it the right column?",
        ),
        (labelled(60), {"limits": {"parameters": 10**6}}, "parameters per training token"),
        (labelled(20), {}, "The whole dataset fits into one batch, so every step repeats it."),
        (
            labelled(50, "x" * 90 + "{}"),
            {"context_length": 64, "limits": {"context_limit": 64}},
            "and are truncated. The model reads at most 64: choose a tokenizer with longer tokens.",
        ),
    ],
)
def test_what_would_waste_a_night_is_said(write, rows, fields, sentence):
    found = look(write(rows), "sequence-classification", **fields)
    assert any(warning.startswith(sentence) or sentence in warning for warning in found.warnings), found.warnings


def problem(found, class_limit=None, **fields):
    return next((str(error) for error in problems_of(found, DataSpec(**fields), class_limit=class_limit)), "")


def test_what_no_run_could_begin_with_is_no_advice_and_said_as_the_run_says_it(write, tmp_path):
    rows = {
        "one class": labelled(60, label="a"),
        "five": labelled(60, label="abcde"),
        "numbers": [("text", "label"), *((f"some words here {n}", f"name {n}") for n in range(1200))],
        "pairs": [("source", "target"), *(("word " * (n % 9 + 1), "other") for n in range(60))],
        "sound": labelled(60),
    }

    def said(name, task, class_limit=None, **fields):
        source = write(rows[name])
        with pytest.raises(DataError) if class_limit is None and name != "sound" else nullcontext() as refused:
            prepare(DataSpec(source=source, **fields), BYTE, task=task, cache_dir=tmp_path / "cache")
        told = problem(look(source, task, **fields), class_limit, source=source, **fields)
        assert refused is None or told == str(refused.value)
        return told

    assert "has the one value 'a': there is nothing to classify" in said("one class", "sequence-classification")
    assert "more than 1,000 different values" in said("numbers", "sequence-classification")
    assert "are longer than 32 tokens; the longest text has 46 with its end" in said(
        "pairs", "seq2seq", context_length=32
    )
    assert said("five", "sequence-classification", 2).startswith("The dataset has 5 classes, but the model predicts 2")
    assert said("five", "sequence-classification", 5) == ""
    assert said("sound", "sequence-classification") == ""
    found = look(write(rows["sound"]), "sequence-classification")
    (large,) = problems_of(found, DataSpec(), class_limit=None, vocab_limit=100)
    assert str(large).startswith(
        "tokenizer.kind: the tokenizer and its special tokens need 257 ids, but the model has 100."
    )
    short = write("A short text. " * 20)
    with pytest.raises(DataError) as refused:
        prepare(DataSpec(source=short), BYTE, task="causal-lm", cache_dir=tmp_path / "cache")
    assert problem(look(short), source=short) == str(refused.value)


def test_a_column_of_short_texts_beside_long_ones_is_warned_of(write):
    rows = [("url", "story"), *((f"https://example.org/{n}", f"Once upon a time {n}. " * 20) for n in range(60))]
    found = look(write(rows), columns={"text": "url"})
    assert "Texts of the column story are" in " ".join(found.warnings)
    assert "Is it the right one?" in " ".join(found.warnings)
    assert not look(write(rows), columns={"text": "story"}).longer_column


def test_blank_rows_of_a_column_that_was_chosen_are_no_question(write):
    rows = [("text", "n"), *(("" if n % 3 == 0 else f"A line of an article, {n}.", n) for n in range(90))]
    assert "Is it the right column?" in " ".join(look(write(rows)).warnings)
    assert "of the rows are empty" not in " ".join(look(write(rows), columns={"text": "text"}).warnings)


def test_files_of_a_folder_are_documents_that_end(tmp_path):
    for number in range(12):
        (tmp_path / f"{number:02}.txt").write_text(f"file {number}")
    (tmp_path / "13.txt").write_text("  ")
    found = look(str(tmp_path), context_length=40)
    assert (found.looked_at, found.documents) == ("all 13 lines", True)
    assert told(found.batch[0]).startswith("file 0[END]file 1[END]file 2")
    assert found.tokens == sum(len(f"file {n}") + 1 for n in range(12)) + 2


@pytest.mark.parametrize("line", ["Short.", "這是一句話。"])
def test_copies_of_short_lines_count_where_all_are_short(write, line):
    assert look(write(f"{line}\n" * 500)).duplicates > 0.99


def test_classes_are_called_as_training_calls_them(write):
    found = look(write(labelled(60, label=["0.0", "1.0"])), "sequence-classification")
    assert found.classes == (("0", 30), ("1", 30))


def test_a_sound_table_is_not_warned_of(write):
    assert look(write(labelled(200)), "sequence-classification").warnings == ()


def test_a_text_with_many_empty_lines_and_characters_that_the_tokenizer_does_not_know(write, tmp_path):
    text = "".join(f"A line of words, the {n}th.\n" + "\n" * (n % 3) for n in range(300))
    found = look(write(text))
    assert found.warnings == ("50 % of the lines are empty.",)
    import tokenizers

    core = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "A": 1, "line": 2}, unk_token="[UNK]"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    core.add_special_tokens(["[UNK]"])
    core.save(str(tmp_path / "tokenizer.json"))
    found = look(write(text), tokenizer=TokenizerSpec(kind="file", file=str(tmp_path / "tokenizer.json")))
    assert found.unknown > 0.5
    assert "e" in found.unknown_characters
    assert "A" not in found.unknown_characters
    assert any(warning.startswith("The tokenizer does not know ") for warning in found.warnings)


@pytest.mark.parametrize(
    ("lines", "share"),
    [
        (["short"] * 100, 0.99),
        (["今天天气很好我们一起去公园散步吧"] * 90 + [f"行{n}" for n in range(10)], 89 / 90),
        (["}"] * 50 + [f"a line of some forty letters, number {n:05}" for n in range(50)], 0.0),
    ],
)
def test_copies_are_found_among_lines_of_any_script_and_of_short_ones(write, lines, share):
    assert look(write("\n".join(lines))).duplicates == pytest.approx(share)


def test_the_first_rows_are_those_that_are_read(write):
    rows = [("text", "label"), ("", "a"), ("Some words", ""), ("More words", "b"), ("  ", "b"), ("The last", "a")]
    found = look(write(rows), "sequence-classification")
    assert found.first_rows == (("More words", "b"), ("The last", "a"))


def test_of_a_single_long_line_the_first_is_told(write, monkeypatch):
    monkeypatch.setattr(reading, "MOST_CHARACTERS", 20_000)
    assert look(write("letters " * 100_000)).looked_at.startswith("the first line, about ")


def test_of_large_data_only_the_beginning_is_read_and_that_is_said(write, monkeypatch):
    monkeypatch.setattr(reading, "MOST_CHARACTERS", 20_000)
    text = "".join(f"Line {n} of a text with many letters.\n" for n in range(10_000))
    found = look(write(text))
    assert found.looked_at.startswith("the first ")
    assert 0.05 < found.share < 0.4
    assert (found.counted, found.tokens) == ("about", pytest.approx(len(text), rel=0.1))
    rows = [("text", "label"), *((f"words {n} " * 5, "ab"[n % 2]) for n in range(10_000))]
    table = look(write(rows), "sequence-classification")
    assert table.units == pytest.approx(10_000, rel=0.2)
    assert table.looked_at.endswith(" %")


def test_what_is_previewed_is_what_is_trained_on(write, tmp_path):
    source = write([("text", "label"), *((f"words {n} " * (n % 9), "ab"[n % 2]) for n in range(300))])
    data = DataSpec(source=source, context_length=40)
    found = preview_data(data, BYTE, "sequence-classification", batch_size=4)
    prepared = prepare(data, BYTE, task="sequence-classification", cache_dir=tmp_path)
    statistics = prepared.statistics
    whole = statistics["train_examples"] + statistics["validation_examples"]
    assert found.units == whole == 300 - statistics["left_out"]
    assert found.truncated == pytest.approx(statistics["too_long"] / whole)
    assert found.vocab_size == prepared.vocab_size
    assert {name for name, _ in found.classes} == set(prepared.classes)


def test_data_that_do_not_serve_the_task_are_refused(write):
    with pytest.raises(DataError, match="needs texts with labels"):
        look("python-docs", "sequence-classification")
    images = look("drawn-shapes", "vision-classification")
    assert [name for name, _ in images.classes] == ["circle", "square", "triangle", "cross"]


def test_it_is_quick_and_imports_no_torch():
    code = (
        "import json, sys, time; from tb_widgets.data.preview.preview import preview_data; "
        "from tb_widgets.spec import DataSpec, TokenizerSpec; began = time.process_time(); "
        "preview_data(DataSpec(), TokenizerSpec(), 'causal-lm'); "
        "heavy = [name for name in ('torch', 'datasets', 'pandas') if name in sys.modules]; "
        "print(json.dumps([time.process_time() - began, heavy]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    seconds, heavy = json.loads(answer.stdout)
    assert heavy == []
    assert seconds < 6
