"""Every metric can be shown, monitored and compared, and its direction is right everywhere."""

from __future__ import annotations

import json

import pytest

import tb_widgets
from tb_widgets.display.run_words import best_in_words
from tb_widgets.engine.saver import CheckpointSaver
from tb_widgets.engine.stopping import EarlyStopping
from tb_widgets.errors import SpecError
from tb_widgets.runs import Status, create_run
from tb_widgets.runs.checkpoints import write_checkpoint
from tb_widgets.runs.journal import JournalWriter
from tb_widgets.spec import RunSpec
from tb_widgets.spec.metrics import METRICS

HIGHER = {"val/accuracy", "val/top-5", "val/f1", "val/bleu", "val/chrf", "val/exact-match"}
LOWER = {"val/loss", "val/perplexity", "val/bits-per-byte"}


def test_the_direction_of_every_metric_is_written_down():
    assert {metric.key for metric in METRICS.values() if metric.better == "max"} == HIGHER
    assert {metric.key for metric in METRICS.values() if metric.better == "min"} == LOWER
    (card,) = [card for card in RunSpec.field_cards() if card.path == "checkpoints.monitor"]
    assert {*card.choices} == HIGHER | LOWER


@pytest.mark.parametrize("key", sorted(HIGHER | LOWER))
def test_it_is_monitored_stopped_by_compared_and_shown_in_its_direction(key, tiny, tmp_path):
    spec = tiny({"checkpoints.monitor": key, "evaluation.patience": 2})
    worse, better, between = (0.2, 0.6, 0.4) if key in HIGHER else (0.6, 0.2, 0.4)
    stopping = EarlyStopping(spec)
    assert [stopping.look(value) for value in (worse, better, between, between)] == [False, False, False, True]

    run = create_run(tmp_path, spec)
    parts = {"model": lambda path: path.write_bytes(b"weights")}
    for step, value in enumerate((worse, better, between), start=1):
        write_checkpoint(run.checkpoints_folder, step, parts, {"metrics": {key: value}})
    assert [info.best for info in run.checkpoints()] == [False, True, False]
    journal = JournalWriter(run.metrics_file, run.events_file, run.status_file, Status(state="done"))
    saver = CheckpointSaver(run, spec.checkpoints, journal)
    assert not saver.is_best({key: between})
    assert saver.is_best({key: better + (0.1 if key in HIGHER else -0.1)})
    saver.close()
    for step, value in enumerate((worse, better, between)):
        journal.metrics({"step": step, key: value})
    journal.close()
    assert [*tb_widgets.compare(run.path)[key]] == [better]
    assert best_in_words({"monitor": key, "value": better}) == METRICS[key].written(better)
    assert json.loads(run.metrics_file.read_text().splitlines()[1])[key] == better


@pytest.mark.parametrize("key", ["val/nonsense", "loss", "train/loss", ""])
def test_an_unknown_one_is_refused_with_the_list(key):
    with pytest.raises(SpecError) as caught:
        RunSpec().with_values({"checkpoints.monitor": key})
    ((field, reason),) = caught.value.problems
    assert field == "checkpoints.monitor"
    assert all(known in reason for known in HIGHER | LOWER)


def test_names_inside_a_sentence_keep_their_capitals():
    names = [METRICS[key].name for key in ("val/loss", "val/bits-per-byte", "val/f1", "val/bleu", "val/chrf")]
    assert names == ["loss", "bits per byte", "F1", "BLEU", "chrF"]
