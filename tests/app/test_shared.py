"""A Voila server that others can reach runs our own models and a list of pinned revisions, and nothing else."""

from __future__ import annotations

import pytest

from tb_widgets.app.shared import is_shared
from tb_widgets.errors import ModelError
from tb_widgets.spec import RunSpec

from .conftest import at
from .test_model_choice import ID, SUM, files, github, open_dashboard  # noqa: F401  (fixtures)


@pytest.fixture
def listed(github, monkeypatch, tmp_path):  # noqa: F811
    """A shared server with one model on its list; the sha of that model."""
    sha = github.add(ID, files(SUM))
    file = tmp_path / "allowed.txt"
    file.write_text(f"# agreed to\ngist:{ID}@{sha}\n")
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.13")
    monkeypatch.setenv("TB_ALLOWED_MODELS", str(file))
    return sha


def test_only_voila_pages_that_others_can_reach_are_shared():
    assert is_shared({"SERVER_SOFTWARE": "voila/0.5.13"})
    assert not is_shared({"SERVER_SOFTWARE": "voila/0.5.13", "TB_LOOPBACK_ONLY": "1"})
    assert not is_shared({})


def test_what_is_on_the_list_is_chosen_and_tried_and_nothing_else_is(listed, github, open_dashboard, tmp_path):  # noqa: F811
    for name, text in files(SUM).items():
        (tmp_path / name).write_text(text)
    dashboard = open_dashboard()
    dashboard.show("model")
    box = dashboard.page.boxes["model"]
    for source in (ID, str(tmp_path), "upload:0123456789abcdef"):
        with pytest.raises(ModelError, match="on a shared server"):
            dashboard.load_model(source)
    with pytest.raises(ModelError, match="takes no files"):
        dashboard.upload_model({})
    assert github.seen == []

    at(box, "model-source-choice").value = f"gist:{ID}@{listed}"
    assert dashboard.wait_for_model().state == "ready"
    assert dashboard.draft.blockers == []

    other = open_dashboard(RunSpec().with_values({"model.source": str(tmp_path)}))
    other._on_beat("ready", False)
    assert other.choice.state == "failed"
    assert other.draft.blockers


def test_a_list_that_pins_nothing_is_refused(listed, tmp_path, open_dashboard):  # noqa: F811
    (tmp_path / "allowed.txt").write_text(f"gist:{ID}\n")
    with pytest.raises(ModelError, match="names no pinned revision"):
        open_dashboard().load_model(ID)


def test_the_page_s_own_address_loads_a_gist_once(github, open_dashboard):  # noqa: F811
    github.add(ID, files(SUM))
    dashboard = open_dashboard()
    for _ in range(2):
        dashboard.page.heartbeat._handle_custom_msg({"type": "address", "text": f"?gist_id={ID}"}, [])
    assert dashboard.page.step == "model"
    assert dashboard.wait_for_model().state == "asking"
    assert len(github.seen) == 1
