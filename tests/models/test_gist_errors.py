"""Everything that goes wrong between a Gist and us has words of its own; nothing else is ever raised."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tb_widgets.errors import ModelError
from tb_widgets.models.sources import gist
from tb_widgets.models.sources.resolve import fetch, resolve
from tb_widgets.spec import ModelSpec

from .github import ID, changed, dripping, raw, silent, status

CODE = "class Model:\n    pass\n"
FILES = {"model.py": CODE, "config.json": "{}"}
OFFER = "or use a file: save model.py and config.json in a folder"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(gist, "_READ", 0.3)
    monkeypatch.setattr(gist, "_TOTAL", 0.6)


def refused(text: str = ID) -> ModelError:
    with pytest.raises(ModelError) as caught:
        fetch(text)
    return caught.value


def test_404(github):
    error = refused()
    assert error.message == f"There is no Gist {ID} on GitHub."
    assert "deleted" in error.hint


def test_rate_limit_shows_the_clock_time_of_its_end(github, monkeypatch):
    reset = time.time() + 1234
    clock = time.strftime("%H:%M:%S", time.localtime(int(reset)))
    github.answer = status(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(reset))})
    error = refused()
    assert error.message == f"GitHub's rate limit is reached until {clock}."
    assert "Add a token" in error.hint
    assert OFFER in error.hint
    monkeypatch.setenv("GITHUB_TOKEN", "mine")
    assert "Add a token" not in refused().hint
    assert OFFER.removeprefix("or ") in refused().hint


def test_429_with_retry_after_and_without(github):
    github.answer = status(429, {"retry-after": "3600"})
    expected = {time.strftime("%H:%M", time.localtime(time.time() + 3600 + late)) for late in (-1, 0, 5)}
    message = refused().message
    assert any(f"until {clock}" in message for clock in expected)
    github.answer = status(429, {"retry-after": "Wed, soon"})
    assert refused().message.endswith("it is reached for a while.")


def test_a_limit_offers_the_kept_copy(github):
    sha = github.add(ID, FILES)
    fetch(ID)
    github.answer = status(429)
    assert f"ask for {ID}@{sha}" in refused().hint
    assert fetch(f"{ID}@{sha}").files == FILES


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (401, "rejects the token"),
        (403, r"refuses to show .* \(status 403\)"),
        (451, r"refuses to show .* \(status 451\)"),
        (500, r"server error \(status 500\)"),
        (502, r"server error \(status 502\)"),
        (302, r"refuses to show .* \(status 302\)"),
        (204, r"refuses to show .* \(status 204\)"),
    ],
)
def test_other_refusals(github, code, words):
    github.answer = status(code)
    with pytest.raises(ModelError, match=words) as caught:
        fetch(ID)
    assert caught.value.hint


def test_offline(github):
    github.close()
    error = refused()
    assert error.message == f"GitHub can't be reached (ConnectionError), so Gist {ID} can't be fetched."
    assert "connection" in error.hint


SLOW = {
    "nothing at all": silent,
    "headers that never end": dripping(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
    "a body that never ends": dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
}


@pytest.mark.parametrize("kind", SLOW)
def test_slow_answers_end_within_the_time_limit(github, impatient, kind):
    github.answer = SLOW[kind]
    began = time.monotonic()
    message = refused().message
    assert time.monotonic() - began < 3
    assert (
        "does not answer" in message or "did not finish within 0.6 seconds" in message or "can't be reached" in message
    )


BROKEN = {
    "no HTTP": raw(b"SSH-2.0-OpenSSH\r\n"),
    "hangs up": raw(b""),
    "half an answer": raw(b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"files"'),
    "not gzip": raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
    "redirect to nowhere": status(302, {"Location": "http://["}),
    "redirect to a file": status(302, {"Location": "file:///etc/passwd"}),
    "a circle": status(302, {"Location": "/again"}),
    "not JSON": status(200, body=b"<html>"),
    "not UTF-8": status(200, body=b"\xff\xfe\x00"),
    "a list": status(200, body=b"[]"),
    "deep": status(200, body=b"[" * 200_000),
    "no files": changed(files=None),
    "files as a list": changed(files=[1]),
    "no history": changed(history=[]),
    "odd history": changed(history=[{"version": "main"}, 3]),
    "content of no kind": changed(files={"model.py": {"content": 3}, "config.json": {"content": "{}"}}),
    "raw address of no kind": changed(files={"model.py": {"truncated": True, "raw_url": 3}, "config.json": {}}),
    "raw address elsewhere": changed(
        files={"model.py": {"truncated": True, "raw_url": "https://evil.example/model.py"}, "config.json": {}}
    ),
    "wrong base64": changed(files={"model.py": {"content": "%", "encoding": "base64"}, "config.json": {}}),
    "half characters": changed(files={"model.py": {"content": "\ud800"}, "config.json": {}}),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_answers_become_sentences(github, kind):
    github.add(ID, FILES)
    github.answer = BROKEN[kind]
    error = refused()
    assert error.hint
    assert "GitHub" in error.message or "is not text" in error.message


def test_an_answer_without_end_is_cut(github, monkeypatch):
    monkeypatch.setattr(gist, "ANSWER_LIMIT", 1_000_000)
    github.answer = status(200, body=b" " * 3_000_000)
    assert "too large" in refused().message


def test_a_raw_file_that_lost_its_end_is_not_used(github):
    github.truncate_at = 5
    github.add(ID, FILES)

    def answer(handler):
        if "/raw/" in handler.path:
            return handler.send(200, CODE[:10].encode())
        return handler.serve()

    github.answer = answer
    assert f"arrived with 10 of {len(CODE)} bytes" in refused().message
    github.answer = lambda handler: handler.send(404) if "/raw/" in handler.path else handler.serve()
    assert "There is no Gist" in refused().message


@pytest.mark.parametrize(
    ("files", "message", "hint"),
    [
        ({"config.json": "{}"}, "has no model.py.", "It contains config.json."),
        ({"Model.py": "x", "config.json": "{}"}, "has no model.py.", "It has Model.py; the name must be exactly"),
        ({"model.py": "x", "Config.JSON": "{}", "z": ""}, "has no config.json.", "It has Config.JSON"),
        ({"model.py": "x"}, "has no config.json.", "It contains model.py."),
        ({}, "has no model.py.", "It contains no files."),
        ({"model.py": " \n", "config.json": "{}"}, "is empty", "Export"),
        ({"model.py": "x", "config.json": b"\x89PNG\r\n\x1a\n\0\0"}, "is not text", "Export"),
        ({"model.py": b"x\0y", "config.json": "{}"}, "null bytes", "Export"),
    ],
)
def test_files_that_are_missing_or_unusable(github, files, message, hint):
    github.add(ID, files)
    error = refused()
    assert message in error.message
    assert hint in error.hint


def test_binary_bytes_behind_the_raw_address(github):
    github.truncate_at = 5
    github.add(ID, {"model.py": b"\xff\xfe" * 20, "config.json": "{}"})
    assert "is not text in UTF-8 (byte 0)" in refused().message


def test_a_file_that_is_too_large_is_not_even_asked_for(github):
    github.add(ID, FILES)
    github.answer = changed(
        files={
            "model.py": {"size": 10_000_001, "truncated": True, "raw_url": f"{github.url}/raw"},
            "config.json": {"content": "{}"},
        }
    )
    assert "larger than 10 MB" in refused().message
    assert len(github.seen) == 1


def test_more_than_300_files(github):
    many = {f"{n:03}.txt": "x" for n in range(300)}
    github.add(ID, many | FILES)
    error = refused()
    assert "more than 300 files, of which GitHub names the first 300" in error.message
    assert "and 288 more" in error.hint
    github.add(ID, FILES | many)
    assert fetch(ID).files == FILES


def test_names_that_command_a_terminal_are_shown_harmless(github):
    github.add(ID, {"\x1b[2Jmodel.py": "x", "config.json": "{}"})
    assert str(refused()).isprintable()
    github.add(ID, FILES, owner="x")
    github.gists[ID].description = "\x1b]0;title\x07"
    assert fetch(ID).origin["description"].isprintable()


def test_code_and_config_that_do_not_parse_are_shown_with_their_line(github):
    for files, words in (
        ({"model.py": "x = 1\nclass (:\n", "config.json": "{}"}, r"model\.py is not valid Python: line 2.*class \(:"),
        ({"model.py": "x = 1", "config.json": '{"a": 1,\n  b}'}, r"config\.json is not valid JSON: line 2, column 3"),
        ({"model.py": "x = 1", "config.json": "[]"}, r"config\.json must contain a JSON object"),
        ({"model.py": "x = 1", "config.json": "[" * 100_000}, r"config\.json can't be read as JSON"),
        ({"model.py": "x = 1", "config.json": '{"a": ' + "9" * 5000 + "}"}, r"config\.json can't be read as JSON"),
    ):
        github.add(ID, files)
        assert fetch(ID).files["model.py"] == files["model.py"]  # it can be looked at all the same
        with pytest.raises(ModelError, match=words):
            resolve(ModelSpec(source=ID), vocab_size=None, context_length=8)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("filename", "content", "truncated", "raw_url", "size", "encoding")
ENTRY = JSON | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "files": JSON | st.dictionaries(st.sampled_from(["model.py", "config.json", "x"]), ENTRY, max_size=3),
        "history": JSON | st.lists(st.dictionaries(st.sampled_from(["version", "committed_at"]), JSON), max_size=3),
        "owner": JSON,
        "description": JSON,
        "updated_at": JSON,
        "truncated": JSON,
    },
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_any_json_is_a_model_or_a_sentence(github, changes):
    github.gists.clear()
    github.add(ID, FILES)
    github.answer = changed(**changes)
    try:
        source = fetch(ID)
    except ModelError:
        return
    assert set(source.files) == {"model.py", "config.json"}
    assert json.dumps(source.origin).isprintable()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answer=st.binary(max_size=200), head=st.booleans(), code=st.sampled_from([200, 301, 304, 403, 404, 429, 500, 999])
)
def test_any_bytes_are_a_sentence(github, impatient, answer, head, code):
    github.answer = raw((b"HTTP/1.1 %d X\r\nLocation: " % code if head else b"") + answer)
    refused()
