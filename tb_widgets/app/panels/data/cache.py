"""What is kept on this disk, and a button to clear it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tb_widgets.app import words
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import button, card, row, show
from tb_widgets.app.registry import Panel, panel
from tb_widgets.runs.folders import default_cache_dir
from tb_widgets.wording import size_in_words

if TYPE_CHECKING:
    from tb_widgets.app.session import Session

_TEACHES = "Downloaded datasets, uploads and tokenized texts are kept, so that the next run starts at once."


@panel("data-cache", step="data", column="side", order=9, for_visitors=False)
class DataCachePanel(Panel):
    """The size of the cache."""

    watches = ("data", "page")

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._is_asking = False

    def render(self) -> widgets.Widget:
        """Build the card."""
        data, act = self.session.data, self.act
        self._text = widgets.HTML()
        self._clear = button("Clear", lambda: act(self._press), "tbw-at-clear-cache")
        self._keep = button("Keep", lambda: act(lambda: self._ask(False)), "tbw-at-keep-cache")
        self._look = button("Look again", lambda: act(data.look_at_cache), "tbw-quiet")
        return card("Download cache", [self._text, row([self._clear, self._keep, self._look])])

    def _press(self) -> None:
        """Ask first: what took hours to download may be in it."""
        if self._is_asking:
            self.session.data.clear_cache()
        self._ask(not self._is_asking)

    def _ask(self, is_asking: bool) -> None:
        self._is_asking = is_asking
        self.draw()

    def draw(self) -> None:
        """Follow what was found out; the first look is made once a page is there to show it."""
        data = self.session.data
        if data.cache is None and self.session.has_page:
            data.look_at_cache()
        job = data.cache
        text = f'<p class="tbw-muted tbw-small">{_TEACHES}</p>'
        if job is None or not job.finished.is_set():
            text += '<p class="tbw-muted">Looking …</p>'
        elif job.error is not None:
            text += words.error_note(job.error)
        elif job.result is not None:
            use, cleared = job.result
            text += words.facts(
                [
                    ("Size", f"{size_in_words(use.size)} of at most {size_in_words(use.limit)}"),
                    ("Folder", str(default_cache_dir())),
                ]
            )
            if cleared is not None:
                stays = f"{size_in_words(cleared.kept)} are in use and stay." if cleared.kept else ""
                text += words.note(f"Freed {size_in_words(cleared.freed)}.", "ok", detail=stays)
            self._clear.disabled = use.size == 0
            self._clear.description = f"Clear {size_in_words(use.size)}" if self._is_asking else "Clear"
            if self._is_asking:
                text += words.note("Everything that no run uses is deleted, and downloaded again when it is needed.")
        show(self._keep, self._is_asking)
        self._text.value = text
