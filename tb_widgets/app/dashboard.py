"""The dashboard: a session that has a page, driven by the page's own heartbeat."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tb_widgets.app.page.view import PageView
from tb_widgets.app.parts.heartbeat import Heartbeat
from tb_widgets.app.registry import find_panels
from tb_widgets.app.session import Session
from tb_widgets.app.state.kept import Choices, Kept
from tb_widgets.app.state.locking import one_at_a_time
from tb_widgets.app.steps import STEPS
from tb_widgets.app.words import Message, error_message
from tb_widgets.errors import RunError, TbError
from tb_widgets.spec import RunSpec

logger = logging.getLogger(__name__)

QUEUE_EVERY = 10  # beats
BUSY, IDLE = 500, 1500  # milliseconds between two beats, while something moves and while nothing does


class Dashboard(Session):
    """Choose a model and a text, press Start, watch a transformer learn; pause, stop, resume, let it write.

    Show it by leaving it as the last line of a notebook cell. Everything that its buttons do is a method.

    Parameters
    ----------
    spec
        What the form begins with. By default it is what was chosen in this runs folder last, which the dashboard
        keeps there, and at first the ``quick`` preset.
    runs_dir
        Where runs live; ``TB_RUNS_DIR`` or ``./runs`` by default.
    run
        A run to open, by id or path. Otherwise the newest run that is at work is opened, or the one that was open
        before.

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
        # A spec that a script gives is what it wants; and visitors of a shared page would see each other's choices.
        self._kept = Kept(self.service.runs_dir) if spec is None and self.policy.is_owner else None
        self._recall(open_run=run is None)
        self._has_address = False
        self._beats = 0
        find_panels()
        on_visitor = None if self.policy.is_owner else self.policy.meet
        self.page = PageView(self, Heartbeat(self.on_beat, self.on_address, on_visitor=on_visitor))
        self.bring_up_to_date()

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
        if self._kept is not None and self.has_page:
            self._kept.write(self._choices())

    def _follow_other_pages(self) -> None:
        """Take over what was chosen in another tab on this folder, before anything of this page is kept."""
        if self._kept is None or not self.has_page:
            return
        try:
            news = self._kept.news()
            if news is not None:
                self.draft.restore(news.draft)
                self.choice.restore(news.checks)
                self._kept.accept(self._choices())
        except ValueError:
            logger.exception("what another page has kept is damaged")
            self._kept.set_aside()

    def _choices(self) -> Choices:
        run = self.watch.run.id if self.watch.run is not None else ""
        return Choices(self.step, run, self.draft.keep(), self.choice.keep())

    def _recall(self, *, open_run: bool) -> None:
        """Begin with what was kept."""
        if self._kept is None:
            return
        self._kept.begin(self._choices())
        try:
            found = self._kept.read()
            if found is None:
                return
            self.draft.restore(found.draft)
            self.choice.restore(found.checks)
        except ValueError:
            logger.exception("what this page had kept is damaged")
            aside = self._kept.set_aside()
            self.message = Message(f"The choices kept in this folder are damaged and were set aside as {aside.name}.")
            return
        except RunError as error:
            self.message = error_message(error)
            return
        self.step = found.step if found.step in STEPS else self.step
        if open_run and found.run:
            try:
                self.watch.attach(self.service.attach(found.run))
            except TbError:
                logger.info("the run that was open is gone", exc_info=True)

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
            self.bring_up_to_date(self.open_newest if first else self._follow_other_pages)
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
