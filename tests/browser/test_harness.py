"""The dashboard stands in every host, without an error and without a request to any other host."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from .page import DashboardPage


def test_the_dashboard_opens(open_dashboard: Callable[..., DashboardPage], any_host: str) -> None:
    dashboard = open_dashboard(any_host)

    expect(dashboard.page.get_by_text("Transformer Builder").first).to_be_visible()
    assert not any(dashboard.runs_dir.iterdir()), "opening the page must not start anything"
