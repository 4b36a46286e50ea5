"""Metrics add up over batches, and one that a stranger adds by one file is everywhere."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from tb_widgets.data.batches.streams import StreamData
from tb_widgets.data.prepared import prepare
from tb_widgets.data.tokenizers.base import CharTokenizer
from tb_widgets.engine.metrics import ValidationMetrics, bits_per_byte
from tb_widgets.errors import SpecError
from tb_widgets.spec import DataSpec, RunSpec, TokenizerSpec
from tb_widgets.spec.metrics import METRICS, Metric, computes
from tests.plugins import install, python

STRANGER = """
from tb_widgets.spec.metrics import Metric, computes

@computes(Metric("val/top-2", title="Top 2", unit="labels among the two likeliest", better="max", form=".1%"))
def top_2(device):
    from torchmetrics.classification import MulticlassAccuracy

    return MulticlassAccuracy(num_classes=256, top_k=2, average="micro", ignore_index=-100)
"""
USE = """
import json, sys
import tb_widgets
from tb_widgets.spec import RunSpec
from tb_widgets.spec.metrics import METRICS
from tb_widgets.display.figure import plots
light = not {"torch", "torchmetrics"} & set(sys.modules)
(card,) = [card for card in RunSpec.field_cards() if card.path == "checkpoints.monitor"]
light_form = not {"torch", "torchmetrics"} & set(sys.modules)
from tb_widgets.engine.session import train_run
from tb_widgets.runs import create_run
spec = RunSpec.load(sys.argv[1]).with_values({"checkpoints.monitor": "val/top-2"})
run = create_run(sys.argv[2], spec)
assert train_run(run) == "done", run.status().message
print(json.dumps({"light": light, "light_form": light_form, "choices": card.choices, "run": str(run.path),
                  "best": run.status().best, "titles": [plot.title for plot in plots()],
                  "better": spec.checkpoints.better}))
"""


def test_a_stranger_adds_a_metric_by_one_file(tiny, tmp_path):
    environment = install(tmp_path / "site-packages", "metrics", "top_five", STRANGER)
    spec = tmp_path / "run.yaml"
    spec.write_text(tiny().to_yaml())
    done = python(environment, "-c", USE, str(spec), str(tmp_path / "runs"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["light"], "importing tb_widgets imports no torch"
    assert found["light_form"], "and neither does a form"
    own = ["val/loss", "val/perplexity", "val/accuracy", "val/bits-per-byte", "val/top-5", "val/f1"]
    own += ["val/bleu", "val/chrf", "val/exact-match"]
    assert found["choices"] == [*own, "val/top-2"]
    assert found["titles"][3] == "Top 2 (labels among the two likeliest)"
    assert found["better"] == "max"
    run = Path(found["run"])
    tested = [line for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if "val/loss" in line]
    assert [line["step"] for line in tested] == [0, 10, 20]
    assert all(line["val/accuracy"] <= line["val/top-2"] <= line["val/top-5"] <= 1 for line in tested)
    assert found["best"]["value"] == max(line["val/top-2"] for line in tested)
    said = python(environment, "-m", "tb_widgets", "show", str(run)).stdout
    assert "top 2 " in said
    assert f"best  val/top-2 {found['best']['value']:.1%}".replace("%", " %") in said


def test_a_broken_plugin_is_named(tmp_path):
    environment = install(tmp_path, "metrics", "top_five", "import no_such_package")
    done = python(environment, "-c", "from tb_widgets.spec import RunSpec; RunSpec(); RunSpec.field_cards()")
    assert "PluginError: top_five of top-five can't be loaded (ModuleNotFoundError: No module named" in done.stderr


def test_the_mode_follows_from_the_metric_unless_it_is_set():
    assert RunSpec().with_values({"checkpoints.monitor": "val/accuracy"}).checkpoints.better == "max"
    assert RunSpec().checkpoints.better == "min"
    with pytest.raises(SpecError, match="must be max for val/accuracy, not min"):
        RunSpec().with_values({"checkpoints.monitor": "val/accuracy", "checkpoints.mode": "min"})
    with pytest.raises(SpecError, match=r"not 'val/acuracy'\. Did you mean val/accuracy\?"):
        RunSpec().with_values({"checkpoints.monitor": "val/acuracy"})


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="has val/loss already"):
        computes(Metric("val/loss", title="Another loss"))(lambda device: None)
    assert METRICS["val/loss"].title == "Loss"


@pytest.fixture
def batch():
    """Logits (6, 7, 11) and labels (6, 7), of which a seventh does not count."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 7, 11, generator=generator)
    return logits, torch.randint(11, (6, 7), generator=generator).index_fill_(1, torch.tensor([2]), -100)


TEXT = "val/loss", "val/perplexity", "val/accuracy", "val/bits-per-byte", "val/top-5"
CLASSES = "val/loss", "val/accuracy", "val/f1"


@pytest.mark.parametrize(
    ("task", "facts", "keys"),
    [("causal-lm", {"bytes_per_label": 3.5}, TEXT), ("vision-classification", {"classes": 11}, CLASSES)],
)
def test_metrics_of_two_halves_are_those_of_the_whole(batch, task, facts, keys):
    logits, labels = batch
    whole, halves = (ValidationMetrics(task, torch.device("cpu"), facts) for _ in range(2))
    whole.update(logits, labels)
    halves.update(logits[:1], labels[:1])
    halves.update(logits[1:], labels[1:])
    assert tuple(whole.compute()) == keys
    assert halves.compute() == pytest.approx(whole.compute())


