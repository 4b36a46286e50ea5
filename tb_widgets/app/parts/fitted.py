"""What was changed, or should be, so that text and sizes fit the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tb_widgets.app import words
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import button
from tb_widgets.app.state.draft import Draft
from tb_widgets.app.state.fields import CARDS, in_words

if TYPE_CHECKING:
    from tb_widgets.app.session import Session


def fitted_notes(draft: Draft, *sections: str) -> str:
    """Return a message for each field that was changed, of these sections or of all."""
    return "".join(
        words.note(
            f"{CARDS[path].title} is {in_words(CARDS[path], draft.values[path])}, to fit this model:",
            "on",
            detail=why,
        )
        for path, (_, why) in draft.fitted.items()
        if not sections or path.split(".")[0] in sections
    )


def fitted_line(draft: Draft) -> str:
    """Return in a few words what was chosen for the model; empty if nothing was."""
    chosen = [f"{CARDS[path].title.lower()} {in_words(CARDS[path], draft.values[path])}" for path in draft.fitted]
    return f"uses {', '.join(chosen)} to fit the model" if chosen else ""


def fits_button(session: Session) -> widgets.Button:
    """Return the button that changes what the user has chosen to what fits the model."""
    return button("Use what fits the model", lambda: session.act(session.use_what_fits), "tbw-at-use-what-fits")
