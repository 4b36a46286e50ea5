"""How well a GPU is used: the FLOPs of a model by the book, peaks by name, and what no driver tells is left out."""

from __future__ import annotations

import json

import pytest
import torch

from tb_widgets.engine import trainer
from tb_widgets.engine.gpu_use import GpuWatch, flops_per_read, peak_flops
from tb_widgets.models.load import from_module
from tb_widgets.models.zoo import gpt

LAYERS, WIDTH, LENGTH, VOCABULARY = 3, 32, 64, 50


def test_a_gpt_needs_what_the_book_says():
    sizes = {"vocab_size": VOCABULARY, "context_length": LENGTH, "n_layer": LAYERS, "n_head": 4, "n_embd": WIDTH}
    module = gpt.build_model(sizes).train()
    weights = 12 * LAYERS * WIDTH**2 + VOCABULARY * WIDTH  # the head shares the table, and is a product
    state, generator = module.state_dict(), torch.get_rng_state()
    batch = {"tokens": torch.zeros(8, LENGTH, dtype=torch.int64)}
    flops = flops_per_read(from_module(module), batch, torch.float32)
    assert flops == 6 * weights + 12 * LAYERS * LENGTH * WIDTH
    assert module.training
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("name", "half", "full"),
    [
        ("Tesla T4", 65e12, 8.1e12),
        ("NVIDIA L4", 121e12, 30.3e12),
        ("NVIDIA A10G", 70e12, 31.5e12),
        ("NVIDIA A100-SXM4-40GB", 312e12, 19.5e12),
        ("NVIDIA A100 80GB PCIe", 312e12, 19.5e12),
        ("NVIDIA H200", 989e12, 67e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12, 82.6e12),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None, None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None, None),
        ("CPU", None, None),
    ],
)
def test_peaks_are_those_of_the_very_device(name, half, full):
    assert (peak_flops(name, torch.bfloat16), peak_flops(name, torch.float32)) == (half, full)


def test_a_run_tells_its_share_of_the_peak(tiny, train, monkeypatch):
    monkeypatch.setattr(trainer, "peak_flops", lambda name, dtype: 1e12)
    lines = map(json.loads, train(tiny()).metrics_file.read_text().splitlines())
    told = [(line["mfu"], line["tokens_per_second"]) for line in lines if line.get("tokens_per_second")]
    flops = 6 * (12 * 16**2 + 257 * 16) + 12 * 16 * 16
    assert told
    for share, speed in told:
        assert share == pytest.approx(speed * flops / 1e12, abs=2e-4)


def test_a_driver_that_does_not_answer_is_asked_once(monkeypatch):
    asked = []

    def utilization(device):
        asked.append(device)
        if len(asked) > 1:
            raise ModuleNotFoundError("pynvml does not seem to be installed")
        return 87

    monkeypatch.setattr(torch.cuda, "utilization", utilization)
    watch = GpuWatch(torch.device("cuda"))
    assert [watch.busy() for _ in range(4)] == [0.87, None, None, None]
    assert len(asked) == 2
    assert GpuWatch(torch.device("cpu")).busy() is None
