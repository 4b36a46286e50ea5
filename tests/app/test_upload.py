"""A file that arrives from the browser: in pieces, each answered, and twice answered alike."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tb_widgets.app.parts.upload import Upload

CONTENT = b"0123456789" * 5
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def upload(monkeypatch, tmp_path):
    """The place to drop a file on; what it answered, and which files it gave away."""
    monkeypatch.setenv("TB_CACHE_DIR", str(tmp_path))
    answers, taken = [], []
    made = Upload(lambda handler: handler(), taken.append, invitation="Drop it", accept=".txt")
    monkeypatch.setattr(made, "send", answers.append)
    made.hear = lambda **content: made._handle_custom_msg({"key": "a", **content}, [])
    return made, answers, taken


def piece(number, data):
    return {"type": "piece", "number": number, "data": base64.b64encode(data).decode()}


def test_a_file_arrives_although_every_answer_is_lost_once(upload, tmp_path):
    made, answers, taken = upload
    messages = [
        {"type": "begin", "name": "a/b:c.txt", "bytes": len(CONTENT)},
        piece(0, CONTENT[:30]),
        piece(1, CONTENT[30:]),
        {"type": "end", "sha256": SHA},
    ]
    for message in messages:
        made.hear(**message)
        made.hear(**message)

    assert [answer["type"] for answer in answers[::2]] == ["begun", "got", "got", "done"]
    assert answers[::2] == answers[1::2]
    assert [answer["bytes"] for answer in answers[2:6:2]] == [30, 50]
    assert len(taken) == 1
    assert taken[0].read_bytes() == CONTENT
    assert taken[0].parent == tmp_path / "uploads" / SHA


def test_what_is_cancelled_leaves_nothing_behind(upload, tmp_path):
    made, answers, taken = upload
    made.hear(type="begin", name="a.txt", bytes=len(CONTENT))
    made.hear(**piece(0, CONTENT[:30]))
    made.hear(type="cancel")
    made.hear(**piece(1, CONTENT[30:]))

    assert [answer["type"] for answer in answers] == ["begun", "got", "cancelled", "refused"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert taken == []


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([{"type": "begin", "name": None, "bytes": 1}], "no file"),
        ([{"type": "begin", "name": "x", "bytes": 0}], "empty"),
        ([piece(0, b"x")], "no longer waited for"),
        ([{"type": "begin", "name": "x", "bytes": 2}, {"type": "piece", "data": ""}], "without its number"),
        ([{"type": "begin", "name": "x", "bytes": 2}, {"type": "piece", "number": 0, "data": "!"}], "not arrive whole"),
        ([{"type": "begin", "name": "x", "bytes": 2}, piece(1, b"x")], "Send piece 0 first"),
        ([{"type": "begin", "name": "x", "bytes": 2}, piece(0, b"xyz")], "sent more"),
        ([{"type": "begin", "name": "x", "bytes": 2}, piece(0, b"xy"), {"type": "end", "sha256": "0"}], "damaged"),
    ],
)
def test_what_is_not_right_is_refused_in_words(upload, messages, words):
    made, answers, taken = upload
    for message in messages:
        made.hear(**message)
    assert answers[-1]["type"] == "refused"
    assert words in answers[-1]["words"]
    assert taken == []
