"""A line of text with its button: an address to load, words to search for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from tb_widgets.app.assets import read_asset
from tb_widgets.app.parts.widgets import Bare


class Entry(Bare, anywidget.AnyWidget):  # type: ignore[misc]
    """Takes a line when Enter or the button is pressed, and on request when it is pasted.

    Parameters
    ----------
    place
        The name by which the page finds it.
    verb
        What the button says.
    placeholder
        What the empty line says.
    on_enter
        Called with the line when it is entered.
    on_paste
        Called with the line once something was pasted into it.
    """

    _esm = read_asset("parts/entry.js")
    placeholder = traitlets.Unicode().tag(sync=True)
    verb = traitlets.Unicode().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
    is_bad = traitlets.Bool().tag(sync=True)

    def __init__(
        self,
        place: str,
        verb: str,
        placeholder: str,
        on_enter: Callable[[str], None],
        on_paste: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(placeholder=placeholder, verb=verb)
        for name in ("tbw-row", "tbw-address", f"tbw-at-{place}"):
            self.add_class(name)
        self._hear = {"enter": on_enter, "paste": on_paste}
        self.on_msg(self._heard)

    def _heard(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        hear, text = self._hear.get(str(content.get("event"))), content.get("text")
        if hear is not None and isinstance(text, str):
            self.text = text
            hear(text)
