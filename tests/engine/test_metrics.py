"""Metrics add up over batches, and one that a stranger adds by one file is everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tb_widgets.engine.metrics import ValidationMetrics
from tb_widgets.errors import SpecError
from tb_widgets.spec import RunSpec
from tb_widgets.spec.metrics import METRICS, Metric, computes
from tests.plugins import install, python

STRANGER = """
from tb_widgets.spec.metrics import Metric, computes

@computes(Metric("val/top-5", title="Top 5", unit="labels among the five likeliest", better="max", form=".1%"))
def top_5(device):
    from torchmetrics.classification import MulticlassAccuracy

    return MulticlassAccuracy(num_classes=256, top_k=5, average="micro", ignore_index=-100)
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
spec = RunSpec.load(sys.argv[1]).with_values({"checkpoints.monitor": "val/top-5"})
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
    assert found["choices"] == ["val/loss", "val/perplexity", "val/accuracy", "val/top-5"]
    assert found["titles"][3] == "Top 5 (labels among the five likeliest)"
    assert found["better"] == "max"
    run = Path(found["run"])
    tested = [line for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if "val/loss" in line]
    assert [line["step"] for line in tested] == [0, 10, 20]
    assert all(line["val/accuracy"] <= line["val/top-5"] <= 1 for line in tested)
    assert found["best"]["value"] == max(line["val/top-5"] for line in tested)
    said = python(environment, "-m", "tb_widgets", "show", str(run)).stdout
    assert "top 5 " in said
    assert f"best  val/top-5 {found['best']['value']:.1%}".replace("%", " %") in said


def test_a_broken_plugin_is_named(tmp_path):
    environment = install(tmp_path, "metrics", "top_five", "import no_such_package")
    done = python(environment, "-c", "from tb_widgets.spec import RunSpec; RunSpec(); RunSpec.field_cards()")
    assert "PluginError: top_five of top-five can't be loaded (ModuleNotFoundError: No module named" in done.stderr


def test_the_mode_follows_from_the_metric_unless_it_is_set():
    assert RunSpec().with_values({"checkpoints.monitor": "val/accuracy"}).checkpoints.better == "max"
    assert RunSpec().checkpoints.better == "min"
    with pytest.raises(SpecError, match="for val/accuracy better is max, not min"):
        RunSpec().with_values({"checkpoints.monitor": "val/accuracy", "checkpoints.mode": "min"})
    with pytest.raises(SpecError, match=r"not 'val/acuracy'\. Did you mean val/accuracy\?"):
        RunSpec().with_values({"checkpoints.monitor": "val/acuracy"})


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="has val/loss already"):
        computes(Metric("val/loss", title="Another loss"))(lambda device: None)
    assert METRICS["val/loss"].title == "Loss"


def test_metrics_of_two_halves_are_those_of_the_whole():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 7, 11, generator=generator)
    labels = torch.randint(11, (6, 7), generator=generator).index_fill_(1, torch.tensor([2]), -100)
    whole, halves = (ValidationMetrics("causal-lm", torch.device("cpu")) for _ in range(2))
    whole.update(logits, labels)
    halves.update(logits[:1], labels[:1])
    halves.update(logits[1:], labels[1:])
    assert list(whole.compute()) == ["val/loss", "val/perplexity", "val/accuracy"]
    assert halves.compute() == pytest.approx(whole.compute())
    images = ValidationMetrics("vision-classification", torch.device("cpu"))
    images.update(logits[:, 0], labels[:, 0])
    assert list(images.compute()) == ["val/loss", "val/accuracy"]
