"""Runs whose files were damaged, or written by somebody else: no command breaks on them."""

from __future__ import annotations

import json
import shutil

import pytest

from tb_widgets.engine.session import train_run
from tb_widgets.runs import create_run

from .conftest import command


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny):
    run = create_run(tmp_path_factory.mktemp("runs"), tiny())
    assert train_run(run) == "done"
    return run


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished.path, tmp_path / finished.id)
    return type(finished)(tmp_path / finished.id)


def set_status(run, text):
    facts = json.loads(run.status_file.read_text())
    run.status_file.write_text(json.dumps(facts)[:-1] + ", " + text + "}")


ODD = [
    '"created": 1e400',
    f'"step": 1{"0" * 400}',
    f'"total": 1{"0" * 400}, "elapsed": 1{"0" * 400}',
    '"best": {"step": 1e400, "value": "x"}',
    '"metrics": {"val/loss": 1e400}',
    '"message": "\\ud800"',
]


@pytest.mark.parametrize("text", ODD, ids=lambda text: text[:20])
def test_one_odd_status_breaks_no_list_and_can_be_shown(run, text):
    set_status(run, text)
    for words in (["runs"], ["show", run.id], ["runs", "--json"], ["show", run.id, "--json"]):
        said = command(*words, runs=run.path.parent)
        assert said.code == 0, said.err
        assert (f"· {run.id[-4:]}" if words == ["runs"] else run.id) in said.out


def test_odd_lines_of_the_journal_and_an_odd_checkpoint_are_passed_over(run):
    with run.metrics_file.open("a") as file:
        file.write('{"step": 1%s, "train/loss": 2}\n{"step": "x", "val/loss": "y"}\n' % ("0" * 400))
        file.write('{"step": 21, "train/loss": 1%s}\n' % ("0" * 400))
    first, last = run.checkpoints()
    (first.path / "meta.json").write_text("[" * 100_000)
    said = command("show", run.id, runs=run.path.parent)
    assert said.code == 0, said.err
    assert "Loss (nats per token)" in said.out
    assert said.out.count("checkpoint ") == 1
    assert command("generate", run.id, "--length", "3", runs=run.path.parent).code == 0
    assert run.checkpoints()[0].step == last.step


def test_a_run_is_begun_again_where_that_is_asked_for(run):
    set_status(run, '"state": "stopped"')
    for info in run.checkpoints():
        (info.path / "model.safetensors").write_bytes(b"damaged")
    refused = command("resume", run.id, runs=run.path.parent)
    assert refused.code == 1
    assert f"tb-widgets resume {run.id} --from-start" in " ".join(refused.err.split())
    again = command("resume", run.id, "--from-start", runs=run.path.parent)
    assert again.code == 0, again.err
    assert "Done: 20 steps" in again.out
    assert (run.path / "metrics.old.jsonl").exists()
