"""Datasets of a Hub on this machine, through the Hub's own clients."""

from __future__ import annotations

import os
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tb_widgets.data.reading.open import open_data
from tb_widgets.data.sources import fetching
from tb_widgets.data.sources.fetching import fetch_data, fetch_tokenizer, local_tokenizer, pinned_tokenizer
from tb_widgets.data.sources.hub_facts import inspect_hub, search_hub
from tb_widgets.data.sources.resolve import resolve_source
from tb_widgets.errors import DataError
from tb_widgets.runs.folders import default_cache_dir
from tb_widgets.spec import DataSpec

from .conftest import Fetcher, left_behind, parquet
from .hub_server import COMMIT, cut, status

CARD = """---
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': bad
          '1': good
  splits:
  - name: train
    num_examples: 300
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train*
---
"""
TWO = "---\nconfigs:\n- config_name: en-fr\n  data_files: fr.jsonl\n- config_name: en-de\n  data_files: de.jsonl\n---\n"
PAIR = '{"translation": {"en": "yes", "fr": "oui"}}\n'


@pytest.fixture
def tiny(quiet, fetcher):
    quiet.add(
        "me/tiny",
        {
            "data/train-00000-of-00002.parquet": parquet(500),
            "data/train-00001-of-00002.parquet": parquet(500, first=500),
            "data/test-00000-of-00001.parquet": parquet(50, first=1000),
        },
    )
    return DataSpec(source="hub:me/tiny")


def test_a_dataset_is_fetched_pinned_and_opened(tiny, quiet):
    fetched = fetch_data(tiny, on_progress=lambda message, share: None)
    assert fetched.data.source == f"hub:me/tiny@{COMMIT}"
    assert (fetched.rows, len(fetched.files)) == (1000, 2)
    assert fetched.files[0].read_bytes() == quiet.repositories["me/tiny"].files["data/train-00000-of-00002.parquet"]
    assert resolve_source(tiny).is_here
    assert resolve_source(fetched.data).is_here
    assert resolve_source(tiny).pinned() == fetched.data
    assert resolve_source(tiny).parts().held_back == []
    rows = list(open_data(tiny).rows(["text", "label"]))
    assert (len(rows), rows[0], rows[-1]) == (1000, ("row 0 is here", 0), ("row 999 is here", 1))
    assert not left_behind(default_cache_dir())


def test_what_is_here_is_not_fetched_again_and_a_commit_is_not_even_asked_for(tiny, quiet):
    first = fetch_data(tiny)
    quiet.seen.clear()
    assert fetch_data(tiny).files == first.files
    assert not quiet.sent("/resolve/")
    assert len(quiet.seen) == 1  # which revision is the newest
    quiet.seen.clear()
    assert fetch_data(first.data).files == first.files
    assert not quiet.seen


def test_the_datasets_own_split_is_held_back(tiny):
    fetched = fetch_data(tiny.model_copy(update={"validation_split": "test"}))
    assert [pq.read_metadata(file.path).num_rows for file in fetched.parts().held_back] == [50]
    table = open_data(fetched.data)
    assert next(row for (row,) in table.own_validation.rows(["text"])) == "row 1000 is here"
    assert resolve_source(fetched.data).is_here


def test_streaming_reads_whole_thousands_of_rows_until_there_is_enough_and_the_same_each_time(quiet, fetcher):
    long = [f"{n} " + "word " * 500 for n in range(4000)]
    quiet.add("me/long", {"train.parquet": parquet(0, group=500, text=long)})
    data = DataSpec(source="hub:me/long", streaming=True)
    fetched = fetch_data(data, tokens=1000)
    assert fetched.data.source == f"hub:me/long@{COMMIT}#4MB"
    assert fetched.rows == 2000  # of 2.5 kB each
    parts = [headers.get("range") for headers in quiet.sent("train.parquet")]
    assert parts
    assert all(parts)
    assert [text for (text,) in open_data(data).rows(["text"])] == long[:2000]
    assert fetch_data(fetched.data).files == fetched.files
    # A run that reads more gets a larger copy; the smaller one keeps its name.
    with pytest.raises(DataError, match=r"first 4 MB of .* are here, and this run reads more"):
        resolve_source(data).pinned(tokens=600_000)
    assert fetch_data(data, tokens=600_000).rows == 4000
    assert resolve_source(fetched.data).files == fetched.files
    # There is no more of it than this: it will do for any run.
    assert resolve_source(data).pinned(tokens=10**9).source == f"hub:me/long@{COMMIT}#8MB"


