"""A run that was started elsewhere: its code is shown before it goes on or writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tb_widgets.app import words
from tb_widgets.app.parts import code_view, widgets
from tb_widgets.app.parts.cards import button, card, row, show
from tb_widgets.app.parts.model_view import finding_list
from tb_widgets.service.models import CODE, findings, read_source

if TYPE_CHECKING:
    from tb_widgets.app.session import Session

_CONSENT = "Resuming it or generating with it runs the code in its folder with your permissions."


class RunConsent:
    """What there is to look at in the code of a run from elsewhere, and the button that agrees to it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._shown = ""
        self._text = widgets.HTML()
        self._code = widgets.HTML()
        act = session.act
        trust = button("Trust this code", lambda: act(session.trust_run), "tbw-primary", "tbw-at-trust-run")
        leave = button("Not now", lambda: act(session.leave_run_untrusted), "tbw-at-not-now")
        self.widget = card(
            "Read it, then decide", [self._text, row([trust, leave]), self._code], aside="nothing of it has run"
        )
        show(self.widget, False)

    def refresh(self) -> None:
        """Show the code of the run that waits for consent; nothing while none does."""
        run = self._session.untrusted
        show(self.widget, run is not None)
        name = str(run.path) if run is not None else ""
        if name == self._shown:
            return
        self._shown = name
        if run is None:
            self._text.value = self._code.value = ""
            return
        code = read_source(run.model_folder).files[CODE]
        found = findings(code)
        about = "This run was started on another machine, or its code was changed since."
        self._text.value = words.note(about, "warn", detail=_CONSENT) + finding_list(found)
        self._code.value = f"<h3>{CODE}</h3>{code_view.source(code, {each.line for each in found})}"
