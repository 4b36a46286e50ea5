"""The steps across the top of the page."""

from __future__ import annotations

import anywidget
import traitlets

from tb_widgets.app.assets import read_asset
from tb_widgets.app.parts.widgets import Bare


class StepBar(Bare, anywidget.AnyWidget):  # type: ignore[misc]
    """A row of tabs. ``steps`` holds dictionaries with id, title, summary and mark (``✓``, ``▲``, ``!`` or empty)."""

    _esm = read_asset("parts/step_bar.js")
    steps: traitlets.List[dict[str, str]] = traitlets.List().tag(sync=True)
    selected = traitlets.Unicode().tag(sync=True)