def test_other_formats_become_parquet_with_their_columns(quiet, fetcher):
    quiet.add(
        "me/pairs", {"README.md": TWO, "fr.jsonl": '{"translation": {"en": "yes", "fr": "oui"}}\n', "de.jsonl": ""}
    )
    data = DataSpec(source="hub:me/pairs", config="en-fr")
    assert fetch_data(data).rows == 1
    table = open_data(data)
    assert [column.name for column in table.columns] == ["translation.en", "translation.fr"]
    assert list(table.rows(["translation.fr"])) == [("oui",)]


def test_names_of_classes_in_the_card_are_kept(quiet, fetcher):
    quiet.add("me/classes", {"README.md": CARD, "data/train.csv": "text,label\nfine,1\nawful,0\n"})
    data = DataSpec(source="hub:me/classes")
    fetch_data(data)
    assert {column.name: column.names for column in open_data(data).columns}["label"] == ("bad", "good")


def test_parquet_without_the_names_of_its_classes_gets_them(quiet, fetcher):
    quiet.add("me/nameless", {"README.md": CARD, "data/train.parquet": parquet(300)})
    data = DataSpec(source="hub:me/nameless")
    assert fetch_data(data).rows == 300
    assert {column.name: column.names for column in open_data(data).columns}["label"] == ("bad", "good")


def test_a_dataset_is_looked_at_before_anything_is_fetched(quiet, fetcher):
    quiet.add("me/looked", {"README.md": CARD, "data/train.csv": "text,label\nfine,1\nawful,0\n"})
    facts = inspect_hub(DataSpec(source="hub:me/looked"))
    assert (facts.revision, facts.configs, facts.config) == (COMMIT, ("default",), "default")
    assert [(split.name, split.size, split.rows) for split in facts.splits] == [("train", 26, 300)]
    assert [(column.name, column.kind, column.names) for column in facts.columns] == [
        ("text", "text", ()),
        ("label", "whole", ("bad", "good")),
    ]
    assert facts.first_rows[1] == {"text": "awful", "label": "0"}
    assert not resolve_source(DataSpec(source="hub:me/looked")).is_here


def test_variants_are_named_before_one_is_chosen(quiet, fetcher):
    quiet.add(
        "me/variants", {"README.md": TWO, "fr.jsonl": '{"translation": {"en": "a", "fr": "b"}}\n', "de.jsonl": "{}"}
    )
    facts = inspect_hub(DataSpec(source="hub:me/variants"))
    assert (facts.configs, facts.config, facts.columns) == (("en-fr", "en-de"), None, ())
    chosen = inspect_hub(DataSpec(source="hub:me/variants", config="en-fr"))
    assert [column.name for column in chosen.columns] == ["translation.en", "translation.fr"]


