"""Runs side by side in a table."""

from __future__ import annotations

import json
import math

import pytest

import tb_widgets
from tb_widgets.errors import RunError
from tb_widgets.runs import Status, create_run
from tb_widgets.runs.status import write_status
from tb_widgets.service.run import this_machine


def finished(folder, spec, *losses):
    run = create_run(folder, spec)
    write_status(run.status_file, Status(state="done", step=20, total=20, model="GPT tiny", parameters=1000))
    lines = ({"step": step, "val/loss": loss, "val/accuracy": 1 - (loss or 0) / 10} for step, loss in enumerate(losses))
    run.metrics_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def test_what_became_of_each_and_where_they_differ(tiny, tmp_path):
    one = finished(tmp_path, tiny({"name": "one"}), 3.0, 2.0, 2.5)
    other = finished(tmp_path, tiny({"training.learning_rate": 0.02, "model.config": {"n_layer": 2}}), 3.0, None, 1.5)
    table = tb_widgets.compare(one.path, tb_widgets.Run(other.path))
    assert [*table.index] == [one.id, other.id]
    assert [*table["val/loss"]] == [2.0, 1.5]
    assert [*table["val/accuracy"]] == pytest.approx([0.8, 1.0])
    assert "val/perplexity" not in table, "neither has it"
    settings = [column for column in table if "." in column]
    assert settings[0] == "model.config.n_layer" or "model.config" in settings[0]
    assert "training.learning_rate" in settings
    assert "training.steps" not in settings
    assert "name" not in table
    assert table.loc[other.id, "training.learning_rate"] == 0.02


def test_all_runs_of_a_folder_and_none(tiny, tmp_path):
    finished(tmp_path / "runs", tiny(), math.pi)
    finished(tmp_path / "runs", tiny(), 1.0)
    assert len(tb_widgets.compare(runs_dir=tmp_path / "runs")) == 2
    with pytest.raises(RunError, match=r"no runs to compare. .*Train one first"):
        tb_widgets.compare(runs_dir=tmp_path / "empty")


HERE = {"packages": {"torch": "2.10.0", "plotly": "6"}, "hardware": {"device": "CPU"}, "seed": 1}
THERE = {"packages": {"torch": "2.11.0", "plotly": "5"}, "hardware": {"device": "Tesla T4"}, "seed": 1}


def ran_on(folder, spec, environment):
    run = finished(folder, spec, 1.0)
    run.environment_file.write_text(json.dumps(environment))
    return tb_widgets.Run(run.path)


def test_what_they_ran_on_is_compared_where_it_decides(tiny, tmp_path):
    one, other = ran_on(tmp_path, tiny(), HERE), ran_on(tmp_path, tiny(), THERE)
    queued = finished(tmp_path, tiny(), 1.0)
    table = tb_widgets.compare(one, other, queued.path)
    assert [*table["torch"]][:2] == ["2.10.0", "2.11.0"]
    assert [*table["device"]][:2] == ["CPU", "Tesla T4"]
    assert not {"plotly", "seed"} & set(table)
    assert not {"torch", "device"} & set(tb_widgets.compare(one, queued.path)), "nothing to compare with"
    assert one.environment_differences(other) == {
        "packages.torch": ("2.10.0", "2.11.0"),
        "packages.plotly": ("6", "5"),
        "hardware.device": ("CPU", "Tesla T4"),
    }
    with pytest.raises(RunError, match="has not started training"):
        one.environment_differences(tb_widgets.Run(queued.path))


def test_a_run_is_compared_with_this_machine(tiny, tmp_path):
    run = ran_on(tmp_path, tiny({"hardware.device": "cpu"}), {})
    here = {path: now for path, (_, now) in run.environment_differences().items()}
    assert here["hardware.device"] == "CPU"
    told = this_machine(tiny({"hardware.device": "cpu"}))
    same = ran_on(tmp_path, tiny({"hardware.device": "cpu"}), {**told, "seed": 5, "threads": 9})
    assert same.environment_differences() == {}
    told["packages"]["torch"] = "1.0"
    before, _ = ran_on(tmp_path, tiny(), told).environment_differences()["packages.torch"]
    assert before == "1.0"
    assert this_machine(tiny({"hardware.device": "cuda:7"}))["python"] == told["python"], (
        "a device that is not here is no reason to fail"
    )
