"""A notebook's kernel that is killed takes no run with it, and the next kernel finds it again."""

from __future__ import annotations

import pytest

from tb_widgets import TrainingService
from tb_widgets.runs.journal import parse_lines
from tests.service.conftest import end_all

from .kernel import Kernel

pytestmark = pytest.mark.fault

START = """
import tb_widgets
service = tb_widgets.TrainingService({runs!r})
run = service.start(tb_widgets.RunSpec().from_mapping({spec!r}))
print(run.id)
"""
ATTACH = """
import tb_widgets
run = tb_widgets.Run({run!r}, {runs!r})
dashboard = tb_widgets.Dashboard(runs_dir={runs!r}, run=run.id)
dashboard.refresh()
"""


def test_a_run_outlives_its_kernel_and_the_next_one_sees_all_of_it(tmp_path, tiny, until):
    steps = 1500
    spec = tiny({"training.steps": steps, "evaluation.every": 500, "checkpoints.every": 500}).to_mapping()
    service = TrainingService(tmp_path)
    try:
        with Kernel() as first:
            name = first.run(START.format(runs=str(tmp_path), spec=spec)).strip()
            run = service.attach(name)
            until(lambda: run.status().step > 0)
            first.kill()
            killed_at = run.status()
        assert killed_at.state == "running", "the kernel must be killed while the run trains"
        with Kernel() as second:
            second.run(ATTACH.format(run=name, runs=str(tmp_path)))
            assert second.value("run.id") == name
            assert service.wait(run, 90) == "done"
            assert run.status().pid == killed_at.pid, "the same worker went on"
            second.run("dashboard.refresh()")
            assert second.value("list(dashboard.watch.curves['train/loss'].steps)") == list(range(1, steps + 1))
            assert second.value("[dashboard.watch.status.state, run.state]") == ["done", "done"]
        data = run.metrics_file.read_bytes()
        assert data.count(b"\n") == steps + 1
        assert [line["step"] for line in parse_lines(data)] == list(range(steps + 1))
    finally:
        end_all(service)
