"""The list of runs on terminals of several widths."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pandas import DataFrame
from rich.cells import cell_len

from tb_widgets.cli.run_table import comparison_lines, cut, run_lines
from tb_widgets.runs import RunDirectory, RunEntry, Status

NIGHT = "sweep-over-learning-rates-of-the-night"


def entry(name: str, end: str, **facts: object) -> RunEntry:
    status = {"state": "done", "step": 5000, "total": 5000, "created": time.time() - 90_000, "name": name}
    status |= {"model": "gpt shakespeare-char", "data": "hub:roneneldan/TinyStories"}
    return RunEntry(RunDirectory(Path(f"20261123-141502-{name}-{end}")), Status(**(status | facts)))  # type: ignore[arg-type]


RUNS = [
    entry("tiny-gpt", "k3f9", best={"monitor": "val/loss", "value": 2.1, "step": 1}),
    entry(NIGHT, "m2p4", state="interrupted", step=1_234_567, total=10_000_000),
    entry("春天", "abcd", state="running", step=101_000, best={"monitor": "val/accuracy", "value": 0.1729, "step": 1}),
]


def lines(width: int | None) -> list[str]:
    return [line.plain for line in run_lines(RUNS, width)]


@pytest.mark.parametrize("width", [64, 80, 100, 120])
def test_what_matters_is_whole_at_every_width(width):
    header, first, second, third = lines(width)
    assert max(map(cell_len, lines(width))) <= width
    assert header.split()[:5] == ["run", "state", "step", "best", "age"]
    for row, end in ((first, "k3f9"), (second, "m2p4"), (third, "abcd")):
        assert f" · {end}  " in row
        assert "  1 day" in row
    for words in ("  done  ", "  5,000   2.100  "):
        assert words in first
    assert "  interrupted  1,234,567 / 10,000,000  " in second
    for words in ("  running  ", "  101,000 / 5,000  17.3 %  "):
        assert words in third


def test_80_columns_show_what_fits_and_cut_names_between_words():
    header, first, second, _ = lines(80)
    assert header.split() == ["run", "state", "step", "best", "age"]
    assert first.startswith("tiny-gpt · k3f9  ")
    assert second.startswith("sweep-over-learning… · m2p4 ")


def test_short_names_leave_room_for_the_model_at_80_columns():
    header, row, _ = (line.plain for line in run_lines([RUNS[0], entry("tiny-gpt-with-more-layers", "aaaa")], 80))
    assert header.split()[5:] == ["model"]
    assert row.endswith("  gpt shakespeare…")


def test_120_columns_show_everything():
    header, first, _, _ = lines(120)
    assert header.split()[5:] == ["model", "data"]
    assert first.endswith("  gpt shakespeare-char  TinyStories")


def test_a_file_has_no_edge():
    assert lines(None)[2].startswith(f"{NIGHT} · m2p4  interrupted")


def test_a_single_long_word_is_cut_where_it_must_be():
    assert cut("x" * 30, 10) == "x" * 9 + "…"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_comparison_fits_in_blocks_of_two_runs_or_more_with_numbers_as_elsewhere(width):
    facts = {"data": "/a/long/path/to/a/folder/of/somebody/text.txt", "parameters": 430_752, "val/accuracy": 0.2312}
    rows = [facts | {"training.learning_rate": 3e-4, "seconds": 73.4}, facts | {"val/accuracy": None}] * 2
    table = DataFrame(rows, index=["20261123-1-a-aaaa", "20261123-1-b-bbbb", "20261123-1-c-cccc", "20261123-1-d-dddd"])

    lines = [line.plain for line in comparison_lines(table, width)]

    assert max(map(len, lines)) <= width
    heads = [line.split() for line in lines if "aaaa" in line or "cccc" in line or "dddd" in line]
    assert [name for names in heads for name in names] == ["aaaa", "bbbb", "cccc", "dddd"]
    assert all(len(names) >= 2 for names in heads[:-1])
    for told in ("430,752", "23.1 %", "0.0003", "1:13"):
        assert told in " ".join(lines)
