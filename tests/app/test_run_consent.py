"""A run from elsewhere on the page: its code is shown before it goes on."""

from __future__ import annotations

import pytest

from tb_widgets.errors import RunError
from tb_widgets.models.source import frozen, write_source

from .conftest import at, shown

CODE = 'import os\n\nos.system("touch <planted>")\n'


@pytest.fixture
def foreign(make_run, monkeypatch, tmp_path):
    """A run that ended early, and whose code nobody here knows."""
    monkeypatch.setenv("TB_CONFIG_DIR", str(tmp_path / "config"))
    run = make_run(state="stopped")
    write_source(
        frozen({"source": "zoo:gpt", "kind": "zoo"}, {"model.py": CODE, "config.json": "{}"}), run.model_folder
    )
    return run


def test_resume_shows_the_code_and_goes_on_once_it_is_trusted(dashboard, foreign, workers):
    dashboard.open_run(foreign.id)
    at(dashboard.page.widget, "resume").click()
    page = shown(dashboard.page.widget)
    assert "This run was started on another machine, or its code was changed since." in page
    assert "tbw-primary" not in at(dashboard.page.widget, "resume")._dom_classes
    assert "calls something at the top of the file" in page
    assert "touch &lt;planted&gt;" in page
    assert not [worker for worker in workers if worker.trains]

    at(dashboard.page.widget, "trust-run").click()
    assert "You agreed to run this code." in shown(dashboard.page.widget)
    assert "touch &lt;planted&gt;" not in shown(dashboard.page.widget)
    at(dashboard.page.widget, "resume").click()
    assert [worker.trains for worker in workers if worker.trains] == [foreign.path]


def test_who_does_not_trust_it_is_asked_no_more(dashboard, foreign, workers):
    dashboard.open_run(foreign.id)
    at(dashboard.page.widget, "resume").click()
    at(dashboard.page.widget, "not-now").click()
    assert "Read it, then decide" not in shown(dashboard.page.widget)
    with pytest.raises(RunError, match="No run waits for your consent"):
        dashboard.trust_run()
    assert not [worker for worker in workers if worker.trains]
