"""A table in which one row can be chosen."""

from __future__ import annotations

import anywidget
import traitlets

from tb_widgets.app.assets import read_asset
from tb_widgets.app.parts.widgets import Bare


class ChoiceTable(Bare, anywidget.AnyWidget):  # type: ignore[misc]
    """Rows of plain text. A row is ``{"key": ..., "cells": [...]}``; a cell is a text, or a text with a chip.

    Cells are drawn as text, never as HTML, so names that users write can't inject anything.
    """

    _esm = read_asset("parts/choice_table.js")
    label = traitlets.Unicode().tag(sync=True)
    columns: traitlets.List[str] = traitlets.List().tag(sync=True)
    rows: traitlets.List[dict[str, object]] = traitlets.List().tag(sync=True)
    selected = traitlets.Unicode().tag(sync=True)
