"""Data from a name, a path or an address to what the form holds; what fails leaves the form as it was."""

from __future__ import annotations

import csv
import hashlib
import json

import pytest

from tb_widgets.app.dashboard import Dashboard
from tb_widgets.app.words import rounded
from tb_widgets.data.sources import uploads
from tb_widgets.errors import DataError
from tb_widgets.service.fitting import ModelFacts

from .conftest import at, enter, shown
from .test_escaping import EVIL, MARK, check

CONTENTS = {
    "empty.txt": b"",
    "photo.txt": b"\x89PNG\r\n\x1a\n\0\0\0\0" * 50,
    "broken.json": b'[{"text": "a"}, {"text": ]',
    "blank.txt": b" \n\n" * 50,
    "blank.csv": b"text,label\n" + b",\n" * 300,
    "chat.jsonl": b'{"messages": [{"role": "user", "content": "Hello"}]}\n' * 50,
}


@pytest.fixture
def data(dashboard):
    yield dashboard.data
    dashboard.data.close()


@pytest.fixture
def reviews(tmp_path):
    """A table of texts with labels and something else."""
    file = tmp_path / "reviews.csv"
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["id", "review", "stars"])
        writer.writerows([n, f"This is what I say of film number {n}, at length.", n % 3] for n in range(300))
    return file


def page_of(dashboard, step="data"):
    dashboard.show(step)
    dashboard.refresh()
    return dashboard.page.boxes[step]


def test_a_file_is_taken_once_it_can_be_read(dashboard, data, text_file, tmp_path):
    before = dashboard.draft.spec.data.source
    data.choose("python-docs")
    assert dashboard.draft.spec.data.source == "python-docs"

    data.choose(f"  {text_file} ")
    data.wait()
    assert dashboard.draft.spec.data.source == before == str(text_file)
    assert data.wanted is None
    assert data.look.problem is None
    assert dashboard.draft.blockers == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere.txt", "there is no file"),
        ("empty.txt", "empty"),
        ("photo.txt", "byte"),
        ("broken.json", "line 1"),
        ("blank.txt", "contains only whitespace."),
        ("blank.csv", "blank.csv is empty in every row"),
        ("chat.jsonl", "No column of chat.jsonl can be read as a text or a label"),
    ],
)
def test_what_can_not_be_read_leaves_the_data_as_they_were(dashboard, data, tmp_path, name, words):
    before = dashboard.draft.spec.data
    file = tmp_path / name
    if name in CONTENTS:
        file.write_bytes(CONTENTS[name])
    data.choose(str(file))
    data.wait()

    assert data.wanted.stage == "failed"
    assert words in str(data.wanted.error)
    assert dashboard.draft.spec.data == before
    assert dashboard.draft.is_valid
    said = shown(page_of(dashboard))
    assert "your previous dataset is still selected" in said
    assert words in said

    data.cancel()
    assert "your previous dataset is still selected" not in shown(page_of(dashboard))


def test_nothing_and_an_empty_search_are_refused_in_words(data):
    with pytest.raises(DataError, match="Enter a path, an https"):
        data.choose("  ")
    with pytest.raises(DataError, match="Enter a word"):
        data.find("")
    with pytest.raises(DataError, match="nothing to fetch"):
        data.get()


def test_the_roles_of_columns_are_guessed_with_a_reason_and_can_be_chosen(dashboard, data, reviews):
    dashboard.draft.know(ModelFacts("sequence-classification"))
    data.choose(str(reviews))
    data.wait()
    assert data.look.roles == {"text": "review", "label": "stars"}
    page = page_of(dashboard)
    assert "Chosen by its name." in shown(page)

    choice = at(page, "data-column-label")
    assert [value for _, value in choice.options] == ["", "id", "review", "stars"]
    choice.value = "id"
    assert dashboard.draft.spec.data.columns == {"label": "id"}
    data.wait()
    assert data.look.roles["label"] == "id"

    choice.value = ""
    assert dashboard.draft.spec.data.columns == {}


