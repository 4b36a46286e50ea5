"""What was changed so that text and sizes fit the model, in words."""

from __future__ import annotations

from tb_widgets.app.draft import CARDS, Draft, show
from tb_widgets.app.parts import words


def fitted_notes(draft: Draft, *sections: str) -> str:
    """Return a message for each field that was changed, of these sections or of all."""
    return "".join(
        words.note(
            f"{CARDS[path].title} is {show(CARDS[path], draft.values[path])}, chosen for this model:", "on", detail=why
        )
        for path, (_, why) in draft.fitted.items()
        if not sections or path.split(".")[0] in sections
    )
