"""Watching a run from a terminal, a notebook cell, or a log file."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Protocol

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from tb_widgets.display.baselines import passed_in_words
from tb_widgets.display.run_words import activity, left_in_words, metrics_in_words, speed_in_words, waiting_for
from tb_widgets.display.terminal_plot import KEYS, SMOOTHING, draw_losses
from tb_widgets.runs import RunDirectory, Status
from tb_widgets.runs.baselines import PASSED, Baseline
from tb_widgets.runs.curve import Curves
from tb_widgets.runs.journal import Follower
from tb_widgets.runs.numbers import finite
from tb_widgets.wording import duration

_LOOK_EVERY = 0.2  # seconds between two looks at the run
WIDEST = 100  # characters; a longer bar says no more
# What steers a terminal or turns the direction of writing, and the sign that stands for it.
_SIGNS = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"} | {0x7F: 0x2421}
_SIGNS |= dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)


def show_controls(text: str) -> str:
    """Show the control characters of a text by signs, so that a terminal does not obey them.

    >>> show_controls("\\x1b[31mred")
    '␛[31mred'
    """
    return text.translate(_SIGNS)


class Screen(Console):
    """A console for words of others: data, file names and runs may hold what would steer a terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is printed; only what rich itself writes may steer the terminal."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=show_controls(segment.text))


class Messages:
    """What the events of a run have to say on a terminal: each warning once, and what its model is now better than.

    Parameters
    ----------
    after
        Number of the last event that is history: a run that is resumed warns again of what still holds.
    """

    def __init__(self, run: RunDirectory, *, after: int = 0) -> None:
        self._follower, self._after = Follower(run.events_file), after
        self._warned: set[str] = set()

    def new(self) -> list[Text]:
        """Return the lines that have come since the last call."""
        events = [event for event in self._follower.read().records if (finite(event.get("n")) or 0) > self._after]
        found = [str(event.get("message", "")) for event in events if event.get("kind") == "warning"]
        warnings = [sentence for sentence in dict.fromkeys(found) if sentence and sentence not in self._warned]
        self._warned.update(warnings)
        # Of several that one validation has passed, the lowest: it comes last.
        passed = {finite(event.get("step")): event for event in events if event.get("kind") == PASSED}
        return [*map(_warning_line, warnings), *(_passed_line(step, event) for step, event in passed.items())]


WARNING = Text.assemble(("⚠ warning: ", "bold yellow"))
"""What a warning begins with on a terminal."""


def _warning_line(sentence: str) -> Text:
    return Text.assemble(WARNING, sentence)


def _passed_line(step: float | None, event: dict[str, Any]) -> Text:
    passed = Baseline(str(event.get("name", "")), finite(event.get("baseline")) or 0.0)
    return Text.assemble(("✓ ", "bold green"), f"step {step or 0:,.0f}: {passed_in_words(passed)}")


class _Display(Protocol):
    def __enter__(self) -> _Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def tell(self, line: Text) -> None: ...

    def show(self, status: Status) -> None: ...


def doing(screen: Console | None, what: str) -> AbstractContextManager[object]:
    """Show what is being done, until it is done, where something can be drawn anew."""
    if screen is None or not (screen.is_terminal or screen.is_jupyter):
        return nullcontext()
    return screen.status(Text(f"{what} ..."))


def watch(
    run: RunDirectory,
    *,
    timeout: float | None = None,
    console: Console | None = None,
    curve: bool = False,
    messages: Messages | None = None,
) -> Status:
    """Show a run's progress until it has ended, and return how.

    A terminal and a notebook get a bar that is drawn anew in place; anything else gets a line for every phase and
    every evaluation. Messages stand above the bar, or between the lines. Interrupting it leaves the run alone.

    Parameters
    ----------
    timeout
        Seconds; None waits for ever.
    console
        Where to draw; standard output by default.
    curve
        Draw the losses above the bar as well.
    messages
        Those that were not told yet; by default all of the run.

    Raises
    ------
    TimeoutError
        If the run has not ended in time.
    """
    console = console or Screen()
    messages = messages or Messages(run)
    redraws = console.is_jupyter or (console.is_terminal and not console.is_dumb_terminal)
    deadline = None if timeout is None else time.monotonic() + timeout
    display: _Display = _Redrawn(run, console, curve=curve) if redraws else _Lines(run, console)
    with display:
        while True:
            status = run.status()
            for line in messages.new():
                display.tell(line)
            display.show(status)
            if not status.is_active:
                return status
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"{run.id} is still {status.state} after {timeout} seconds.")
            time.sleep(_LOOK_EVERY)


