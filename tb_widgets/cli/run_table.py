"""Tables of runs: the list, as wide as the terminal is, and the comparison."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from tb_widgets.cli.screen import print_json
from tb_widgets.display.run_words import best_in_words
from tb_widgets.display.terminal import STATE_STYLES, show_controls
from tb_widgets.runs import RunEntry
from tb_widgets.spec.metrics import METRICS
from tb_widgets.wording import age_in_words, duration, plain_number, run_name

if TYPE_CHECKING:
    from pandas import DataFrame

_TITLES = ("run", "state", "step", "best", "age", "model", "data")
_WHOLE = ("state", "step", "best", "age")  # never cut and never left out
_RIGHT = ("step", "best")
_GAP = 2
_LEAST = {"model": 16, "data": 16}  # characters; with less than these a column says too little to be there
_WIDE, _LEAST_NAME = 100, 31  # from so many columns on, a long name gives way as well


def run_lines(entries: Sequence[RunEntry], width: int | None) -> Iterable[Text]:
    """Yield the lines of a table of runs.

    Where there is little room, data and model are left out first; then names are cut, between words. What a run is
    called in commands, the end of its id, is always there.

    Parameters
    ----------
    width
        Columns of the terminal; ``None`` where nothing has to fit.
    """
    rows = [_cells(entry) for entry in entries]
    natural = {title: max(cell_len(title), *(cell_len(row[title]) for row in rows)) for title in _TITLES}
    widths = natural if width is None else _fitted(natural, width)
    yield _line({title: title for title in widths}, widths, "bold")
    for entry, row in zip(entries, rows, strict=True):
        cells = {title: cut(row[title], width) for title, width in widths.items() if title != "run"}
        cells["run"] = _cut_name(row["run"], widths["run"])
        yield _line(cells, widths, state_style=STATE_STYLES.get(entry.status.state, ""))


def print_table(table: DataFrame, screen: Console, *, as_json: bool) -> None:
    """Print compared runs side by side, or as one line of JSON by their ids."""
    if as_json:
        print_json(json.loads(table.to_json(orient="index")))
        return
    for line in comparison_lines(table, screen.width if screen.is_terminal else None):
        screen.print(line, soft_wrap=True)


def comparison_lines(table: DataFrame, width: int | None) -> Iterable[Text]:
    """Yield the lines of a comparison: a column for each run, in blocks of as many as fit side by side.

    Parameters
    ----------
    width
        Columns of the terminal; ``None`` where nothing has to fit.
    """
    titles = [str(title) for title in table.columns]
    first = max(map(cell_len, titles))
    runs = [[str(name)[-4:], *map(_compared, titles, row)] for name, row in zip(table.index, table.values, strict=True)]
    most = max(8, (width - first) // 2 - _GAP) if width is not None else None  # two runs are always side by side
    columns = [[cell if most is None else cut(cell, most) for cell in run] for run in runs]
    blocks: list[list[list[str]]] = []
    for column in columns:
        wide = first + sum(_GAP + max(map(cell_len, cells)) for cells in [*(blocks[-1] if blocks else []), column])
        if not blocks or (width is not None and wide > width):
            blocks.append([])
        blocks[-1].append(column)
    for number, block in enumerate(blocks):
        if number:
            yield Text()
        widths = [max(map(cell_len, cells)) for cells in block]
        for place, title in enumerate(["", *titles]):
            cells = [_padded(cells[place], wide) for cells, wide in zip(block, widths, strict=True)]
            yield Text((" " * _GAP).join([_padded(title, first), *cells]).rstrip(), style="" if place else "bold")


def _compared(title: str, value: Any) -> str:
    """Return a value of a comparison as people read it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):  # a run without it
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if title in METRICS:
            return METRICS[title].written(value)
        if title == "seconds":
            return duration(value)
        return f"{value:,}" if float(value).is_integer() else plain_number(value)
    return show_controls(" ".join(str(value).split()))


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def cut(text: str, width: int) -> str:
    """Return a text that is no wider, cut between two words where it has some.

    >>> cut("shakespeare-complete.txt", 20), cut("small-gpt", 20)
    ('shakespeare…', 'small-gpt')
    """
    if cell_len(text) <= width:
        return text
    ends = [found.end() for found in re.finditer(r"[^\W_]+", text)]
    whole = [text[:end] for end in ends if cell_len(text[:end]) < width]
    return f"{whole[-1] if whole else set_cell_size(text, max(1, width - 1))}…"


def _cut_name(name: str, width: int) -> str:
    """Return a run's name that is no wider, with the end of its id."""
    if cell_len(name) <= width:
        return name
    text, mark, end = name.rpartition(" · ")
    return cut(text, width - cell_len(mark + end)) + mark + end


def _cells(entry: RunEntry) -> dict[str, str]:
    status = entry.status
    is_over = status.step == status.total
    cells = {
        "run": run_name(entry.run.id, status.name),
        "state": status.state,
        "step": f"{status.total:,}" if is_over else f"{status.step:,} / {status.total:,}",
        "best": best_in_words(status.best) if status.best else "",
        "age": age_in_words(time.time() - status.created) if status.created else "",
        "model": status.model,
        "data": Path(status.data).name,
    }
    return {title: show_controls(" ".join(text.split())) for title, text in cells.items()}


def _fitted(natural: dict[str, int], width: int) -> dict[str, int]:
    room = width - sum(natural[title] + _GAP for title in _WHOLE)
    name = natural["run"] if width < _WIDE else min(natural["run"], _LEAST_NAME)
    more: tuple[str, ...]
    for more in (("model", "data"), ("model",)):
        widths = {"run": name} | {title: min(natural[title], _LEAST[title]) for title in more}
        spare = room - sum(widths.values()) - _GAP * len(more)
        if spare >= 0:
            break
    else:
        more, spare = (), 0
        widths = {"run": min(natural["run"], max(room, 12))}
    for title in (*more, "run"):
        longer = min(natural[title] - widths[title], spare)
        widths[title] += longer
        spare -= longer
    return {title: widths.get(title, natural[title]) for title in _TITLES if title in (*_WHOLE, *widths)}


def _line(cells: dict[str, str], widths: dict[str, int], style: str = "", *, state_style: str = "") -> Text:
    padded = []
    for title, width in widths.items():
        blank = " " * (width - cell_len(cells[title]))
        text = blank + cells[title] if title in _RIGHT else cells[title] + blank
        padded.append(Text(text, style=state_style if title == "state" else style))
    line = Text(" " * _GAP).join(padded)
    line.rstrip()
    return line
