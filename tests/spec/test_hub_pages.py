"""What a browser shows as the address of a model or dataset of the Hub is taken for its name, wherever it is typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tb_widgets.app.state.draft import Draft
from tb_widgets.spec import RunSpec
from tb_widgets.spec.hub_pages import data_source, model_source

HOST = "https://huggingface.co"


@pytest.mark.parametrize(
    ("page", "named"),
    [
        (f"{HOST}/ada/tiny", "hub:ada/tiny"),
        ("huggingface.co/ada/tiny/", "hub:ada/tiny"),
        ("http://www.huggingface.co/ada/tiny?library=x#files", "hub:ada/tiny"),
        ("hf.co/ada/tiny", "hub:ada/tiny"),
        (f" {HOST}/ada/tiny/tree/v1.0 ", "hub:ada/tiny@v1.0"),
        (f"{HOST}/ada/tiny/blob/{'a' * 40}/model.py", f"hub:ada/tiny@{'a' * 40}"),
        (f"{HOST}/ada/tiny/discussions", "hub:ada/tiny"),
        # None of these is the page of a model.
        (f"{HOST}/datasets/ada/tiny", f"{HOST}/datasets/ada/tiny"),
        (f"{HOST}/ada", f"{HOST}/ada"),
        ("https://example.org/huggingface.co/ada/tiny", "https://example.org/huggingface.co/ada/tiny"),
        ("huggingface.co.example.org/ada/tiny", "huggingface.co.example.org/ada/tiny"),
        ("hub:ada/tiny", "hub:ada/tiny"),
    ],
)
def test_the_page_of_a_model(page, named):
    assert model_source(page) == named
    spec = RunSpec.from_mapping({"model": {"source": page}, "tokenizer": {"kind": "file", "file": page}})
    assert (spec.model.source, spec.tokenizer.file) == (named, named)
    draft = Draft()
    draft.set("model.source", page)
    assert draft.values["model.source"] == draft.spec.model.source == named.strip()


@pytest.mark.parametrize(
    ("page", "named"),
    [
        (f"{HOST}/datasets/ada/texts", "hub:ada/texts"),
        (f"{HOST}/datasets/ada/texts/viewer/default/train?p=3", "hub:ada/texts"),
        (f"{HOST}/datasets/ada/texts/tree/v2", "hub:ada/texts@v2"),
        # A single file of it is a file.
        (f"{HOST}/datasets/ada/texts/resolve/main/a.txt", f"{HOST}/datasets/ada/texts/resolve/main/a.txt"),
        ("huggingface.co/datasets/ada/texts/blob/main/a.txt", f"{HOST}/datasets/ada/texts/resolve/main/a.txt"),
        (f"{HOST}/ada/texts", f"{HOST}/ada/texts"),
        (f"{HOST}/datasets/imdb", f"{HOST}/datasets/imdb"),
        ("books/huggingface.co", "books/huggingface.co"),
    ],
)
def test_the_page_of_a_dataset(page, named):
    assert data_source(page) == named
    assert RunSpec().with_values({"data.source": page}).data.source == named


@given(st.one_of(st.text(), st.from_regex(r"(https?://)?(huggingface\.co|hf\.co)/(datasets/)?.{0,60}", fullmatch=True)))
def test_whatever_is_typed_is_named_once(text):
    for read in (model_source, data_source):
        assert read(read(text)) == read(text)
