"""A process that keeps its freed memory pays for each page once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

COUNT_FAULTS = """
import json, resource, sys
import torch
from tb_widgets.engine.memory import keep_freed_memory

torch.set_num_threads(1)
arranged = keep_freed_memory() if sys.argv[1] == "keep" else None
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for step in range(20):
    if step == 10:  # what glibc keeps has its size by now
        before = faults()
    torch.ones(16_000_000)  # 64 MB, as the logits of 32 x 128 tokens over 4,096 pieces
print(json.dumps({"arranged": arranged, "faults": faults() - before}))
"""


def count_faults(how: str) -> dict[str, int | bool | None]:
    child = subprocess.run(
        [sys.executable, "-c", COUNT_FAULTS, how], capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(child.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc gives freed memory back at once")
def test_blocks_of_a_step_are_used_again_by_the_next() -> None:
    kept, given_back = count_faults("keep"), count_faults("leave")
    assert kept["arranged"]
    assert given_back["faults"] > 10 * 10_000, "else there is nothing to keep"
    assert kept["faults"] < given_back["faults"] / 20
