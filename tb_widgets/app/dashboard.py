"""The dashboard: a session that has a page, driven by the page's own heartbeat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tb_widgets.app.page.view import PageView
from tb_widgets.app.parts.heartbeat import Heartbeat
from tb_widgets.app.registry import find_panels
from tb_widgets.app.session import Session
from tb_widgets.app.state.locking import one_at_a_time
from tb_widgets.app.steps import STEPS
from tb_widgets.errors import RunError
from tb_widgets.spec import RunSpec

QUEUE_EVERY = 10  # beats
BUSY, IDLE = 500, 1500  # milliseconds between two beats, while something moves and while nothing does


class Dashboard(Session):
    """Choose a model and a text, press Start, watch a transformer learn; pause, stop, resume, let it write.

    Show it by leaving it as the last line of a notebook cell. Everything that its buttons do is a method.

    Parameters
    ----------
    spec
        What the form begins with; the ``quick`` preset by default.
    runs_dir
        Where runs live; ``TB_RUNS_DIR`` or ``./runs`` by default.
    run
        A run to open, by id or path. Otherwise the newest run that is at work is opened, or the newest of all.

    Attributes
    ----------
    page
        What can be seen; see :class:`tb_widgets.app.page.view.PageView`.

    Notes
    -----
    Building it starts no thread, no process and no run folder: that waits until a page is there.
    """

    def __init__(
        self, spec: RunSpec | None = None, *, runs_dir: str | Path | None = None, run: str | Path | None = None
    ) -> None:
        super().__init__(spec, runs_dir=runs_dir, run=run)
        self._has_address = False
        self._beats = 0
        find_panels()
        on_visitor = None if self.policy.is_owner else self.policy.meet
        self.page = PageView(self, Heartbeat(self.on_beat, self.on_address, on_visitor=on_visitor))
        self.refresh()

    @one_at_a_time
    def show(self, step: str) -> None:
        """Show a step: ``model``, ``check``, ``data``, ``train`` or ``runs``.

        Raises
        ------
        RunError
            If there is no such step.
        """
        if step not in STEPS:
            raise RunError(f"There is no step {step!r}.", hint=f"There are {', '.join(STEPS)}.")
        super().show(step)

    @one_at_a_time
    def close(self) -> None:
        """Take the dashboard off its pages and end what it has begun, except for runs: they go on without it."""
        self.page.close()
        super().close()

    @one_at_a_time
    def act(self, handler: Callable[[], Any]) -> None:
        """Run a click's handler as :meth:`Session.act` does, and let the page ask soon what came of it."""
        super().act(handler)
        self.page.heartbeat.hurry()

    @one_at_a_time
    def refresh(self) -> None:
        """Read what is new and show it. The heartbeat calls this; so may a script."""
        super().refresh()
        self.page.refresh()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.page.widget)

    def on_beat(self, kind: str, figure: bool, narrow: bool | None = None) -> int:
        """Answer the page. Everything that moves on it moves in here."""
        with self._lock:
            first = kind == "ready" and not self.has_page
            self.has_page = self.has_page or kind == "ready"
            self.figure_is_there = figure
            self.page_is_narrow = self.page_is_narrow if narrow is None else narrow
            self._beats += 1
            self.bring_up_to_date(self.open_newest if first else None)
            if self._beats > 1:
                self.warm()
            if self._beats % QUEUE_EVERY == 1:
                self.service.tend_queue()  # a notebook that is gone may have left runs that wait
            return BUSY if self.is_busy or not self.figure_is_there else IDLE

    def on_address(self, address: str) -> None:
        """Load the Gist that the page's own address names, once."""
        if not self._has_address:
            self._has_address = True
            self.act(lambda: self._open_address(address))

    def _open_address(self, address: str) -> None:
        self.show("model")
        self.load_model(address)
