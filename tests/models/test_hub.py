"""Hub repositories, from a Hub on this machine and through the Hub's own client."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tb_widgets.errors import ModelError
from tb_widgets.models.sources import hub
from tb_widgets.models.sources.resolve import fetch, pinned, resolve
from tb_widgets.models.trust.consent import TrustStore
from tb_widgets.spec import ModelSpec

COMMIT = "fedcba9876543210fedcba9876543210fedcba98"
FILES = {"model.py": b"class Model:\n    pass\n", "config.json": b'{"a": 1}', "weights.bin": b"\0" * 9}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        server.seen.append((self.command, self.path))
        server.awake.wait(20)
        path = self.path.partition("?")[0]
        if server.answer is not None:
            return self.send(*server.answer)
        if path in ("/api/models/me/tiny", f"/api/models/me/tiny/revision/{COMMIT}", "/api/models/me/tiny/revision/v1"):
            facts = {
                "id": "me/tiny",
                "author": "me",
                "sha": COMMIT,
                "lastModified": "2026-10-01T12:00:00.000Z",
                "siblings": [{"rfilename": name, "size": len(text)} for name, text in server.files.items()],
            }
            return self.send(200, json.dumps(facts | server.facts).encode())
        name = path.rpartition("/")[2]
        if path == f"/me/tiny/resolve/{COMMIT}/{name}" and name in server.files:
            etag = {"ETag": f'"{hashlib.sha1(server.files[name]).hexdigest()}"', "X-Repo-Commit": COMMIT}
            return self.send(200, server.files[name], etag)
        code = "RevisionNotFound" if "/revision/" in path else "RepoNotFound"
        return self.send(404, b"{}", {"X-Error-Code": code})

    do_HEAD = do_GET

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(caches, monkeypatch):
    web: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.awake = threading.Event()
    web.awake.set()
    web.seen, web.files, web.facts, web.answer = [], dict(FILES), {}, None
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{web.server_address[1]}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield web
    web.shutdown()
    web.server_close()
    thread.join()


def test_two_files_of_a_repository_are_fetched_pinned_and_kept(server):
    source = fetch("hub:me/tiny")
    assert source.files == {name: FILES[name].decode() for name in ("model.py", "config.json")}
    origin = source.origin
    assert (origin["kind"], origin["id"], origin["revision"], origin["owner"]) == ("hub", "me/tiny", COMMIT, "me")
    assert origin["updated"].startswith("2026-10-01T12:00")
    assert {"name": "weights.bin", "bytes": 9} in origin["listed"]
    assert not [path for _, path in server.seen if "weights" in path]
    asked = len(server.seen)
    assert fetch(pinned(source)).files == source.files
    assert resolve(ModelSpec(source=pinned(source)), vocab_size=None, context_length=8, online=False).config == {"a": 1}
    assert len(server.seen) == asked
    assert fetch("hub:me/tiny@v1").origin["revision"] == COMMIT
    assert TrustStore().state(source).state == "new"
    with pytest.raises(ModelError, match=f"Hub repository me/tiny by me, revision {COMMIT}"):
        TrustStore().require(source)


ANSWERS = {
    "gated": ((403, b"{}", {"X-Error-Code": "GatedRepo"}), "is gated"),
    "private": ((401, b"{}", {"X-Error-Code": "RepoNotFound"}), "There is no me/tiny on the Hub, or it is private"),
    "gone": ((404, b"{}", {"X-Error-Code": "RepoNotFound"}), "There is no me/tiny on the Hub"),
    "busy": ((429, b"{}", {"Retry-After": "0"}), "rate limit is reached"),
    "broken": ((500, b"{}"), r"server error \(status 500\)"),
    "no JSON": ((200, b"<html>"), "answer for me/tiny can't be used"),
    "a list": ((200, b"[]"), "answer for me/tiny can't be used"),
    "empty": ((200, b"{}"), "answer for me/tiny can't be used"),
    "no commit": ((200, b'{"id": "me/tiny", "sha": "../.."}'), "names no commit"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_refusal_has_its_own_words(server, kind):
    server.answer, words = ANSWERS[kind]
    with pytest.raises(ModelError, match=words) as caught:
        fetch("hub:me/tiny")
    assert caught.value.hint


def test_a_revision_that_is_not_there(server):
    with pytest.raises(ModelError, match="has no revision v2"):
        fetch("hub:me/tiny@v2")


def test_files_that_are_missing_or_unusable(server):
    for files, words in (
        ({"config.json": b"{}"}, "Hub repository me/tiny has no model.py"),
        ({**FILES, "model.py": b"\xff\xfe"}, "is not text"),
        ({**FILES, "config.json": b""}, r"config\.json in Hub repository me/tiny is empty"),
    ):
        server.files = files
        with pytest.raises(ModelError, match=words):
            fetch("hub:me/tiny")
    server.facts = {"siblings": [{"rfilename": name, "size": 10_000_001} for name in FILES]}
    with pytest.raises(ModelError, match="larger than 10 MB"):
        fetch("hub:me/tiny")


def test_offline_names_the_kept_copy_and_takes_it_only_when_asked(server, monkeypatch):
    fetch("hub:me/tiny")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(ModelError, match="does not answer") as caught:
        fetch("hub:me/tiny")
    assert f"ask for hub:me/tiny@{COMMIT}" in caught.value.hint
    assert fetch(f"hub:me/tiny@{COMMIT}").origin["revision"] == COMMIT
    with pytest.raises(ModelError, match="has not been fetched yet"):
        fetch("hub:me/tiny", online=False)


def test_a_slow_hub_ends_within_the_time_limit(server, monkeypatch):
    monkeypatch.setattr(hub, "_TOTAL", 0.5)
    server.awake.clear()
    with pytest.raises(ModelError, match="does not answer"):
        fetch("hub:me/tiny")
    server.awake.set()
