"""Everybody can use the page: axe-core finds nothing serious, and the keyboard is enough."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from .page import DashboardPage
from .test_dashboard import tab, wait_for_figure, wait_for_points, wait_for_state

OpenDashboard = Callable[..., DashboardPage]
STEPS = ("Model", "Check", "Data", "Train", "Runs")
NAMED = """() => Array.from(document.querySelectorAll(".tbw-field input[type=text], .tbw-field select"))
  .every((input) => !input.getClientRects().length || input.ariaLabel)"""
ONLY_OURS = {"resultTypes": ["violations"]}


def found_by_axe(page: Page) -> list[str]:
    """What axe-core calls serious or critical, with the first place of each."""
    answer = Axe().run(page, context=".tbw", options=ONLY_OURS).response
    return [
        f"{each['id']} ({each['impact']}, {len(each['nodes'])}): {each['nodes'][0]['html'][:160]} "
        f"{each['nodes'][0]['failureSummary'][:200]}"
        for each in answer["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def on_every_step(page: Page) -> dict[str, list[str]]:
    """What axe finds on each step, in both themes and at both widths."""
    found = {}
    for colours, (width, step) in itertools.product(("light", "dark"), itertools.product((1280, 360), STEPS)):
        page.emulate_media(color_scheme=colours)
        page.set_viewport_size({"width": width, "height": 900})
        tab(page, step).click()
        page.locator(".tbw-step:not(.tbw-hidden) .tbw-card").first.wait_for()
        page.locator(".tbw.tbw-dark" if colours == "dark" else ".tbw:not(.tbw-dark)").first.wait_for()
        page.wait_for_timeout(400)  # what has just been drawn is named a moment later
        page.wait_for_function(NAMED)
        serious = found_by_axe(page)
        if serious:  # on a busy machine a card still arrives field by field: what is wrong stays wrong
            page.wait_for_timeout(3000)
            serious = found_by_axe(page)
        if serious:
            found[f"{step}, {width}, {colours}"] = serious
    return found


@pytest.mark.timeout(400)  # twenty pages are judged
def test_axe_finds_nothing_serious_before_a_run(open_dashboard: OpenDashboard, tmp_path: Path) -> None:
    page = open_dashboard("voila", runs_dir=tmp_path / "runs").page
    wait_for_figure(page)
    assert on_every_step(page) == {}


@pytest.mark.timeout(400)
def test_axe_finds_nothing_serious_after_a_run(open_dashboard: OpenDashboard, tmp_path: Path) -> None:
    page = open_dashboard("voila", runs_dir=tmp_path / "runs").page
    wait_for_figure(page)
    steps = page.locator(".tbw-at-training-steps input")
    steps.fill("40")
    steps.press("Enter")
    page.locator(".tbw-at-start").click()
    wait_for_state(page, "done")
    tab(page, "Check").click()
    page.locator(".tbw-at-check").click()
    page.locator('.tbw-result[data-check="robustness"]').wait_for(timeout=90_000)
    page.get_by_role("button", name="Show the code").click()
    assert on_every_step(page) == {}


def press_until(page: Page, key: str, place: str, most: int = 60) -> None:
    """Press a key until the focus is at a place."""
    for _ in range(most):
        if page.evaluate(f"() => Boolean(document.activeElement?.closest('.tbw-at-{place}'))"):
            return
        page.keyboard.press(key)
    pytest.fail(f"{place} is not reached by {most} times {key}")


def test_a_run_is_made_without_a_mouse(open_dashboard: OpenDashboard, tmp_path: Path) -> None:
    page = open_dashboard("voila", runs_dir=tmp_path / "runs").page
    wait_for_figure(page)
    page.locator(".tbw-steps [aria-selected=true]").focus()

    # Steps are one stop in the Tab order, and the arrows lead from one to the next.
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".tbw-steps [aria-selected=true]")).to_contain_text("Data")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".tbw-at-model-address")).to_be_visible()
    press_until(page, "Tab", "model-address")
    page.keyboard.type("zoo:gpt")
    page.keyboard.press("Enter")
    page.locator(".tbw-steps [aria-selected=true]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tbw-at-check")).to_be_enabled()
    press_until(page, "Tab", "check")
    page.keyboard.press("Enter")
    page.locator('.tbw-result[data-check="shapes"]').wait_for(timeout=90_000)

    press_until(page, "Shift+Tab", "start")
    page.keyboard.press("Enter")
    wait_for_points(page, 5)
    inside = "() => document.activeElement !== document.body && Boolean(document.activeElement.closest('.tbw'))"
    page.wait_for_function(inside)  # the focus has not fallen to the page's beginning
    press_until(page, "Shift+Tab", "pause")
    page.keyboard.press("Enter")
    wait_for_state(page, "paused")
    page.wait_for_function(inside)
    press_until(page, "Tab", "stop")
    page.keyboard.press("Enter")
    wait_for_state(page, "stopped")
    page.wait_for_function(inside)

    page.locator(".tbw-steps [aria-selected=true]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tbw-at-prompt")).to_be_visible()
    press_until(page, "Tab", "prompt")
    page.keyboard.type("keyboard ")
    press_until(page, "Tab", "write")
    page.keyboard.press("Enter")
    page.get_by_text("tokens/s").last.wait_for(timeout=60_000)