def test_a_column_that_can_not_be_told_is_asked_for_before_start(dashboard, data, tmp_path):
    file = tmp_path / "odd.csv"
    file.write_text("a,b\n" + "some words here,other words here\n" * 50)
    data.choose(str(file))
    data.wait()
    assert "holds the text?" in dashboard.draft.errors["data.columns"]
    page = page_of(dashboard)
    assert "holds the text? It has a" in shown(page)

    at(page, "data-column-text").value = "b"
    data.wait()
    assert dashboard.draft.is_valid
    assert data.look.roles == {"text": "b"}


def test_what_was_decided_about_other_data_does_not_hold(dashboard, data, reviews, text_file):
    dashboard.draft.set("data.columns", {"text": "review"})
    dashboard.draft.set("data.encoding", "cp1252")
    data.choose(str(text_file))
    data.wait()
    assert dashboard.draft.spec.data.columns == {}
    assert dashboard.draft.spec.data.encoding == "auto"


def test_what_would_waste_a_night_is_told_in_the_data_step_and_beside_start(dashboard, data, tmp_path):
    file = tmp_path / "gaps.csv"
    lines = [f"{n},{'' if n % 5 < 2 else f'This is what I say of film number {n} at length.'}" for n in range(400)]
    file.write_text("\n".join(["id,review", *lines]) + "\n")
    data.choose(str(file))
    data.wait()
    assert dashboard.draft.is_valid
    for place in (page_of(dashboard), dashboard.page.bar.widget):
        assert "40 % of the rows are empty in review" in shown(place)


def test_data_that_no_run_could_begin_with_block_start_and_are_shown_all_the_same(dashboard, data, tmp_path):
    file = tmp_path / "short.txt"
    file.write_text("Too short.")
    data.choose(str(file))
    data.wait()
    assert "tokens, but one context needs 17" in dashboard.draft.errors["data.source"]
    assert "Too short." in shown(page_of(dashboard))
    assert at(dashboard.page.widget, "start").disabled


def test_a_context_longer_than_the_text_is_refused_at_its_own_field(dashboard, data):
    dashboard.draft.set("data.context_length", 60_000)
    data.wait()
    (reason,) = dashboard.draft.errors.values()
    assert [*dashboard.draft.errors] == ["data.context_length"]
    assert "one context needs 60,001" in reason
    assert "Set “Context length” to at most" in reason


def test_what_is_said_on_the_page_names_fields_as_the_form_does(dashboard, data, tmp_path):
    file = tmp_path / "odd.csv"
    file.write_text("".join(["a,b\n", *(f"some words {n},other words {n}\n" for n in range(50))]))
    data.choose(str(file))
    data.wait()
    said = shown(page_of(dashboard))
    assert "Columns: which column of odd.csv holds the text?" in said
    assert "data.columns" not in said