def test_search(quiet, fetcher):
    quiet.add("me/wanted", {})
    assert [(hit.id, hit.rows, hit.downloads) for hit in search_hub("WANTED")] == [("me/wanted", "1K<n<10K", 7)]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"config": "xx"}, "data.config: me/tiny on the Hub has no configuration xx. It has default."),
        ({"split": "dev"}, "data.split: me/tiny on the Hub has no split dev. It has train, test."),
        ({"validation_split": "dev"}, "data.validation_split: me/tiny on the Hub has no split dev."),
        ({"validation_split": "train"}, "train is the training split"),
        ({"source": "hub:me/tiny@v9"}, "has no revision v9"),
        ({"source": "hub:me/absent"}, "There is no dataset me/absent on the Hub, or it is private"),
        ({"source": "hub:absent"}, "is not the address of a Hub dataset"),
    ],
)
def test_what_is_not_there_is_said_by_its_field(tiny, choices, message):
    with pytest.raises(DataError) as caught:
        fetch_data(tiny.model_copy(update=choices))
    assert message in str(caught.value)


def test_one_of_several_variants_must_be_chosen(quiet, fetcher):
    quiet.add("me/several", {"README.md": TWO, "fr.jsonl": "{}", "de.jsonl": "{}"})
    with pytest.raises(DataError, match=r"has 2 configurations, and none is chosen\. Choose one: en-fr, en-de"):
        fetch_data(DataSpec(source="hub:me/several"))


def test_programs_of_a_dataset_are_never_run(quiet, fetcher, tmp_path):
    quiet.add("me/script", {"script.py": f"open({str(tmp_path / 'ran')!r}, 'w')", "train.csv": "a\n1\n"})
    with pytest.raises(DataError, match=r"never run here.*refs/convert/parquet"):
        fetch_data(DataSpec(source="hub:me/script"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (401, "GatedRepo", "is gated (status 401). Ask for access on"),
        (403, "GatedRepo", "is gated (status 403)."),
        (401, "RepoNotFound", "or it is private (status 401)"),
        (403, "", "does not let you read me/refused (status 403)"),
        (429, "", "rate limit is reached"),
        (503, "", "has a server error (status 503)"),
    ],
)
def test_each_refusal_has_its_own_words(quiet, fetcher, code, error, message):
    quiet.add("me/refused", {"train.csv": "a\n1\n"}, refusal=(code, error))
    with pytest.raises(DataError) as caught:
        fetch_data(DataSpec(source="hub:me/refused"))
    assert message in str(caught.value)


def test_a_file_that_only_some_may_read_is_said_so(quiet, fetcher):
    quiet.add("me/locked", {"train.parquet": parquet(10)})
    quiet.fault = status(403, "/resolve/" + COMMIT + "/train", {"X-Error-Code": "GatedRepo"})
    with pytest.raises(DataError, match="is gated"):
        fetch_data(DataSpec(source="hub:me/locked"))


def test_files_that_have_arrived_are_not_fetched_again_after_the_network_died(quiet, fetcher):
    noise = [os.urandom(500).hex() for _ in range(400)]
    first, second = parquet(0, text=noise), parquet(0, text=noise[::-1])
    quiet.add("me/broken", {"train-0.parquet": first, "train-1.parquet": second})
    quiet.fault = cut("train-1", 200_000)
    data = DataSpec(source="hub:me/broken")
    with pytest.raises(DataError, match="does not answer"):
        fetch_data(data)
    assert not resolve_source(data).is_here
    quiet.fault = None
    quiet.seen.clear()
    assert fetch_data(data).rows == 800
    assert not quiet.sent("train-0.parquet")
    assert [file.read_bytes() for file in resolve_source(data).files] == [first, second]
    assert not left_behind(default_cache_dir())


def test_a_damaged_file_is_refused(quiet, fetcher):
    repository = quiet.add("me/damaged", {"train.csv": "a\n1\n"})
    entry = repository.entry("train.csv")
    repository.entry = lambda path: {**entry, "oid": "0" * 40}
    with pytest.raises(DataError, match=r"train\.csv of me/damaged on the Hub arrived damaged"):
        fetch_data(DataSpec(source="hub:me/damaged"))


