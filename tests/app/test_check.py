"""The Check step: what it teaches, what it says while it works, and the leak on top with its repair."""

from __future__ import annotations

import pytest

from tb_widgets.app.parts.pictures import picture
from tb_widgets.app.steps import STEPS
from tb_widgets.checks.result import CheckResult
from tb_widgets.service.probing import Probe
from tb_widgets.spec import RunSpec

from .conftest import at, shown
from .test_escaping import EVIL
from .test_model_choice import LEAKING, files, github, open_dashboard  # noqa: F401  (fixtures)


@pytest.fixture
def leaking(open_dashboard, tmp_path):  # noqa: F811
    """A dashboard on the Check step, with a language model that leaks."""
    for name, text in files(LEAKING).items():
        (tmp_path / name).write_text(text)
    dashboard = open_dashboard(RunSpec().with_values({"model.source": str(tmp_path)}))
    dashboard.show("check")
    dashboard.refresh()
    return dashboard


def box(dashboard):
    return dashboard.page.boxes["check"]


def test_the_leak_stands_on_top_with_its_repair(leaking):
    assert "nothing is trained" in shown(box(leaking))
    at(box(leaking), "check-basic").click()
    assert at(box(leaking), "check").disabled
    leaking.choice.checks.wait(90)
    leaking.refresh()

    seen = shown(box(leaking))
    assert seen.index('data-check="causality"') < seen.index('data-check="shapes"')
    assert 'data-check="attention"' not in seen
    assert "<svg" in seen
    assert "1 failed" in STEPS["check"].line(leaking)[0]

    at(box(leaking), "check-repair").click()
    assert leaking.draft.spec.model.repairs == ["causal-mask"]
    assert leaking.choice.checks is None  # they were those of another model


def test_a_model_that_may_not_run_is_not_checked(open_dashboard, github):  # noqa: F811
    github.add("0" * 32, files("raise SystemExit"))
    dashboard = open_dashboard()
    dashboard.load_model("0" * 32)
    dashboard.wait_for_model()
    dashboard.show("check")
    dashboard.refresh()
    assert at(box(dashboard), "check").disabled
    assert "waits for you to read it" in shown(box(dashboard))
    dashboard.act(lambda: dashboard.check_model(1))
    assert "you have not agreed" in dashboard.page.message.value


def test_what_a_check_says_is_shown_as_text_and_progress_in_numbers(dashboard):
    probe = Probe("check", phase="gradients")
    heat = {"kind": "heatmap", "title": EVIL, "rows": EVIL, "columns": EVIL, "values": [[0.0, 1.0], [None, 0.5]]}
    bars = {"kind": "bars", "title": EVIL, "labels": [EVIL], "values": [None]}
    for kind in (heat, bars):
        probe.results.append(CheckResult("shapes", EVIL, 1, "warn", EVIL, 1.5, EVIL, EVIL, EVIL, kind))
    dashboard.choice._checks.begin(probe, dashboard.choice._identity())
    dashboard.choice.version += 1
    dashboard.show("check")
    dashboard.refresh()
    seen = shown(box(dashboard))
    assert "2 of 11 · gradients" in seen
    assert "<script" not in seen
    assert "<img" not in seen
    dashboard.choice.checks.stop()
    dashboard.choice.version += 1
    dashboard.refresh()
    assert "Stopped" in shown(box(dashboard))


def test_a_large_picture_is_thinned_and_none_is_none():
    wide = {"kind": "heatmap", "rows": "r", "columns": "c", "values": [[1.0] * 500] * 500}
    assert picture(wide).count("<rect") <= 48 * 48
    assert picture(None) == ""
