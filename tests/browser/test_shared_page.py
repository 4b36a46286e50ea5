"""A Voila page that others can reach, attacked: over raw messages to its kernel, and in a browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tb_widgets import TrainingService
from tb_widgets.models.source import checksums
from tb_widgets.runs import RunDirectory

from .kernel_client import KernelClient
from .page import DashboardPage
from .servers import DASHBOARD, Server

PLANT = "\nimport pathlib\npathlib.Path({planted!r}).touch()\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny: Any, until: Any) -> Iterator[Path]:
    """The operator's runs: one that trains, and one whose folder was made by somebody who wants his code to run."""
    folder = tmp_path_factory.mktemp("operator") / "runs"
    service = TrainingService(folder)
    run = service.start(tiny({"training.steps": 10_000_000, "evaluation.every": 500, "checkpoints.every": 500}))
    until(run.checkpoints)
    evil = RunDirectory(shutil.copytree(run.path, folder.parent / "uploads" / "evil"))
    code = evil.model_folder / "model.py"
    code.write_text(code.read_text() + PLANT.format(planted=str(folder.parent / "planted")))
    files = {name: (evil.model_folder / name).read_text() for name in ("model.py", "config.json")}
    origin = json.loads((evil.model_folder / "origin.json").read_text())
    (evil.model_folder / "origin.json").write_text(json.dumps(origin | {"sha256": checksums(files)}))
    status = json.loads(evil.status_file.read_text())
    evil.status_file.write_text(json.dumps(status | {"state": "stopped"}))
    yield folder
    for each in service.queue:
        service.stop(each)
    for each in service.active():
        service.kill(each)
    service.close()


@pytest.fixture(scope="module")
def server(server_of: Callable[..., Server], runs: Path) -> Server:
    return server_of("shared", DASHBOARD, runs)


@pytest.fixture
def visit(server: Server) -> Iterator[Callable[..., KernelClient]]:
    """Visit the page without a browser, as the one whose browser keeps a key."""
    made: list[KernelClient] = []

    def visit(key: str) -> KernelClient:
        client = KernelClient(server.url)
        made.append(client)
        client.tell(client.heart, type="visitor", key=key)
        client.beat("ready")
        client.until("Transformer Builder")
        return client

    yield visit
    for client in made:
        client.close()


def table(client: KernelClient) -> str:
    """The comm id of the table of runs, once the Runs step has been visited."""
    client.set(client.find(_anywidget_id="tb_widgets.app.parts.step_bar.StepBar"), selected="runs")
    client.until("This run")
    return client.find(columns=["run", "state", "best val loss", "steps", "learning rate", "data", "started"])


def test_a_stranger_s_messages_read_write_steer_and_run_nothing(visit: Any, runs: Path) -> None:
    planted, mirror = runs.parent / "planted", runs.parent / "mirror"
    operators = next(iter(TrainingService(runs).active()))
    before = sorted(path.name for path in runs.iterdir())
    client = visit("stranger" * 8)

    # Reading: no file, no path, no run of anybody else.
    assert str(runs) not in client.page()
    assert operators.id not in client.page()
    client.tell(client.heart, type="address", text=str(runs.parent / "uploads" / "evil" / "model" / "model.py"))
    client.until("only runs built-in models")

    # Writing, filling the disk: there is no upload to talk to, and no field for a path.
    states = client.widgets().values()
    assert not [state for state in states if "upload" in str(state.get("_anywidget_id", "")).lower()]
    assert not [state for state in states if "mirror" in str(state.get("_dom_classes", ""))]

    # Running and steering: a run is chosen by its path, by somebody else's id, and gone on with.
    chooser = table(client)
    for name in (str(runs.parent / "uploads" / "evil"), operators.id, "latest", f"../{runs.name}/{operators.id}"):
        client.set(chooser, selected=name)
        client.until("There is no run of yours with this id.")
        for label in (
            "Resume",
            "Stop and save",
            "Pause",
            "Save now",
            "Generate",
            "Try it",
            "Use them for the next run",
            "Trust this code",
        ):
            comms = [comm for comm, state in client.widgets().items() if state.get("description") == label]
            for comm in comms:
                client.tell(comm, event="click")
        client.until("No run")
        client.set(chooser, selected="")
    for kind in ("execute_request", "complete_request", "inspect_request", "debug_request", "input_reply"):
        assert client.replies(client.send(kind, {"code": f"open({str(planted)!r}, 'w')", "cursor_pos": 1}), 0.5) == []

    assert operators.status().state == "running"
    assert sorted(path.name for path in runs.iterdir() if not path.name.startswith(".")) == before
    assert not planted.exists()
    assert not mirror.exists()


def test_visitors_have_runs_of_their_own(visit: Any, runs: Path) -> None:
    first = visit("first" * 10)
    first.click("Start")
    first.until("Waits.")
    (own,) = TrainingService(runs).queue
    other = visit("other" * 10)
    chooser = table(other)
    other.set(chooser, selected=own.id)
    other.until("There is no run of yours with this id.")
    names = ("Stop and save", "Take out of the queue")
    for comm in [comm for comm, state in other.widgets().items() if state.get("description") in names]:
        other.tell(comm, event="click")
    other.until("No run is open")
    assert own.status().state == "queued"
    again = visit("first" * 10)
    again.until(own.id)
    again.click("Take out of the queue")
    again.until("Stopped")
    assert own.status().state == "stopped"


def test_the_page_of_a_visitor_holds_what_he_may_use_and_finds_his_run_again(
    open_dashboard: Callable[..., DashboardPage], runs: Path, until: Any
) -> None:
    shown = open_dashboard("shared", runs_dir=runs)
    page = shown.page
    expect(page.get_by_role("button", name="Start")).to_be_enabled()
    for step, absent in (("Model", "Your model"), ("Data", "Your own data"), ("Runs", str(runs))):
        page.get_by_role("button", name=re.compile(f"^{step}")).or_(page.get_by_role("tab", name=step)).first.click()
        expect(page.get_by_text(absent)).to_have_count(0)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("Waits.")).to_be_visible()
    (own,) = TrainingService(runs).queue
    page.reload()
    shown.wait_for_widgets()
    expect(page.get_by_text(own.id[-4:]).first).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Take out of the queue").click()
    until(lambda: own.status().state == "stopped")
    # Voila's own template asks for fonts at another host, which is nobody's page to mend.
    shown.outside_requests.clear()
    shown.forget_errors()
