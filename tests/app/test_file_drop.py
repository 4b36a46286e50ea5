"""Files that are dropped on the page: in pieces, in order, whole, and never more than announced."""

from __future__ import annotations

import base64
import io
import zipfile

import pytest

from tb_widgets.app.parts.file_drop import MOST_BYTES, FileDrop
from tb_widgets.errors import ModelError

from .test_model_choice import SUM, files, github, open_dashboard  # noqa: F401  (fixtures)


@pytest.fixture
def drop(monkeypatch):
    """A place to drop files on; what it answered, what it took, and what it refused."""
    answers, taken, refused = [], [], []

    def act(handler):
        try:
            handler()
        except ModelError as error:
            refused.append(str(error))

    made = FileDrop(act, taken.append)
    monkeypatch.setattr(made, "send", lambda content: answers.append(content["type"]))
    made.said = lambda **content: made._handle_custom_msg(content, [])
    return made, answers, taken, refused


def piece(number, at, data):
    return {"type": "piece", "number": number, "at": at, "data": base64.b64encode(data).decode()}


def test_files_arrive_in_acknowledged_pieces(drop):
    made, answers, taken, refused = drop
    made.said(type="begin", files=[{"name": "model.py", "bytes": 4}, {"name": "config.json", "bytes": 2}])
    made.said(**piece(0, 0, b"ab"))
    made.said(**piece(0, 2, b"cd"))
    made.said(**piece(1, 0, b"{}"))
    made.said(type="end")
    assert (answers, refused) == (["next"] * 5, [])
    assert taken == [{"model.py": b"abcd", "config.json": b"{}"}]


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "begin", "files": None}],
        [{"type": "begin", "files": [{"name": "x"}]}],
        [{"type": "begin", "files": [{"name": "x", "bytes": MOST_BYTES + 1}]}],
        [piece(0, 0, b"x")],
        [{"type": "begin", "files": [{"name": "x", "bytes": 2}]}, piece(0, 1, b"x")],
        [{"type": "begin", "files": [{"name": "x", "bytes": 2}]}, piece(0, 0, b"xyz")],
        [{"type": "begin", "files": [{"name": "x", "bytes": 2}]}, {"type": "piece", "number": 0, "at": 0, "data": "!"}],
        [{"type": "begin", "files": [{"name": "x", "bytes": 2}]}, piece(0, 0, b"x"), {"type": "end"}],
    ],
)
def test_what_is_not_right_is_refused_and_not_gone_on_with(drop, messages):
    made, answers, taken, refused = drop
    for message in messages:
        made.said(**message)
    assert answers[-1] == "stop"
    assert len(refused) == 1
    assert taken == []


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
