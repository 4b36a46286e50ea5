"""The Data step in a browser: a large file over a slow network that goes away, a dataset of a Hub, click by click."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from data.hub_server import COMMIT, HubServer
from playwright.sync_api import Locator, Page, expect

from .page import DashboardPage
from .test_dashboard import button, only_run, tab, wait_for_state, wait_until

OpenDashboard = Callable[..., DashboardPage]

LARGE = 50_000_000  # bytes
SLOW = 8_000_000  # bytes a second
SOURCE = """import os

os.environ.update({settings!r})
import tb_widgets

settings = {{"training.steps": 12, "training.batch_size": 4, "evaluation.every": 6, "evaluation.batches": 1}}
tb_widgets.Dashboard(tb_widgets.RunSpec().with_values(settings), runs_dir={runs!r})"""

# Whether no paragraph of a card that is in sight is wider than the card.
WITHIN = """() => [...document.querySelectorAll(".tbw-card")].filter(card => card.offsetParent).every(card =>
  [...card.querySelectorAll("p, .tbw-help")].every(text =>
    text.scrollWidth <= text.clientWidth + 1
    && text.getBoundingClientRect().right <= card.getBoundingClientRect().right + 1))"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of 50 MB in which no two lines are the same."""
    file = tmp_path_factory.mktemp("large") / "large.txt"
    line = len(b"line 0000000 says nothing new to anybody\n")
    file.write_bytes(b"".join(b"line %07d says nothing new to anybody\n" % n for n in range(LARGE // line)))
    return file


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        rows = "".join(json.dumps({"verse": f"Line {n} of a poem that goes on.", "n": n}) + "\n" for n in range(2000))
        server.add("me/poems", {"train.jsonl": rows})
        yield server


def source(folder: Path, runs: Path, **settings: str) -> str:
    return SOURCE.format(settings={"TB_CACHE_DIR": str(folder / "cache"), **settings}, runs=str(runs))


def share(page: Page) -> int:
    """How many hundredths of the file have been sent."""
    told = page.locator(".tbw-sending .tbw-facts").text_content() or "0 %"
    return int(told.split(" %")[0].split(" ")[-1])


def test_fifty_megabytes_arrive_over_a_slow_network_that_goes_away(
    open_dashboard: OpenDashboard, host: str, large: Path, tmp_path: Path
) -> None:
    opened = open_dashboard(host, source=source(tmp_path, tmp_path / "runs"), runs_dir=tmp_path / "runs")
    page = opened.page
    tab(page, "Data").click()
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")

    def set_network(*, offline: bool) -> None:
        conditions = {"offline": offline, "latency": 2, "downloadThroughput": SLOW, "uploadThroughput": SLOW}
        network.send("Network.emulateNetworkConditions", conditions)

    set_network(offline=False)
    page.locator(".tbw-drop input").set_input_files(large)
    wait_until(lambda: share(page) >= 10, "a tenth of the file")
    set_network(offline=True)
    sent = share(page)
    expect(page.locator(".tbw-sending")).to_contain_text("what has arrived stays", timeout=20_000)
    assert share(page) <= sent + 1
    set_network(offline=False)
    wait_until(lambda: share(page) > sent + 5, "more of the file")

    expect(page.get_by_text("Your own: large.txt")).to_be_attached(timeout=90_000)
    found = tmp_path / "cache" / "uploads" / hashlib.sha256(large.read_bytes()).hexdigest() / "large.txt"
    assert found.stat().st_size == large.stat().st_size
    expect(page.get_by_text("line 0000000 says nothing new").first).to_be_visible()
    opened.forget_errors()  # of the connection that was cut on purpose


def test_a_dataset_is_searched_got_and_trained_on_by_clicking(
    open_dashboard: OpenDashboard, hub: HubServer, tmp_path: Path
) -> None:
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
    page = open_dashboard(
        "voila", source=source(tmp_path, tmp_path / "runs", **settings), runs_dir=tmp_path / "runs"
    ).page
    tab(page, "Data").click()
    page.locator(".tbw-at-data-search input").fill("poems")
    button(page, "Search").click()
    page.get_by_role("row", name="me/poems").click()
    expect(page.get_by_text("nothing has been downloaded yet")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("Line 0 of a poem").first).to_be_visible()
    button(page, "Download").click()
    expect(page.locator(".tbw-at-data-source-choice")).to_contain_text("Your own: poems", timeout=60_000)
    expect(page.locator(".tbw-at-data-column-text")).to_contain_text("verse (automatic)")
    expect(page.locator(".tbw-batch")).to_contain_text("[END]")
    page.locator(".tbw-at-start").click()
    wait_for_state(page, "done")
    assert f"hub:me/poems@{COMMIT}" in (only_run(tmp_path / "runs") / "run.yaml").read_text()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a text on a server of this machine."""
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "far.txt").write_text("".join(f"Line {n} of a text from far away.\n" for n in range(900)))
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/far.txt"
        server.shutdown()


def test_paths_addresses_and_dropped_tables_are_looked_at_and_trained_on_by_clicking(
    open_dashboard: OpenDashboard, web: str, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    for number in range(3):
        (tmp_path / f"part-{number}.txt").write_text(
            f"part {number} says\n" + "".join(f"{n} is {n}\n" for n in range(600))
        )
    rows = "".join(f"{'poor' if n % 2 else 'fine'} thing number {n},{n % 2}\n" for n in range(800))
    with zipfile.ZipFile(tmp_path / "reviews.zip", "w") as archive:
        archive.writestr("reviews.csv", f"review,praised\n{rows}")
    settings = {"TB_ALLOW_LOCAL_ADDRESSES": "1", "NO_PROXY": "127.0.0.1"}
    page = open_dashboard("voila", source=source(tmp_path, runs, **settings), runs_dir=runs).page
    trained: set[Path] = set()

    def train() -> str:
        page.locator(".tbw-at-start").click()
        wait_until(lambda: len({*runs.glob("[!.]*")} - trained) == 1, "a run")  # .queue.lock lies beside them
        (run,) = {*runs.glob("[!.]*")} - trained
        trained.add(run)
        wait_until((run / "status.json").exists, "its status")
        wait_until(lambda: json.loads((run / "status.json").read_text())["state"] == "done", "its end")
        tab(page, "Data").click()
        return (run / "run.yaml").read_text()

    tab(page, "Data").click()
    page.locator(".tbw-at-data-source input").fill(f"{tmp_path}/part-*.txt")
    button(page, "Load").click()
    expect(page.locator(".tbw-batch")).to_contain_text("part 0 says", timeout=30_000)
    assert "part-*.txt" in train()

    page.locator(".tbw-at-data-source input").fill(web)
    button(page, "Load").click()
    expect(page.locator(".tbw-batch")).to_contain_text("far away", timeout=30_000)
    assert web in train()

    tab(page, "Model").click()
    page.locator(".tbw-at-model-source-choice select").select_option(label="BERT classifier: classifies texts")
    tab(page, "Data").click()
    page.get_by_label("Drop a file here, or choose").set_input_files(tmp_path / "reviews.zip")
    expect(page.locator(".tbw-batch")).to_contain_text("thing number", timeout=30_000)
    expect(page.locator(".tbw-at-data-column-label")).to_contain_text("praised (automatic)")
    assert "zoo:bert-classifier" in train()


def at_rest(place: Locator) -> dict[str, float] | None:
    """Where something is once it stays there: a page that has just come learns a little about its data yet."""
    box, before = place.bounding_box(), None
    while box != before:
        place.page.wait_for_timeout(1000)
        box, before = place.bounding_box(), box
    return box


def test_on_a_narrow_page_what_is_told_of_an_upload_stays_within_its_card(
    open_dashboard: OpenDashboard, tmp_path: Path
) -> None:
    opened = open_dashboard(
        "voila", source=source(tmp_path, tmp_path / "runs"), runs_dir=tmp_path / "runs", width=480, height=900
    )
    page = opened.page
    tab(page, "Data").click()
    refused = tmp_path / f"{'a-name-without-end-' * 5}.pdf"
    refused.write_bytes(b"\x89\0\0\0\xff" * 50)
    address = page.locator(".tbw-at-data-source")
    before = at_rest(address)
    page.locator(".tbw-drop input").set_input_files(refused)
    expect(page.get_by_text("That did not work")).to_be_visible(timeout=30_000)
    assert address.bounding_box() == before  # nothing above it has come
    assert page.evaluate(WITHIN)

    good = tmp_path / "good.txt"
    good.write_text("".join(f"Line {n} says something of the number {n}.\n" for n in range(400)))
    page.locator(".tbw-drop input").set_input_files(good)
    expect(page.get_by_text("Your own: good.txt")).to_be_attached(timeout=30_000)
    expect(page.locator(".tbw-batch")).to_contain_text("Line 0")
    figures, batch = (page.get_by_role("heading", name=name) for name in ("What you get", "As the model reads it"))
    assert figures.bounding_box()["y"] < batch.bounding_box()["y"]
    assert page.evaluate(WITHIN)
