"""The runs that wait for their turn."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import button, card, close, row, show
from tb_widgets.app.registry import Panel, panel
from tb_widgets.runs import RunEntry
from tb_widgets.wording import run_name

if TYPE_CHECKING:
    from tb_widgets.app.session import Session


@panel("queue", step="runs", column="side", order=1)
class QueuePanel(Panel):
    """The runs that wait, in their order."""

    watches = ("runs",)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._shown: list[str] = []

    def render(self) -> widgets.Widget:
        """Build the card, which is hidden while nothing waits."""
        self._rows = widgets.VBox()
        self._card = card("Queue", [self._rows])
        return self._card

    def draw(self) -> None:
        """List what waits."""
        waiting = self.session.work.waiting
        show(self._card, bool(waiting))
        ids = [entry.run.id for entry in waiting]
        if ids != self._shown:
            for old in self._rows.children:
                close(old)
            self._rows.children = [self._row(place, entry) for place, entry in enumerate(waiting, 1)]
            self._shown = ids

    def _row(self, place: int, entry: RunEntry) -> widgets.Widget:
        name = run_name(entry.run.id, entry.status.name)
        first = button(
            "Move to front",
            lambda: self.act(lambda: self.session.put_first(entry.run)),
            "tbw-quiet",
            tooltip=f"Move {name} to the front",
        )
        out = button(
            "Take out",
            lambda: self.act(lambda: self.session.stop(entry.run)),
            "tbw-quiet",
            "tbw-at-take-out",
            tooltip=f"Take {name} out",
        )
        show(first, place > 1 and self.session.policy.is_owner)
        about = escape(f"{entry.status.total:,} steps on {entry.status.data}")
        told = f'{place}. {escape(name)} <span class="tbw-muted">{about}</span>'
        return row([widgets.HTML(f"<span>{told}</span>"), row([first, out])], "tbw-top")
