"""Data from elsewhere, from a terminal and from a script: fetched first, then trained on without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace

import pytest

import tb_widgets
from tb_widgets import TrainingService
from tb_widgets.data.cache.limit import clear_cache
from tb_widgets.data.sources.curated import list_curated
from tb_widgets.data.sources.fetching import fetch_data
from tb_widgets.errors import DataError
from tb_widgets.runs import create_run
from tb_widgets.runs.status import read_status, write_status
from tb_widgets.spec import DataSpec, RunSpec
from tests.data.conftest import parquet
from tests.data.hub_server import COMMIT, HubServer

from .conftest import COMMAND, Terminal, command

SENTENCES = [f"{n} times {n} is {n * n}, and {n} and {n} are {n + n}." for n in range(400)]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, HubServer() as server:
        patch.delenv("HF_TOKEN", raising=False)
        patch.setenv("HF_ENDPOINT", server.url)
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("TB_ALLOW_LOCAL_ADDRESSES", "1")
        patch.setenv("TB_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        server.add("me/squares", {"train.parquet": parquet(0, text=SENTENCES)})
        server.files["squares.txt"] = "\n".join(SENTENCES).encode()
        yield server


def test_a_dataset_of_the_hub_trains_by_its_name_and_the_run_keeps_the_revision(hub, tiny_file, tmp_path):
    said = command("train", tiny_file, "--data", "hub:me/squares", "--json", runs=tmp_path)
    assert said.code == 0, said.err
    assert said.json["state"] == "done"
    assert "Fetching hub:me/squares" in said.err
    run = TrainingService(tmp_path).attach("latest")
    assert run.spec.data.source == f"hub:me/squares@{COMMIT}"


def test_a_script_trains_on_a_file_at_an_address(hub, tiny, tmp_path):
    spec = tiny({"data.source": f"{hub.url}/files/squares.txt", "training.steps": 2})
    run = tb_widgets.train(spec, runs_dir=tmp_path, show_progress=False)
    assert run.state == "done"


def test_the_service_refuses_what_was_not_fetched_before_there_is_a_run(hub, tiny, tmp_path):
    with pytest.raises(DataError, match=r"hub:me/other has not been downloaded yet\. Download it in the Data step"):
        TrainingService(tmp_path).start(tiny({"data.source": "hub:me/other"}))
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_resumed_gets_its_very_data_again(hub, tiny, tmp_path):
    fetch_data(DataSpec(source="hub:me/squares"))
    run = create_run(tmp_path, tiny({"data.source": f"hub:me/squares@{COMMIT}"}))
    write_status(run.status_file, replace(read_status(run.status_file), state="stopped", total=20))
    clear_cache()
    said = command("resume", run.id, runs=tmp_path)
    assert said.code == 0, said.err
    assert f"Fetching hub:me/squares@{COMMIT}" in said.err
    assert run.status().state == "done"


def test_data_are_described(hub, tmp_path):
    said = command("data", "hub:me/squares", "--json")
    assert said.code == 0, said.err
    assert (said.json["kind"], said.json["rows"]) == ("table", 400)
    assert said.json["columns"] == [{"name": "text", "kind": "text", "classes": []}]
    assert said.json["first"][2] == {"text": SENTENCES[2]}
    plain = command("data", f"{hub.url}/files/squares.txt")
    assert "Plain text, 19 kB." in plain.out
    assert SENTENCES[0] in plain.out
    wrong = command("data", "hub:me/absent")
    assert wrong.code == 2
    assert "There is no dataset me/absent on the Hub" in wrong.err


def test_a_table_says_what_was_found_out_about_it(tmp_path):
    (tmp_path / "rows.csv").write_bytes("déjà vu ici;1\nune autre ligne là;2\n".encode("cp1252"))
    said = command("data", str(tmp_path / "rows.csv"))
    for words in (
        "Detected encoding: cp1252",
        "seems to have no header",
        "separates its fields with semicolons",
        "column_2 (whole)",
    ):
        assert words in " ".join(said.out.split())
    assert len(command("data", str(tmp_path / "rows.csv"), "--json").json["notes"]) == 3


def test_of_very_many_columns_the_first_are_shown(tmp_path):
    (tmp_path / "wide.csv").write_text(",".join(f"name{n}" for n in range(80)) + "\n" + ",".join("1" * 80) + "\n")
    said = command("data", tmp_path / "wide.csv")
    assert "name49 (whole)" in said.out
    assert "name50 (whole)" not in said.out
    assert "and 30 more columns" in said.out
    assert len(command("data", tmp_path / "wide.csv", "--json").json["columns"]) == 80


def test_there_is_a_list_to_begin_with(hub):
    listed = command("data", "--json").json
    names = [entry["name"] for entry in listed]
    for name in ("python-docs", "wikitext-2-raw", "TinyStories", "tiny_shakespeare", "imdb", "ag_news", "opus_books"):
        assert name in names
    assert "--set 'data.config=\"en-fr\"'" in command("data").out


@pytest.mark.parametrize("entry", list_curated(), ids=lambda entry: entry.name)
def test_datasets_to_begin_with_are_valid_choices(entry):
    spec = RunSpec().with_values({f"data.{name}": value for name, value in entry.values.items()})
    assert spec.data.source.startswith(("hub:", "https://"))
    assert entry.megabytes > 0


def test_what_a_model_would_make_of_data_is_said_below_what_they_hold(tmp_path):
    rows = ["review,stars"] + [f"This was the {number}th of many nice films,{number % 2}" for number in range(300)]
    (tmp_path / "films.csv").write_text("\n".join(rows + [",1"] * 200))
    words = ("data", tmp_path / "films.csv", "--task", "sequence-classification", "--set", "data.context_length=8")
    said = command(*words).out
    for part in ("text: review. Chosen by its name.", "label: stars.", "100.0 % are longer than data.context_length"):
        assert part in said
    for part in (
        "⚠ warning: ",
        "40.0 % are empty",
        "steps with batch size 32",
        "vocabulary of ",
    ):
        assert part in said
    found = command(*words, "--json").json["preview"]
    assert [choice[:2] for choice in found["columns"]] == [["text", "review"], ["label", "stars"]]
    assert found["warnings"]
    assert tb_widgets.preview(
        tmp_path / "films.csv", task="sequence-classification", context_length=8
    ).warnings == tuple(found["warnings"])


def test_a_terminal_breaks_what_is_said_of_data_between_words(tmp_path):
    long = "a film that goes on and on, and is talked of for longer than a line of this terminal has columns"
    (tmp_path / "films.txt").write_text("\n".join(f"The {number}th is {long}" for number in range(300)))
    terminal = Terminal("data", tmp_path / "films.txt", runs=tmp_path)
    assert terminal.exit_code() == 0
    lines = [line for line in terminal.lines if str(tmp_path) not in line]
    assert max(map(len, lines)) <= 80
    first = next(number for number, line in enumerate(lines) if line.startswith("⚠ warning: "))
    assert lines[first + 1].startswith(" " * 11)
    start = next(number for number, line in enumerate(lines) if line.startswith("  The 0th is "))
    assert f"The 0th is {long}".startswith(" ".join(line.strip() for line in lines[start : start + 2]))


def test_data_that_do_not_serve_the_model_are_described_all_the_same(tmp_path):
    (tmp_path / "pairs.csv").write_text("one,two\n" + "a few words here,and some words there\n" * 9)
    said = command("data", tmp_path / "pairs.csv")
    assert said.code == 0, said.err
    assert "which column of pairs.csv holds the text?" in said.out
    found = command("data", tmp_path / "pairs.csv", "--json").json
    assert found["preview"] is None
    assert "data.columns: " in found["problem"]
    assert command("data", tmp_path / "pairs.csv", "--model", "zoo:t5", "--json").json["preview"]["unit"] == "row"


def test_the_hub_is_searched_and_looked_at_without_fetching(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("TB_CACHE_DIR", str(tmp_path))
    found = command("data", "--search", "squares")
    assert found.code == 0, found.err
    assert "hub:me/squares" in found.out
    assert [hit["id"] for hit in command("data", "--search", "squares", "--json").json] == ["me/squares"]
    assert "No dataset on the Hub has 'circles'" in command("data", "--search", "circles").out
    looked = command("data", "--look", "hub:me/squares")
    assert looked.code == 0, looked.err
    assert "text (text)" in looked.out
    assert SENTENCES[1] in looked.out
    assert not (tmp_path / "datasets").exists()
    wrong = command("data", "--look", "python-docs")
    assert wrong.code == 2
    assert "--look is for Hub datasets" in wrong.err


def test_data_without_content_are_an_error_and_data_that_no_run_can_begin_with_are_told(tmp_path):
    (tmp_path / "blank.txt").write_text(" \n\n")
    refused = command("data", str(tmp_path / "blank.txt"))
    assert refused.code == 2
    assert "blank.txt is empty: it contains only whitespace" in refused.err
    (tmp_path / "short.txt").write_text("A few words only.")
    told = command("data", str(tmp_path / "short.txt"))
    assert told.code == 0
    assert "but one context needs 129" in told.out


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_half_a_surrogate_pair_in_json_is_shown_and_trained_on(tiny_file, tmp_path, kind):
    (tmp_path / "s.jsonl").write_text("".join(f'{{"text": "number {n} \\ud800 is here"}}\n' for n in range(400)))
    shown = command("data", tmp_path / "s.jsonl", "--json")
    assert shown.code == 0, shown.err
    assert shown.json["first"][0] == {"text": "number 0 \ufffd is here"}
    said = command(
        "train", tiny_file, "--data", tmp_path / "s.jsonl", "--set", f"tokenizer.kind={kind}", "--json", runs=tmp_path
    )
    assert said.code == 0, said.err
    assert said.json["state"] == "done"


@pytest.mark.skipif(not shutil.which("setpriv"), reason="permissions work differently on this system")
@pytest.mark.parametrize("words", ["data {}", "train --data {}", "train --model {}", "check {}"])
def test_what_lies_in_a_folder_that_may_not_be_entered_is_an_error_in_words(tmp_path, words):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "here.py").write_text("text")
    inner.chmod(0)
    # Root may enter everything, unless this is taken away.
    as_others = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    program = [*as_others, *COMMAND, *words.format(inner / "here.py").split()]
    said = subprocess.run(
        program, capture_output=True, text=True, check=False, env=os.environ | {"TB_RUNS_DIR": str(tmp_path)}
    )
    inner.chmod(0o700)
    assert said.returncode == 2
    assert "here.py can't be read: Permission denied." in said.stderr
    assert "Traceback" not in said.stderr


def test_what_would_steer_the_terminal_is_shown_and_not_obeyed(tmp_path):
    path = tmp_path / "a\x1b[2Jb.csv"
    path.write_text("text\x1b]0;title\x07,label\x9b31m\n" + "evil \x1b[31m red \u202e txt,1\nwith é,0\n" * 30, "utf-8")
    said = command("data", path)
    assert said.code == 0, said.err
    assert "evil ␛[31m red � txt" in said.out
    assert "text␛]0;title (text)" in said.out
    refused = command("data", tmp_path / "no\x1b[31mfile.txt")
    assert "no␛[31mfile.txt" in refused.err
    for written in (said.out, said.err, refused.err):
        assert not set("\x1b\x07\x9b\u202e") & set(written)


def test_plain_texts_say_which_file_is_held_back(tiny_file, tmp_path):
    lines = [f"{sentence}\n" for sentence in SENTENCES]
    for name, text in (("train.txt", lines[:300]), ("validation.txt", lines[300:]), ("test.txt", lines[:9])):
        (tmp_path / "texts" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "texts" / name).write_text("".join(text))
    words = (tmp_path / "texts", "--set", "data.validation_split=validation")
    said = command("data", *words)
    assert said.code == 0, said.err
    assert "Plain text, 14 kB. 1 more file for validation." in said.out
    assert "Skipped test.txt: test files are used neither for training nor for validation." in said.out
    facts = command("data", *words, "--json").json
    assert (facts["documents"], facts["held_back_documents"]) == (1, 1)
    trained = command("train", tiny_file, "--data", *words, "--json", runs=tmp_path)
    assert trained.code == 0, trained.err
    assert trained.json["state"] == "done"
