"""The heartbeat: the page asks, the kernel answers inside the handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from tb_widgets.app.assets import read_asset
from tb_widgets.app.parts.widgets import Bare

# (kind, figure is on the page, page is narrow or None where that is as before) -> milliseconds until the next beat
Answer = Callable[[str, bool, "bool | None"], int]


class Heartbeat(Bare, anywidget.AnyWidget):  # type: ignore[misc]
    """A widget without a face that ticks in the page; it shows itself only when the kernel stops answering.

    Parameters
    ----------
    answer
        Called for every beat, on whatever thread the kernel handles messages; it returns the pause until the next
        beat in milliseconds. ``kind`` is ``"ready"`` for the first beat of a view and ``"tick"`` afterwards.
    on_address
        Called with the end of the page's own address, if that names a Gist (``?gist_id=ID``).
    on_visitor
        Called before the first beat with a key that the browser keeps, by which it is known when it comes again; the
        page is asked for it only where somebody wants to hear it.
    """

    asks_who = traitlets.Bool().tag(sync=True)

    # As a string: a path would be watched, and is never freed.
    _esm = read_asset("parts/dress.js") + read_asset("parts/heartbeat.js")

    def __init__(
        self,
        answer: Answer,
        on_address: Callable[[str], None] | None = None,
        on_visitor: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(asks_who=on_visitor is not None)
        self._answer, self._on_address, self._on_visitor = answer, on_address, on_visitor
        self.on_msg(self._on_beat)

    def hurry(self) -> None:
        """Let the page ask soon: something was pressed, and the answer should not wait for the next beat.

        A page that waits for an answer already takes no notice, so beats never overlap.
        """
        self.send({"type": "hurry", "wait": 50})

    def show_field(self, place: str) -> None:
        """Let the page scroll to the input with the class ``tbw-at-<place>`` and begin to type there."""
        self.send({"type": "field", "place": place})

    def show_top(self) -> None:
        """Let the page show the beginning of a step that was chosen; where it is scrolled stays else as it was."""
        self.send({"type": "top"})

    def _on_beat(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("type") == "address" and self._on_address is not None:
            self._on_address(str(content.get("text")))
        if content.get("type") == "visitor" and self._on_visitor is not None:
            self._on_visitor(str(content.get("key")))
        if content.get("type") not in ("ready", "tick"):
            return
        wait = self._answer(content["type"], bool(content.get("figure")), content.get("narrow"))
        self.send({"type": "tock", "wait": wait})
