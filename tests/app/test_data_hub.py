"""Datasets of a Hub on this machine, from their name to what the form holds; files of addresses likewise."""

from __future__ import annotations

import pytest
from data.conftest import fetcher, hub, parquet, quiet  # noqa: F401  (fixtures)
from data.hub_server import COMMIT, status

from tb_widgets.data.sources.curated import list_curated

from .conftest import at, enter, shown

TWO = "---\nconfigs:\n" + "".join(f"- config_name: {n}\n  data_files: {n}.jsonl\n" for n in ("short", "long")) + "---\n"


@pytest.fixture
def data(dashboard, quiet, fetcher):  # noqa: F811
    yield dashboard.data
    dashboard.data.close()


def page_of(dashboard):
    dashboard.show("data")
    dashboard.refresh()
    return dashboard.page.boxes["data"]


def test_a_dataset_is_looked_at_got_and_chosen_by_its_full_revision(dashboard, data, quiet):  # noqa: F811
    quiet.add("me/reviews", {"train.parquet": parquet(400), "test.parquet": parquet(50, first=400)})
    before = dashboard.draft.spec.data
    data.choose("hub:me/reviews")
    data.wait()
    assert data.wanted.stage == "asking"
    page = page_of(dashboard)
    said = shown(page)
    assert "nothing has been downloaded yet" in said
    assert "text, label" in said
    assert "row 0 is here" in said
    assert dashboard.draft.spec.data == before

    at(page, "data-test-on").value = "test"
    at(page, "get-data").click()
    data.wait()
    held = dashboard.draft.spec.data
    assert (held.source, held.validation_split) == (f"hub:me/reviews@{COMMIT}", "test")
    assert data.wanted is None
    assert dashboard.draft.blockers == []
    assert data.look.roles["text"] == "text"


def test_a_variant_is_chosen_first(dashboard, data, quiet):  # noqa: F811
    files = {f"{name}.jsonl": f'{{"text": "a {name} text"}}\n' * 200 for name in ("short", "long")}
    quiet.add("me/two", {"README.md": TWO, **files})
    data.choose("hub:me/two")
    data.wait()
    page = page_of(dashboard)
    assert "It has 2 configurations: choose one." in shown(page)
    assert "tbw-hidden" in at(page, "get-data")._dom_classes

    at(page, "data-config").value = "long"
    data.wait()
    page_of(dashboard)
    assert "tbw-hidden" not in at(page, "get-data")._dom_classes
    data.get()
    data.wait()
    assert dashboard.draft.spec.data.config == "long"
    assert dashboard.draft.is_valid


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (404, "There is no dataset"),
        (403, "does not let you read"),
        (429, "rate limit"),
        (503, "server error (status 503)"),
    ],
)
def test_a_refusal_says_why_and_leaves_the_data_as_they_were(dashboard, data, quiet, fault, words):  # noqa: F811
    before = dashboard.draft.spec.data
    quiet.fault = status(fault)
    data.choose("hub:me/elsewhere")
    data.wait()
    assert words in str(data.wanted.error)
    assert dashboard.draft.spec.data == before
    assert dashboard.draft.is_valid
    page = page_of(dashboard)
    assert words in shown(page)
    assert "your previous dataset is still selected" in shown(page)

    quiet.fault = None
    quiet.add("me/elsewhere", {"train.parquet": parquet(100)})
    assert at(page, "get-data").description == "Try again"
    at(page, "get-data").click()  # it says: Try again
    data.wait()
    assert data.wanted.stage == "asking"
    del quiet.repositories["me/elsewhere"]


def test_the_hub_is_searched_by_words_and_a_find_is_looked_at(dashboard, data, quiet):  # noqa: F811
    quiet.add("me/poems", {"train.parquet": parquet(100)})
    page = page_of(dashboard)
    enter(at(page, "data-search"), "poems")
    data.wait()
    page_of(dashboard)
    assert [hit.id for hit in data.search.result] == ["me/poems"]

    data.choose("hub:me/poems")
    data.wait()
    assert data.wanted.facts.id == "me/poems"


def test_a_well_known_dataset_is_asked_for_with_what_must_be_chosen_in_it(dashboard, data):
    page = page_of(dashboard)
    at(page, "data-source-choice").value = "wikitext-2-raw"
    asked = data.wanted.data
    known = next(entry for entry in list_curated() if entry.name == "wikitext-2-raw")
    assert {name: getattr(asked, name) for name in known.values} == known.values
    data.wait()
    assert data.wanted.stage == "failed"  # this Hub does not have it


def test_a_file_at_an_address_is_fetched_and_one_that_is_not_there_is_told(dashboard, data, quiet):  # noqa: F811
    quiet.files["poem.txt"] = b"Shall I compare thee to a summer's day? " * 200
    data.choose(f"{quiet.url}/files/poem.txt")
    data.wait()
    assert data.wanted is None
    assert dashboard.draft.spec.data.source == f"{quiet.url}/files/poem.txt"
    assert dashboard.draft.is_valid
    assert "Shall I compare thee" in shown(page_of(dashboard))

    data.choose(f"{quiet.url}/files/nowhere.txt")
    data.wait()
    assert data.wanted.stage == "failed"
    assert dashboard.draft.spec.data.source == f"{quiet.url}/files/poem.txt"


def test_a_tokenizer_is_got_and_named_by_its_full_revision(dashboard, data, quiet):  # noqa: F811
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"[UNK]": 0, "is": 1, "times": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    quiet.add("me/words", {"tokenizer.json": made.to_str()}, kind="models")
    dashboard.draft.set("tokenizer.kind", "file")
    dashboard.draft.set("tokenizer.file", "hub:me/words")
    at(page_of(dashboard), "get-tokenizer").click()
    data.wait()
    assert dashboard.draft.spec.tokenizer.file == f"hub:me/words@{COMMIT}"
    assert "tokenizer.file" not in dashboard.draft.errors
    assert "[UNK] times" in " ".join(data.look.preview.notes)  # it knows two words
