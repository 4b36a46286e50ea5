"""The one live Plotly figure: made late, updated sparingly, never leaked."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from html import escape
from typing import Any

from tb_widgets.app.parts import widgets
from tb_widgets.display.baselines import baseline_shapes
from tb_widgets.display.figure import (
    arrangement,
    curves_in_words,
    figure_parts,
    figure_points,
    follow_task,
    name_steps,
    show_ticks,
    space_ticks,
)
from tb_widgets.display.marks import Mark, mark_shapes
from tb_widgets.runs.baselines import Baselines
from tb_widgets.runs.curve import Curves


class LiveFigure:
    """A plot for every metric and one for the learning rate, in a FigureWidget.

    The widget is made on the first beat of a page, because its bundle is large; until then its space is kept. Points
    are sent only once the page says that the figure stands there, because what is sent before is lost.
    """

    def __init__(self) -> None:
        self._place = widgets.VBox([widgets.HTML('<span class="tbw-muted">Preparing the curves …</span>')])
        self._place.add_class("tbw-figure")
        self._told = widgets.HTML()  # the same for those who do not see it
        self._told.add_class("tbw-unseen")
        self.box = widgets.VBox([self._place, self._told])
        self._figure: Any = None
        self._drawn: list[tuple[list[float], list[float]]] = []
        self._shapes: list[dict[str, Any]] = []
        self._log_scale = False
        self._there = False
        self._is_new_page = False
        self._narrow = self._is_narrow = False  # what the page is, and how the figure is arranged
        self._import: threading.Thread | None = None

    def make(self) -> None:
        """Make the figure once Plotly is there; call it on every beat.

        Importing Plotly takes a second or more, and a click must not wait for it: a thread does that, and touches
        no widget.
        """
        if self._figure is not None:
            return
        if self._import is None:
            self._import = threading.Thread(target=_import_plotly, name="import-plotly", daemon=True)
            self._import.start()
            return
        if self._import.is_alive():
            return
        if "google.colab" in sys.modules:
            from google.colab import output  # type: ignore[import-not-found]

            output.enable_custom_widget_manager()
        from plotly.graph_objects import FigureWidget

        parts = figure_parts()
        self._drawn = [([], []) for _ in parts["data"]]
        self._figure = FigureWidget(parts)
        name_steps(self._figure)
        if self._narrow:  # before it is seen: nothing jumps
            self._figure.update_layout(arrangement(narrow=True))
            self._is_narrow = True
        self._figure._config = {"displayModeBar": False, "displaylogo": False, "responsive": True}
        self._place.children = (self._figure,)

    def page_says(self, there: bool, *, narrow: bool = False) -> None:
        """Hear from the page whether the figure stands there; a page that is new gets every point again.

        Where the page is ``narrow``, the plots stand below each other.
        """
        self._is_new_page |= there and not self._there
        self._there, self._narrow = there, narrow
        if there and narrow != self._is_narrow and self._figure is not None:
            self._figure.update_layout(arrangement(narrow=narrow))
            self._is_narrow = narrow

    def draw(
        self,
        curves: Curves,
        task: str = "",
        total: int | None = None,
        baselines: Baselines | None = None,
        marks: Sequence[Mark] = (),
    ) -> bool:
        """Send the lines that have changed; return False while the page has no figure yet.

        Parameters
        ----------
        task
            What the run learns, which says what the plots are of; empty for a model that continues texts.
        total
            Steps of the run, to whose end the plots reach.
        baselines
            Losses without a model, lines beside that of the model.
        marks
            Where the run has mended itself.
        """
        if self._figure is None or not self._there:
            return False
        import numpy as np

        points, baselines = figure_points(curves, task), baselines or Baselines()
        self._told.value = escape(curves_in_words(curves, task, total, baselines, marks))
        if self._is_new_page:
            self._blank()
            self._is_new_page = False
        with self._figure.batch_update():
            follow_task(self._figure, task)
            for index, (new, old) in enumerate(zip(points, self._drawn, strict=True)):
                if new != old:
                    trace = self._figure.data[index]
                    trace.x, trace.y = np.asarray(new[0], dtype="float32"), np.asarray(new[1], dtype="float32")
            self._scale("log" if self._log_scale else "linear")
            show_ticks(self._figure.layout, points, total)
            self._show_shapes([*baseline_shapes(baselines, curves), *mark_shapes(marks)])
        self._drawn = points
        return True

    def _blank(self) -> None:
        """Begin as a new page does: Plotly sends only what differs from what it believes to be there."""
        empty: list[tuple[list[float], list[float]]] = [([], []) for _ in self._drawn]
        with self._figure.batch_update():
            for trace in self._figure.data:
                trace.x, trace.y = [], []
            show_ticks(self._figure.layout, empty)
            self._scale("linear")
            self._show_shapes([])
        self._drawn = empty

    def _show_shapes(self, shapes: list[dict[str, Any]]) -> None:
        if shapes != self._shapes:
            self._figure.layout.shapes = self._shapes = shapes

    def set_log_scale(self, on: bool) -> None:
        """Draw the loss on a logarithmic scale, or not."""
        self._log_scale = on
        if self._figure is not None and self._there:
            with self._figure.batch_update():
                self._scale("log" if on else "linear")
                space_ticks(self._figure.layout, self._drawn)

    def _scale(self, kind: str) -> None:
        if self._figure.layout.yaxis.type != kind:
            self._figure.layout.yaxis.type = kind


def _import_plotly() -> None:
    import plotly.graph_objects

    # Submodules are loaded when they are first used, and the widget is the heavy one.
    _ = plotly.graph_objects.FigureWidget
