"""Fixtures for tests in a real browser. See ``open_dashboard``; the rest is what it stands on."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from .page import DashboardPage
from .servers import DASHBOARD, FLOOR_PYTHON, REPOSITORY, Server, start

ARTIFACTS = REPOSITORY / "test-artifacts"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

_failed = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


def missing(reason: str) -> None:
    """Skip on a user's machine, where a browser is a choice; fail where the tests are the point."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


# Of the package and not of the session: while Playwright runs, its event loop counts as running for every test.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """A headless Chromium, the one installed on this machine."""
    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        missing("No Chromium on PATH: the browser tests need one (Debian: apt-get install chromium).")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start servers on demand: ``server_of(host, source=..., runs_dir=None)``.

    One server a host serves the whole session, with an empty runs directory of its own. Voila shows one notebook
    and hands one runs directory to its kernels, so it gets a server for each pair that is asked for.
    """
    running: dict[tuple[str, ...], Server] = {}
    base = tmp_path_factory.mktemp("servers")

    def server_of(host: str, source: str = DASHBOARD, runs_dir: Path | None = None) -> Server:
        if host == "floor" and not FLOOR_PYTHON.exists():
            missing("No .venv-floor: the Colab-like floor is made by `make floor`.")
        is_page = host in ("voila", "shared")
        key = (host, source, str(runs_dir)) if is_page else (host,)
        if key not in running:
            folder = base / f"{host}-{len(running)}"
            own_runs = runs_dir if is_page and runs_dir is not None else base / f"{folder.name}-runs"
            running[key] = start(host, folder, own_runs, source)
        return running[key]

    yield server_of
    for server in running.values():
        server.stop()


@pytest.fixture(params=["voila", "lab"])
def host(request: pytest.FixtureRequest) -> str:
    """The hosts of the newest stack, one after the other."""
    return str(request.param)


@pytest.fixture(params=["voila", "lab", pytest.param("floor", marks=pytest.mark.floor)])
def any_host(request: pytest.FixtureRequest) -> str:
    """The hosts of both stacks, one after the other."""
    return str(request.param)


@pytest.fixture
def open_dashboard(
    chromium: Browser, server_of: Callable[..., Server], request: pytest.FixtureRequest
) -> Iterator[Callable[..., DashboardPage]]:
    """Open dashboards: ``open_dashboard(host, width=1280, height=900, dark=False, runs_dir=None, source=DASHBOARD)``.

    Returns a ``DashboardPage`` whose first widget stands. At the end of the test every page must be clean (no error,
    no request to another host); of a failed test a screenshot a page stays in ``test-artifacts/``.
    """
    pages: list[DashboardPage] = []
    count = itertools.count()

    def open_dashboard(
        host: str,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        runs_dir: Path | None = None,
        source: str = DASHBOARD,
    ) -> DashboardPage:
        server = server_of(host, source, runs_dir)
        page = DashboardPage(chromium, host, runs_dir or server.runs_dir, width=width, height=height, dark=dark)
        pages.append(page)
        page.open(server, source, f"{_name(request)}-{next(count)}", runs_dir)
        return page

    yield open_dashboard
    try:
        if not request.node.stash.get(_failed, False):
            for page in pages:
                page.assert_clean()
    except AssertionError:
        request.node.stash[_failed] = True
        raise
    finally:
        for number, page in enumerate(pages):
            if request.node.stash.get(_failed, False):
                page.screenshot(ARTIFACTS / f"{_name(request)}-{number}.png")
            page.close()


def _name(request: pytest.FixtureRequest) -> str:
    return re.sub(r"[^\w-]+", "-", request.node.name).strip("-")
