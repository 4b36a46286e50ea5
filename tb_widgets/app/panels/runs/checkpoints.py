"""The checkpoints of the run in sight."""

from __future__ import annotations

from tb_widgets.app import words
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import card
from tb_widgets.app.registry import Panel, panel
from tb_widgets.wording import size_in_words


@panel("checkpoints", step="train", column="main", order=3)
class CheckpointsPanel(Panel):
    """The checkpoints of the run in sight."""

    watches = ("run",)

    def render(self) -> widgets.Widget:
        """Build the card."""
        self._table = widgets.HTML()
        return card("Checkpoints", [self._table])

    def draw(self) -> None:
        """List them, newest first."""
        watch = self.session.watch
        if not watch.checkpoints:
            self._table.value = (
                '<span class="tbw-muted">Checkpoints appear here. Resume from one or generate with it.</span>'
            )
            return
        lines = "".join(
            f"<tr><td>{info.step:,} {words.chip('best', 'ok') if info.best else ''}</td>"
            f"<td>{words.metric(info.metrics.get('val/loss'))}</td><td>{size_in_words(info.size)}</td></tr>"
            for info in reversed(watch.checkpoints)
        )
        head = "<tr><th>step</th><th>val loss</th><th>size</th></tr>"
        self._table.value = f'<table class="tbw-table">{head}{lines}</table>'
