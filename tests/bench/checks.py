"""All checks of a GPT of ten million parameters, from the question to the last answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from tb_widgets.checks.result import any_failed
from tb_widgets.models.sources.resolve import resolve
from tb_widgets.service.probing import ProbeService
from tb_widgets.spec import ModelSpec
from tests.bench.figure import Figure

MODEL = ModelSpec(preset="medium")  # 10.7 M with a vocabulary of 300


def measure(folder: Path) -> Iterator[Figure]:
    source = resolve(MODEL, vocab_size=300, context_length=256)
    seconds, alone = [], []
    for _ in range(2):
        began = time.perf_counter()
        probe = ProbeService().check(source, MODEL, tier=2).wait()
        seconds.append(time.perf_counter() - began)
        alone.append(sum(result.seconds for result in probe.results))
        assert not any_failed(probe.results)
    how = f"{probe.answer['parameters'] / 1e6:.1f} M parameters; the checks alone {min(alone):.1f} s; best of 2"
    yield Figure("tier 1 + tier 2 of a 10 M GPT", min(seconds), "s", "at most", 10.0, how)