def test_metrics_are_those_of_torchmetrics(batch):
    logits, labels = batch
    rows, flat = logits.flatten(0, 1), labels.flatten()
    text = ValidationMetrics("causal-lm", torch.device("cpu"))
    text.update(logits, labels)
    theirs = MulticlassAccuracy(num_classes=11, top_k=5, average="micro", ignore_index=-100)
    assert text.compute()["val/top-5"] == pytest.approx(theirs(rows, flat).item())
    # A class that is neither predicted nor labelled does not count.
    flat = flat.masked_fill(flat == 7, 8)
    rows[:, 7] = -9
    classes = ValidationMetrics("vision-classification", torch.device("cpu"), {"classes": 11})
    classes.update(rows, flat)
    theirs = MulticlassF1Score(num_classes=11, average="macro", ignore_index=-100)
    assert classes.compute()["val/f1"] == pytest.approx(theirs(rows, flat).item())


def test_a_model_may_have_more_outputs_than_there_are_classes():
    metrics = ValidationMetrics("vision-classification", torch.device("cpu"), {"classes": 2})
    metrics.update(torch.eye(4)[[0, 1, 3]], torch.tensor([0, 1, 1]))
    assert metrics.compute()["val/f1"] == pytest.approx((1 + 2 / 3) / 2)  # 3 is no class: class 1 was missed once


def test_a_model_that_knows_nothing_ranks_nothing_among_the_first_five():
    for value in (0.0, math.nan):
        metrics = ValidationMetrics("causal-lm", torch.device("cpu"))
        metrics.update(torch.full((3, 9), value), torch.tensor([0, 1, 2]))
        assert metrics.compute()["val/top-5"] == 0


def test_of_few_tokens_all_are_among_the_five_likeliest():
    metrics = ValidationMetrics("causal-lm", torch.device("cpu"))
    metrics.update(torch.eye(3), torch.tensor([2, 0, 1]))
    assert metrics.compute()["val/top-5"] == 1.0


@pytest.mark.parametrize("kind", ["byte", "char", "bpe", "unigram"])
def test_bits_per_byte_count_the_bytes_that_the_labels_stand_for(kind, tmp_path):
    text = "".join(f"Zwölf mal {n} ist, wie man weiß, {12 * n}: ✓\n" for n in range(600))
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    data = DataSpec(source=str(tmp_path / "text.txt"), context_length=16)
    prepared = prepare(data, TokenizerSpec(kind=kind, vocab_size=300), cache_dir=tmp_path / "cache")
    batches = prepared.validation_batches(batch_size=8, batches=500)
    rows = [row for batch in batches for row in batch["labels"]]
    told = prepared.facts(batches)["bytes_per_label"]
    # Rows lie side by side: read together, they hold no broken character but at both ends.
    read = prepared.tokenizer.decode(torch.cat(rows).numpy())
    assert told * sum(map(len, rows)) == pytest.approx(len(read.strip("\ufffd").encode()), abs=8)
    assert (told == 1) == (kind == "byte")
    assert bits_per_byte(math.log(2), told) == pytest.approx(1 / told)


def test_a_character_that_is_not_known_leaves_the_bytes_unknown(tmp_path):
    (tmp_path / "text.txt").write_text("".join(f"{n} times\n" for n in range(3000)) + "§" * 3000, encoding="utf-8")
    data = DataSpec(source=str(tmp_path / "text.txt"), context_length=16)
    tokenizer = CharTokenizer("0123456789 times\n")
    tokenizer.save(tmp_path / "tokenizer")
    prepared = prepare(data, TokenizerSpec(), cache_dir=tmp_path / "cache", frozen_tokenizer=tmp_path / "tokenizer")
    assert prepared.facts(prepared.validation_batches(batch_size=8, batches=500)) == {}


def test_a_metric_that_the_data_do_not_allow_chooses_no_checkpoint(tiny, train, monkeypatch):
    monkeypatch.setattr(StreamData, "facts", lambda *_: {})
    status = train(tiny({"checkpoints.monitor": "val/bits-per-byte"})).status()
    assert status.message == (
        "checkpoints.monitor is val/bits-per-byte, which can't be measured on these data: it needs bytes per label."
    )
    assert status.hint == "Set it to val/loss or val/perplexity or val/accuracy or val/top-5."


def test_bits_per_byte_choose_the_best_checkpoint(tiny, train):
    run = train(tiny({"checkpoints.monitor": "val/bits-per-byte"}))
    lines = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
    last = [line for line in lines if "val/loss" in line][-1]
    assert last["val/bits-per-byte"] == pytest.approx(last["val/loss"] / math.log(2))  # bytes
    assert run.status().best["value"] == last["val/bits-per-byte"]


def test_before_step_1_the_bytes_are_those_of_the_batches_that_were_read(tiny, train, tmp_path, monkeypatch):
    monkeypatch.setattr("tb_widgets.engine.trainer.FIRST_BATCHES", 1)
    (tmp_path / "text.txt").write_text("".join(f"{n} {'✓' * (n % 7)}\n" for n in range(900)), encoding="utf-8")
    fields = {"data.source": str(tmp_path / "text.txt"), "tokenizer.kind": "char", "evaluation.batches": 99}
    run = train(tiny(fields | {"training.steps": 1}))
    data = prepare(run.spec.data, run.spec.tokenizer, cache_dir=tmp_path, frozen_tokenizer=run.tokenizer_folder)
    batches = data.validation_batches(batch_size=4, batches=99)
    lines = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
    found = [line["val/loss"] / math.log(2) / line["val/bits-per-byte"] for line in lines if "val/loss" in line]
    expected = [data.facts(read)["bytes_per_label"] for read in (batches[:1], batches)]
    assert found == pytest.approx(expected)
    assert expected[0] != expected[1]
