"""The lines that a terminal shows while a run trains."""

from __future__ import annotations

import pytest
from rich.console import Console

from tb_widgets.display.terminal import progress_lines
from tb_widgets.runs import Status

RUNNING = Status(
    state="running",
    step=1200,
    total=5000,
    metrics={"train/loss": 2.1134, "val/loss": 2.2041, "val/perplexity": 1009.06},
    tokens_per_second=1_213_000,
    elapsed=3900,
    eta=12_000,
)
NAME = "20261123-141502-a-very-long-name-of-a-run-k3f9"


def drawn(width: int, status: Status = RUNNING) -> list[str]:
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        for line in progress_lines(NAME, status, width):
            console.print(line)
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_the_time_left_and_the_state_are_never_cut(width):
    title, bar, told = drawn(width)

    assert title.endswith("k3f9  running")
    assert "step 1,200 of 5,000" in bar
    assert told.startswith("loss 2.113 · ")
    assert told.endswith(" · about 3:20:00 left")
    assert max(map(len, (title, bar.rstrip(), told))) <= width


def test_what_says_least_is_left_out_first():
    assert drawn(120)[2] == (
        "loss 2.113 · validation 2.204 · perplexity 1,009.1 · 1,213,000 tokens/s · elapsed 1:05:00 · about 3:20:00 left"
    )
    assert drawn(100)[2] == (
        "loss 2.113 · validation 2.204 · 1,213,000 tokens/s · elapsed 1:05:00 · about 3:20:00 left"
    )
    assert drawn(80)[2] == "loss 2.113 · validation 2.204 · 1,213,000 tokens/s · about 3:20:00 left"
    assert drawn(60)[2] == "loss 2.113 · validation 2.204 · about 3:20:00 left"
    assert drawn(40)[2] == "loss 2.113 · about 3:20:00 left"
