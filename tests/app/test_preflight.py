"""The measurement beside Start: what it teaches, what it says, and the threads that it offers."""

from __future__ import annotations

from tb_widgets.checks.preflight import Preflight, Speed
from tb_widgets.service.probing import Probe

from .conftest import at, shown
from .test_escaping import EVIL


def box(dashboard):
    return dashboard.page.boxes["train"]


def test_a_tiny_run_is_measured(dashboard):
    assert "in at most 20 seconds" in shown(box(dashboard))
    at(box(dashboard), "measure").click()
    assert at(box(dashboard), "measure").disabled
    dashboard.choice.measured.wait(60)
    dashboard.refresh()
    seen = shown(box(dashboard))
    for title in ("Peak memory", "tokens/s", "The whole run takes about", "Initial loss"):
        assert title in seen
    dashboard.draft.set("training.steps", "many")
    dashboard.refresh()
    assert at(box(dashboard), "measure").disabled  # the form holds nothing that could be measured


def test_the_best_micro_batch_is_found_on_request_and_one_click_away(dashboard):
    at(box(dashboard), "measure-micro-batches").click()
    dashboard.choice.measured.wait(60)
    dashboard.refresh()
    assert "Micro-batches" in shown(box(dashboard))
    best = dashboard.choice.measured.answer["best_micro_batch"]
    assert at(box(dashboard), "use-micro-batch").description == f"Use micro-batches of {best}"
    at(box(dashboard), "use-micro-batch").click()
    assert dashboard.draft.spec.training.micro_batch_size == best


def test_the_fastest_number_of_threads_is_one_click_away_and_text_is_text(dashboard):
    speeds = (Speed(1, 900.0), Speed(2, 500.0))
    measured = Preflight(threads=speeds, threads_used=2, first_loss=5.0, overfit_loss=5.0, left_out=(EVIL,))
    probe = Probe("preflight", phase=EVIL, answer=measured.to_mapping())
    dashboard.choice.measured = probe
    dashboard.choice.version += 1
    dashboard.refresh()
    assert "tbw-hidden" in at(box(dashboard), "use-threads")._dom_classes  # while it is measured
    probe.stop()
    dashboard.choice.version += 1
    dashboard.refresh()
    seen = shown(box(dashboard))
    assert "<script" not in seen
    assert "5.00 → 5.000 in 0 steps" in seen
    assert "The loss of one batch should fall towards zero." in seen
    assert at(box(dashboard), "use-threads").description == "Use 1 CPU thread"
    at(box(dashboard), "use-threads").click()
    assert dashboard.draft.spec.hardware.threads == 1