def test_what_was_dropped_and_refused_does_not_stay(dashboard, data, monkeypatch, tmp_path):
    monkeypatch.setenv("TB_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "uploads" / ("0" * 64)
    folder.mkdir(parents=True)
    for name, content in (("x.pdf", b"%PDF-1.7\n\0\0\1"), ("good.txt", b"A line of text.\n" * 99)):
        (folder / name).write_bytes(content)
    data.choose(str(folder / "x.pdf"))
    data.wait()
    assert data.wanted.stage == "failed"
    assert [path.name for path in folder.iterdir()] == ["good.txt"]
    said = shown(page_of(dashboard))
    assert "x.pdf" in said
    assert "tbw-primary" not in at(page_of(dashboard), "get-data")._dom_classes, "trying again changes nothing"
    assert str(folder) not in said

    data.choose(str(folder / "good.txt"))
    data.wait()
    assert dashboard.draft.is_valid
    assert (folder / "good.txt").exists()


def test_names_and_rows_of_a_table_are_shown_as_text(dashboard, data, tmp_path):
    file = tmp_path / "evil.jsonl"
    row = {"text": f"{EVIL} and so on", EVIL: EVIL}
    file.write_text("".join(json.dumps(row) + "\n" for _ in range(50)))
    data.choose(str(file))
    data.wait()
    assert MARK in shown(page_of(dashboard))
    check(dashboard)


def test_a_tokenizer_of_the_hub_is_asked_for_where_it_is_missing(dashboard, data):
    dashboard.draft.set("tokenizer.kind", "file")
    assert "Enter the path" in dashboard.draft.errors["tokenizer.file"]
    with pytest.raises(DataError, match="no tokenizer to fetch"):
        data.get_tokenizer()
    dashboard.draft.set("tokenizer.file", "hub:somebody/nothing")
    assert "not been downloaded yet" in dashboard.draft.errors["tokenizer.file"]
    assert "tbw-hidden" not in at(page_of(dashboard), "get-tokenizer")._dom_classes


def test_a_preset_leaves_the_data_as_they_were_chosen(dashboard, data, reviews):
    data.choose(str(reviews), columns={"text": "review"}, encoding="utf-8")
    data.wait()
    dashboard.use_preset("small")
    held = dashboard.draft.spec.data
    assert (held.source, held.columns, held.encoding) == (str(reviews), {"text": "review"}, "utf-8")


def test_a_small_vocabulary_leaves_room_for_the_sign_that_ends_a_document(dashboard, data, reviews):
    dashboard.draft.set("tokenizer.kind", "bpe")
    dashboard.draft.set("tokenizer.vocab_size", 300)
    dashboard.draft.know(ModelFacts("causal-lm", vocab_size=300))
    assert dashboard.draft.is_valid
    data.choose(str(reviews))
    data.wait()
    assert "Choose 299 or less" in dashboard.draft.errors["tokenizer.vocab_size"]
    dashboard.use_what_fits()
    assert dashboard.draft.is_valid


def test_only_what_serves_the_model_is_offered_and_the_rest_with_the_reason(dashboard, data):
    page = page_of(dashboard)
    choice = at(page, "data-source-choice")
    offered = dict(map(reversed, choice.options))
    assert "python-docs" in offered
    assert "TinyStories" in offered
    assert "drawn-shapes" not in offered

    at(page, "data-all").value = True
    offered = dict(map(reversed, choice.options))
    assert offered["drawn-shapes"].endswith("only for a model that classifies images")

    at(page, "data-all").value = False
    dashboard.draft.know(ModelFacts("vision-classification"))
    page_of(dashboard)
    offered = [value for _, value in choice.options]
    assert "drawn-shapes" in offered
    assert "python-docs" not in offered


def test_one_of_ours_is_chosen_in_the_list(dashboard, data):
    page = page_of(dashboard)
    choice = at(page, "data-source-choice")
    assert choice.label.startswith("Your own: squares.txt")
    choice.value = "python-source"
    assert dashboard.draft.spec.data.source == "python-source"
    dashboard.refresh()
    assert choice.value == "python-source"
    assert "Your own" not in str(choice.options)


def test_a_dataset_of_a_file_that_is_not_here_waits_to_be_fetched(runs_dir, tiny):
    spec = tiny({"data.source": "hub:somebody/nothing@" + "a" * 40})
    dashboard = Dashboard(spec, runs_dir=runs_dir)
    assert "not on this machine yet" in dashboard.draft.errors["data.source"]
    page = page_of(dashboard)
    assert "Not on this machine yet" in shown(page)
    assert "tbw-hidden" not in at(page, "get-data")._dom_classes


def test_the_cache_is_measured_and_cleared(dashboard, data, monkeypatch, tmp_path):
    monkeypatch.setenv("TB_CACHE_DIR", str(tmp_path))
    for name in ("a" * 64, "b" * 64):
        (tmp_path / "uploads" / name).mkdir(parents=True)
        (tmp_path / "uploads" / name / "text.txt").write_text("To be, or not to be. " * 100)
    mine = tmp_path / "uploads" / ("b" * 64) / "text.txt"
    data.choose(str(mine))
    data.wait()
    data.look_at_cache()
    data.wait()
    assert data.cache.result[0].size >= 4200

    page = page_of(dashboard)
    at(page, "clear-cache").click()
    assert (tmp_path / "uploads" / ("a" * 64)).exists(), "it asks first"
    assert at(page, "clear-cache").description.startswith("Clear 4")
    at(page, "keep-cache").click()
    assert at(page, "clear-cache").description == "Clear"
    at(page, "clear-cache").click()
    at(page, "clear-cache").click()
    data.wait()
    assert mine.exists()  # the form holds it
    assert not (tmp_path / "uploads" / ("a" * 64)).exists()
    assert "Freed " in shown(page_of(dashboard))


def arrived(name, content):
    """A file as a browser has sent it."""
    id = uploads.begin(name, len(content))
    uploads.add(id, 0, content)
    return uploads.finish(id, hashlib.sha256(content).hexdigest())


def test_of_an_upload_that_is_refused_nothing_stays(dashboard, data, monkeypatch, tmp_path):
    monkeypatch.setenv("TB_CACHE_DIR", str(tmp_path / "cache"))
    path = arrived("x.pdf", b"%PDF-1.4\n\x89\0\0\0\xff" * 50)
    data.choose(str(path))
    data.wait()
    assert data.wanted.stage == "failed"
    assert not path.parent.exists()
    page = page_of(dashboard)
    assert "tbw-hidden" in at(page, "get-data")._dom_classes
    assert "tbw-hidden" not in at(page, "cancel-data")._dom_classes

    text = b"".join(b"Line %d of a text with many letters.\n" % n for n in range(200))
    used, same = arrived("good.txt", text), arrived("good.json", text)
    data.choose(str(used))
    data.wait()
    data.choose(str(same))
    data.wait()
    assert data.wanted.stage == "failed"
    assert dashboard.draft.spec.data.source == str(used)
    assert used.exists()
    assert not same.exists()


def test_uploads_are_called_by_their_names_and_not_by_their_places(dashboard, data, monkeypatch, tmp_path):
    monkeypatch.setenv("TB_CACHE_DIR", str(tmp_path / "cache"))
    for name, content in (("x.pdf", b"\x89\0\0\0\xff" * 50), ("x.csv", b"a,b\nsome words,other words\n")):
        data.choose(str(arrived(name, content)))
        data.wait()
        said = shown(page_of(dashboard)) + shown(dashboard.page.bar.widget)
        assert name in said
        assert str(tmp_path / "cache") not in said
    assert dashboard.draft.spec.data.source.endswith("x.csv")


def test_numbers_are_written_as_people_write_them(dashboard, data, tmp_path):
    file = tmp_path / "two.csv"
    file.write_text("text\n" + "".join(f"some words and {n}\n" for n in range(40)))
    dashboard.draft.know(ModelFacts("causal-lm", parameters=2_000_000_000))
    data.choose(str(file))
    data.wait()
    said = shown(page_of(dashboard))
    assert "<dt>Rows</dt><dd>40</dd>" in said
    assert "<dd>0.0000" in said
    assert "e-0" not in said
    assert (rounded(219.4), rounded(1.0), rounded(0.05)) == ("219", "1.0", "0.050")


def test_an_address_does_not_outlive_the_choice_of_other_data(dashboard, data, reviews):
    page = page_of(dashboard)
    enter(at(page, "data-source"), str(reviews))
    data.wait()
    page_of(dashboard)
    assert at(page, "data-source").text == str(reviews)
    at(page, "data-source-choice").value = "python-source"
    page_of(dashboard)
    assert at(page, "data-source").text == ""
