import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tb_widgets.data.reading.columns import learns_from_running_text, map_columns
from tb_widgets.data.reading.open import Table, open_data
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec


@pytest.fixture
def table(tmp_path: Path):
    def written(*rows: dict) -> Table:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return open_data(DataSpec(source=str(path)))

    return written


def refused(table: Table, task: str, **chosen: str) -> str:
    with pytest.raises(DataError) as caught:
        map_columns(table, task, chosen)
    return str(caught.value)


@pytest.mark.parametrize("name", ["text", "Text", "content", "review", "document", "sentence", "post.body"])
def test_a_text_is_known_by_its_columns_name(table, name):
    found = map_columns(table({"headline": "longer than the other", name: "a"}), "causal-lm", {})
    assert found.roles == {"text": name}
    assert found.why == {"text": "Chosen by its name."}


def test_without_a_known_name_the_only_or_the_clearly_longest_texts_are_taken(table):
    assert map_columns(table({"id": 7, "what": "a"}), "masked-lm", {}).why == {"text": "The only text column."}
    long = table({"who": "Ann", "said": "x" * 100}, {"who": "Bob", "said": "y" * 200})
    assert map_columns(long, "causal-lm", {}).roles == {"text": "said"}
    assert map_columns(long, "causal-lm", {}).why == {"text": "The longest texts: 150 characters on average."}
    message = refused(table({"who": "Ann", "said": "Hello"}), "causal-lm")
    assert "which column of rows.jsonl holds the text? It has who (text), said (text)." in message
    assert "Choose one, for example {text: who}." in message
    message = refused(table({"messages": [{"role": "user"}]}), "causal-lm")
    assert "no remaining column of rows.jsonl looks like the text" in message
    assert "lists and nested values can't be used." in message


@pytest.mark.parametrize(
    ("rows", "label", "why"),
    [
        ([{"text": "a", "category": "x"}], "category", "Chosen by its name."),
        ([{"text": "a", "stars": 4}], "stars", "Chosen by its name."),
        ([{"said": "a", "is_rude": n % 2 == 0} for n in range(8)], "is_rude", "Few distinct values: 2 in 8 rows."),
        (
            [{"text": f"{n}", "kind": "ab"[n % 2], "number": n} for n in range(8)],
            "kind",
            "Few distinct values: 2 in 8",
        ),
    ],
)
def test_labels_are_known_by_name_or_by_how_few_they_are(table, rows, label, why):
    found = map_columns(table(*rows), "sequence-classification", {})
    assert found.roles == {"text": next(iter(rows[0])), "label": label}
    assert why in found.why["label"]


def test_class_names_of_a_dataset_are_the_label_whatever_the_column_is_called(tmp_path: Path):
    features = {"coarse": {"names": ["animal", "place"], "_type": "ClassLabel"}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    rows = pa.table({"text": ["cat", "Rome"], "label": [5, 6], "coarse": [0, 1]}).replace_schema_metadata(metadata)
    pq.write_table(rows, tmp_path / "data.parquet")
    found = map_columns(open_data(DataSpec(source=str(tmp_path / "data.parquet"))), "sequence-classification", {})
    assert found.roles == {"text": "text", "label": "coarse"}
    assert found.why["label"] == "Contains class names: animal, place."


@pytest.mark.parametrize(
    ("row", "source", "target"),
    [
        ({"target": "b", "source": "a"}, "source", "target"),
        ({"id": "1", "Question": "a", "answer": "b"}, "Question", "answer"),
        ({"id": "1", "translation": {"en": "a", "fr": "b"}}, "translation.en", "translation.fr"),
        ({"number": 1, "wise": "a", "plain": "b"}, "wise", "plain"),
    ],
)
def test_pairs_are_known_by_two_names_two_languages_or_as_the_only_two_texts(table, row, source, target):
    found = map_columns(table(row), "seq2seq", {})
    assert found.roles == {"source": source, "target": target}
    assert f"{source} and {target}" in found.why["target"]


def test_texts_without_pairs_are_running_text_for_every_model(table):
    rows = table({"id": 1, "story": "a"})
    assert map_columns(rows, "seq2seq", {}).roles == {"text": "story"}
    assert map_columns(table({"en": "a", "fr": "b"}), "seq2seq", {"text": "fr"}).roles == {"text": "fr"}
    data = DataSpec(source=str(rows._files[0].path))
    assert not learns_from_running_text(data, "seq2seq"), "two languages are a pair"
    assert learns_from_running_text(data.model_copy(update={"columns": {"text": "fr"}}), "seq2seq")
    assert learns_from_running_text(DataSpec(source="python-docs"), "seq2seq")
    assert not learns_from_running_text(DataSpec(source="reversed-words"), "seq2seq")


def test_a_choice_wins_and_the_rest_is_guessed_around_it(table):
    rows = table({"text": "a", "review": "b", "label": 1, "en": "x", "fr": "y"})
    found = map_columns(rows, "sequence-classification", {"text": "review"})
    assert found.roles == {"text": "review", "label": "label"}
    assert found.why["text"] == "You chose it."
    assert map_columns(rows, "seq2seq", {"source": "fr"}).roles == {"source": "fr", "target": "en"}
    assert map_columns(rows, "causal-lm", {"label": "label"}).roles == {"text": "text"}, "kept for other models"


def test_choices_that_can_not_be_are_refused_in_words(table):
    rows = table({"text": "a", "score": 0.5, "tags": ["x"], "label": 1})
    assert "has no column 'txt' for the text; it has text, score, tags, label." in refused(
        rows, "causal-lm", text="txt"
    )
    assert "'tags' of rows.jsonl can't be the text: it contains lists, but must be text." in refused(
        rows, "causal-lm", text="tags"
    )
    assert (
        "'score' of rows.jsonl can't be the label: it contains numbers, but classes must be whole numbers"
        in refused(rows, "sequence-classification", label="score")
    )
    assert "text and label can't both be the column 'text'. Choose two columns." in refused(
        rows, "sequence-classification", text="text", label="text"
    )
    assert "can't read images from tables" in refused(rows, "vision-classification")
    three = table({"a": "x", "b": "y", "c": "z"})
    assert "holds the source?" in refused(three, "seq2seq")
    assert "which column of rows.jsonl holds the target" in refused(three, "seq2seq", source="a")
    assert "which column of rows.jsonl holds the label" in refused(table({"text": "a"}), "sequence-classification")


def test_a_thousand_columns_are_not_all_listed(table):
    rows = table({f"c{n}": "same" for n in range(1000)})
    message = refused(rows, "causal-lm")
    assert "c0 (text), " in message
    assert " and 988 more." in message
    assert len(message) < 500
