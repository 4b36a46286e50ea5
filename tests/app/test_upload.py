"""Files that arrive from the browser: in pieces, each answered, and twice answered alike."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile

import pytest

from tb_widgets.app.parts.upload import Upload
from tb_widgets.errors import ModelError

from .conftest import every_widget
from .test_model_choice import SUM, files, github, open_dashboard  # noqa: F401  (fixtures)

CONTENT = b"0123456789" * 5
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def upload(monkeypatch, tmp_path):
    """The place to drop a file on; what it answered, and which files it gave away."""
    monkeypatch.setenv("TB_CACHE_DIR", str(tmp_path))
    answers, taken = [], []
    made = Upload(
        lambda handler: handler(), taken.append, invitation="Drop it", accept=".txt", most_files=2, most_bytes=100
    )
    monkeypatch.setattr(made, "send", answers.append)
    made.hear = lambda **content: made._handle_custom_msg({"key": "a", **content}, [])
    return made, answers, taken


def begin(**files):
    return {"type": "begin", "files": [{"name": name, "bytes": size} for name, size in files.items()]}


def piece(number, data, file=0):
    return {"type": "piece", "file": file, "number": number, "data": base64.b64encode(data).decode()}


def test_a_file_arrives_although_every_answer_is_lost_once(upload, tmp_path):
    made, answers, taken = upload
    messages = [
        {"type": "begin", "files": [{"name": "a/b:c.txt", "bytes": len(CONTENT)}]},
        piece(0, CONTENT[:30]),
        piece(1, CONTENT[30:]),
        {"type": "end", "sha256": [SHA]},
    ]
    for message in messages:
        made.hear(**message)
        made.hear(**message)

    assert [answer["type"] for answer in answers[::2]] == ["begun", "got", "got", "done"]
    assert answers[::2] == answers[1::2]
    assert [answer["bytes"] for answer in answers[2:6:2]] == [30, 50]
    assert len(taken) == 1
    assert taken[0][0].read_bytes() == CONTENT
    assert taken[0][0].parent == tmp_path / "uploads" / SHA


def test_files_that_were_dropped_together_are_taken_together(upload):
    made, answers, taken = upload
    other = b"{}"
    made.hear(**begin(**{"model.py": len(CONTENT), "config.json": len(other)}))
    made.hear(**piece(0, CONTENT[:30]))
    made.hear(**piece(1, CONTENT[30:]))
    made.hear(**piece(0, other, file=1))
    made.hear(type="end", sha256=[SHA, hashlib.sha256(other).hexdigest()])

    assert [answer["type"] for answer in answers] == ["begun", "got", "got", "got", "done"]
    assert [{path.name: path.read_bytes() for path in paths} for paths in taken] == [
        {"model.py": CONTENT, "config.json": other}
    ]


def test_a_page_can_not_move_the_bounds(upload):
    made, answers, _ = upload
    made.set_state({"most_bytes": 1_000_000})  # as a message of the page does
    made.hear(**begin(a=101))
    assert answers[-1]["words"] == "a is larger than 100 bytes."


def test_one_file_that_is_refused_leaves_nothing_of_the_others(upload, tmp_path):
    made, answers, _ = upload
    made.hear(**begin(a=2, b=0))
    assert "b is empty" in answers[-1]["words"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_one_damaged_file_leaves_nothing_of_the_others(upload, tmp_path):
    made, answers, taken = upload
    made.hear(**begin(a=2, b=2))
    made.hear(**piece(0, b"aa"))
    made.hear(**piece(0, b"bb", file=1))
    made.hear(type="end", sha256=[hashlib.sha256(b"aa").hexdigest(), "0"])

    assert "damaged" in answers[-1]["words"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert taken == []


def test_what_is_cancelled_leaves_nothing_behind(upload, tmp_path):
    made, answers, taken = upload
    made.hear(**begin(a=len(CONTENT)))
    made.hear(**piece(0, CONTENT[:30]))
    made.hear(type="cancel")
    made.hear(**piece(1, CONTENT[30:]))

    assert [answer["type"] for answer in answers] == ["begun", "got", "cancelled", "refused"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert taken == []


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([begin(x=None)], "no file"),
        ([begin(x=0)], "empty"),
        ([{"type": "begin", "files": None}], "no file"),
        ([begin(x=1, y=1, z=1)], "2 at a time"),
        ([begin(x=1, y=101)], "larger than 100 bytes"),
        ([begin(x=2), piece(0, b"xy", file=1)], "without its number"),
        ([begin(x=1, y=1), piece(0, b"x"), {"type": "end", "sha256": ["0"]}], "checksums of the files are missing"),
        ([piece(0, b"x")], "no longer waited for"),
        ([begin(x=2), {"type": "piece", "data": ""}], "without its number"),
        ([begin(x=2), {"type": "piece", "file": 0, "number": 0, "data": "!"}], "not arrive whole"),
        ([begin(x=2), piece(1, b"x")], "Send piece 0 first"),
        ([begin(x=2), piece(0, b"xyz")], "sent more"),
        ([begin(x=2), piece(0, b"xy"), {"type": "end", "sha256": ["0"]}], "damaged"),
    ],
)
def test_what_is_not_right_is_refused_in_words(upload, messages, words):
    made, answers, taken = upload
    for message in messages:
        made.hear(**message)
    assert answers[-1]["type"] == "refused"
    assert words in answers[-1]["words"]
    assert taken == []


def test_dropped_files_are_a_model_and_are_kept_once(github, open_dashboard, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("TB_CACHE_DIR", str(tmp_path / "cache"))
    dashboard = open_dashboard()
    dashboard.show("model")
    drop = next(widget for widget in every_widget(dashboard.page.widget) if isinstance(widget, Upload))
    told = files(SUM)
    drop._handle_custom_msg({"key": "a", **begin(**{name: len(text) for name, text in told.items()})}, [])
    for place, text in enumerate(told.values()):
        drop._handle_custom_msg({"key": "a", **piece(0, text.encode(), file=place)}, [])
    sums = [hashlib.sha256(text.encode()).hexdigest() for text in told.values()]
    drop._handle_custom_msg({"key": "a", "type": "end", "sha256": sums}, [])

    assert dashboard.wait_for_model().state == "ready"
    assert not [path for path in (tmp_path / "cache" / "uploads").rglob("*") if path.is_file()]


def test_a_zip_is_a_model_and_needs_no_consent(github, open_dashboard):  # noqa: F811
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files(SUM).items():
            archive.writestr(f"export/{name}", text)
    dashboard = open_dashboard()
    dashboard.upload_model({"export.zip": packed.getvalue()})
    assert dashboard.wait_for_model().state == "ready"
    assert dashboard.draft.blockers == []
    with pytest.raises(ModelError, match=r"config\.json"):
        dashboard.upload_model({"model.py": b"x = 1"})
