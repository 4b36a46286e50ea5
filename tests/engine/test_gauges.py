"""What is measured of gradients and updates, against values worked out by hand, and where it is shown."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from tb_widgets.display.run_words import training_in_words
from tb_widgets.engine.gauges import Gauges, group_rates
from tb_widgets.models.blocks import layer_names, repeated_blocks
from tb_widgets.models.zoo import gpt, t5


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 2)
        self.heads = nn.ModuleList([nn.Sequential(nn.Linear(2, 2)) for _ in range(2)])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 2)
        self.layers = nn.Sequential(Block(), Block(), nn.LayerNorm(2))
        self.head = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 7))
        self.scale = nn.Parameter(torch.ones(3))


def test_blocks_are_the_outermost_modules_of_one_class_in_a_list():
    assert [*repeated_blocks(Net())] == ["layers.0", "layers.1"]
    assert [*repeated_blocks(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))] == []
    sizes = {"vocab_size": 9, "context_length": 4, "n_layer": 3, "n_head": 2, "n_embd": 8}
    assert [*repeated_blocks(gpt.build_model(sizes))] == ["blocks.0", "blocks.1", "blocks.2"]
    assert len(repeated_blocks(t5.build_model(sizes | {"n_layer": 2}))) == 4, "of the encoder and of the decoder"
    layers = layer_names(Net())
    assert layers["layers.1.heads.0.0.weight"] == "layers.1"
    assert layers["layers.2.weight"] == "layers"
    assert (layers["table.weight"], layers["scale"]) == ("table", "scale")


def test_a_layer_s_norm_is_that_of_all_its_gradients():
    net = Net()
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    net.scale.grad = None
    net.head[0].weight.requires_grad_(False)
    norms = {key: value.item() for key, value in Gauges(net).layer_norms().items()}
    counts = {"table": 14, "layers.0": 29, "layers.1": 29, "layers": 4, "head": 39, "scale": 0}
    assert norms == pytest.approx({f"grad_norm/{layer}": 2 * count**0.5 for layer, count in counts.items()})


@pytest.mark.parametrize("rows", [7, 300_000])
def test_the_update_ratio_is_the_rms_of_the_change_over_that_of_the_weights(rows):
    net = nn.ModuleDict({"table": nn.Embedding(rows, 2), "other": nn.Linear(3, 3, bias=False)})
    nn.init.constant_(net["table"].weight, 0.5)
    nn.init.constant_(net["other"].weight, 2.0)
    gauges = Gauges(net)
    before = gauges.sampled_weights()
    assert sum(part.numel() for part in before) < 70_000, "of a large tensor only some are copied"
    with torch.no_grad():
        net["table"].weight += 0.01
        net["other"].weight -= 0.1
    (ratio,) = gauges.update_ratio(before).values()
    changed, weights = 2 * rows * 0.01**2 + 9 * 0.1**2, 2 * rows * 0.5**2 + 9 * 2.0**2
    assert ratio.item() == pytest.approx((changed / weights) ** 0.5, rel=1e-4)


def test_rates_are_told_where_they_differ():
    groups = [{"role": "matrix", "lr": 0.1}, {"role": "head", "lr": 0.1}]
    assert group_rates(groups) == {}
    groups[1]["lr"] = 0.2
    assert group_rates(groups) == {"lr/matrix": 0.1, "lr/head": 0.2}


def test_a_run_measures_them_now_and_then_and_shows_the_newest(tiny, train):
    run = train(tiny({"training.steps": 45, "training.relative_rates": {"embedding": 4}}))
    lines = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
    sampled = [line for line in lines if "update_ratio" in line]
    assert [line["step"] for line in sampled] == [20, 40, 45]
    for line in sampled:
        assert 1e-5 < line["update_ratio"] < 0.1
        layers = [line[f"grad_norm/{name}"] for name in ("tokens", "blocks", "norm")]
        assert sum(norm**2 for norm in layers) ** 0.5 == pytest.approx(line["grad_norm"], rel=1e-3)
    assert all(line["lr/embedding"] == pytest.approx(4 * line["lr"]) for line in lines if line["step"])
    assert not {"mfu", "gpu_busy"} & lines[-1].keys(), "a CPU has no peak that is known"
    metrics = run.status().metrics
    assert metrics["update_ratio"] == lines[-1]["update_ratio"]
    assert [title for title, _ in training_in_words(metrics)] == ["Update ratio", "Layer gradients", "Learning rates"]


def test_of_many_layers_the_extremes_are_told():
    metrics = {f"grad_norm/h.{layer}": 1.0 + layer for layer in range(48)}
    assert training_in_words(metrics) == [("Layer gradients", "h.0 1 to h.47 48, median of 48 24.5")]