class _Redrawn:
    """A bar and the newest metrics, drawn anew in place, always by the watching thread."""

    def __init__(self, run: RunDirectory, console: Console, *, curve: bool) -> None:
        self._run, self._console, self._curve = run, console, curve
        self._follower = Follower(run.metrics_file)
        self._curves = Curves(KEYS, SMOOTHING)
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> _Redrawn:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.transient = kind is not None  # whoever was interrupted may want to draw it again further down
        self._live.stop()

    def tell(self, line: Text) -> None:
        self._live.console.print(line)

    def show(self, status: Status) -> None:
        width = min(self._console.width, WIDEST)
        parts: list[RenderableType] = []
        if self._curve and status.is_active:
            news = self._follower.read()
            if news.restarted:
                self._curves.clear()
            self._curves.extend(news.records)
            if len(self._curves["train/loss"]) > 1:
                parts += [draw_losses(self._curves, status.task, width=min(width, 80) - 2), Text()]
        parts += progress_lines(self._run.id, status, width)
        self._live.update(Group(*parts), refresh=True)


GREEN = "green"  # where there are only 8 colours, rich's own are red and grey


def progress_lines(run_id: str, status: Status, width: int) -> list[RenderableType]:
    """Return a run's state as three lines that fit: who, how far, how well; and what it waits for, if it does."""
    doing = f"  {activity(status)}"
    title = Text(_with_end(run_id, width - cell_len(doing)), style="bold", no_wrap=True, overflow="ellipsis")
    title.append(doing, style=f"not bold {STATE_STYLES.get(status.state, '')}")
    in_training = status.step > 0 or status.state == "running"
    share = status.step / max(1, status.total) if in_training else (status.progress or 0.0)
    place = f"step {status.step:,} of {status.total:,}" if in_training else f"{100 * share:.0f} %"
    bar = Table.grid(padding=(0, 2, 0, 0))
    bar.add_row(
        ProgressBar(
            total=1.0,
            completed=share,
            width=max(10, width - len(place) - 4),
            complete_style=GREEN,
            finished_style=GREEN,
        ),
        Text(place),
    )
    told = Text(" · ".join(_fitting(status, width)), no_wrap=True, overflow="ellipsis")
    lines: list[RenderableType] = [title, bar, told]
    if waits := waiting_for(status):
        lines.append(Text(waits, style="yellow"))
    return lines


def _with_end(run_id: str, width: int) -> str:
    """Return a run's id that is no wider; what names it in commands, its end, stays."""
    return run_id if len(run_id) <= width else f"{run_id[: max(0, width - 6)]}…-{run_id[-4:]}"


def _fitting(status: Status, width: int) -> list[str]:
    """Return metrics, speed and times that fit into a line; what says least is left out first, the time left never."""
    metrics = metrics_in_words(status.metrics or {})
    # Each with its place among what is kept; metrics after the losses say the same as these in another way.
    parts = [(text, min(number, 2) * 2 + 1) for number, text in enumerate(metrics)]
    parts += [(" ".join(fast), 4)] if (fast := speed_in_words(status)) else []
    parts += [(f"elapsed {duration(status.elapsed)}", 4)] if status.elapsed else []
    parts += [(left_in_words(status), 0)] if status.eta is not None and status.state == "running" else []
    while len(parts) > 1 and cell_len(" · ".join(text for text, _ in parts)) > width:
        last = max(place for _, place in parts)
        del parts[max(number for number, (_, place) in enumerate(parts) if place == last)]
    return [text for text, _ in parts]


STATE_STYLES = {
    "running": "cyan",
    "preparing": "cyan",
    "done": "green",
    "paused": "yellow",
    "stopping": "yellow",
    "stopped": "yellow",
    "failed": "red",
    "interrupted": "red",
}


class _Lines:
    """One line for every phase and every evaluation, for files and pipes."""

    def __init__(self, run: RunDirectory, console: Console) -> None:
        self._run, self._console = run, console
        self._follower = Follower(run.metrics_file)
        self._said = ""
        # What was evaluated before we came is history.
        self._shown_step = run.status().step

    def __enter__(self) -> _Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def tell(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)

    def show(self, status: Status) -> None:
        for record in self._follower.read().records:
            step = finite(record.get("step"))
            if record.get("val/loss") is not None and step is not None and step > self._shown_step:
                self._shown_step = int(step)
                left = [left_in_words(status)] if status.eta is not None else []
                parts = metrics_in_words(record, status) + left
                self._print(f"step {self._shown_step:,} of {status.total:,}: {', '.join(parts)}")
        now = f"{activity(status)}. {waiting_for(status)}".removesuffix(". ")
        if now != self._said and status.is_active:
            self._said = now
            self._print(f"{self._run.id}: {now}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