def test_no_rows_and_no_files_are_said(quiet, fetcher):
    quiet.add("me/empty", {"train.parquet": parquet(0, text=pa.array([], pa.string()))})
    with pytest.raises(DataError, match="has no rows"):
        fetch_data(DataSpec(source="hub:me/empty"))
    quiet.add("me/nothing", {"README.md": "hello"})
    with pytest.raises(DataError, match="has no data files"):
        fetch_data(DataSpec(source="hub:me/nothing"))


def test_a_tokenizer_is_fetched_and_pinned(quiet, fetcher):
    quiet.add("me/model", {"tokenizer.json": "{}", "model.py": "x"}, kind="models")
    with pytest.raises(DataError, match="has not been downloaded yet"):
        local_tokenizer("hub:me/model")
    assert fetch_tokenizer("hub:me/model").read_text() == "{}"
    assert pinned_tokenizer("hub:me/model") == f"hub:me/model@{COMMIT}"
    assert local_tokenizer(f"hub:me/model@{COMMIT}") == local_tokenizer("hub:me/model")


def test_rows_that_stop_coming_leave_nothing(quiet, fetcher):
    noise = [os.urandom(2000).hex() for _ in range(3000)]
    quiet.add("me/dying", {"train.parquet": parquet(0, group=500, text=noise)})
    seen = []

    def die(handler) -> bool:
        seen.append(handler.headers.get("Range"))
        return len([part for part in seen if part]) > 2 and status(403, "train.parquet")(handler)

    quiet.fault = die
    data = DataSpec(source="hub:me/dying", streaming=True)
    with pytest.raises(DataError) as caught:
        fetch_data(data, tokens=1000)
    assert "does not let you read me/dying (status 403)" in str(caught.value)
    assert not resolve_source(data).is_here
    assert not left_behind(default_cache_dir())
    quiet.fault = None
    assert fetch_data(data, tokens=1000).rows == 1000


IMPATIENT = """
import sys, time
from tb_widgets.data.remote import process
process.QUIET = 0.3
pause, time.sleep = time.sleep, lambda seconds: pause(seconds / 10)
sys.exit(process.main())
"""


@pytest.mark.parametrize(("code", "words"), [(None, "does not answer"), (502, "has a server error (status 502)")])
def test_a_network_that_dies_between_rows_is_told_and_given_up_soon(quiet, tmp_path, monkeypatch, code, words):
    noise = [os.urandom(2000).hex() for _ in range(3000)]
    quiet.add(f"me/silent-{code}", {"train.parquet": parquet(0, group=500, text=noise)})
    seen = []

    def die(handler) -> bool:
        if handler.command != "GET" or "train.parquet" not in handler.path:
            return False
        seen.append(handler.path)
        if len(seen) <= 2:
            return False
        if code is None:
            handler.close_connection = True  # without a word
            return True
        return status(code)(handler)

    quiet.fault = die
    (tmp_path / "impatient.py").write_text(IMPATIENT)
    process, said = Fetcher(tmp_path, "impatient"), []
    monkeypatch.setattr(fetching, "ask", process.ask)
    data = DataSpec(source=f"hub:me/silent-{code}", streaming=True)
    try:
        began = time.monotonic()
        with pytest.raises(DataError) as caught:
            fetch_data(data, tokens=1000, on_progress=lambda message, _share: said.append(message))
        assert time.monotonic() - began < 12  # of which some are imports; pauses are a tenth of what they are
        assert words in str(caught.value)
        assert any(": nothing new for " in message for message in said)
        assert not left_behind(default_cache_dir())
        quiet.fault = None
        assert fetch_data(data, tokens=1000, on_progress=None).rows == 1000
    finally:
        process.close()


def test_a_copy_is_offered_where_the_hub_can_not_be_asked_and_never_taken_unasked(tiny, quiet):
    fetched = fetch_data(tiny)
    quiet.fault = status(503)
    with pytest.raises(DataError, match=rf"A copy from \d+-\d+-\d+ is on this machine: hub:me/tiny@{COMMIT}\."):
        fetch_data(tiny)
    assert fetch_data(fetched.data).files == fetched.files
