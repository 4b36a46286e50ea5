"""Whether a run fits into the memory of this machine, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tb_widgets.app import words
from tb_widgets.wording import size_in_words

if TYPE_CHECKING:
    from tb_widgets.app.state.draft import Draft
    from tb_widgets.app.state.model_choice import ModelChoice

FIT = {
    "fits": ("✓ fits this machine", "ok"),
    "tight": ("▲ tight", "warn"),
    "too large": ("✕ probably too large", "bad"),
    "impossible": ("✕ does not fit", "bad"),
}


def memory_in_words(draft: Draft, choice: ModelChoice) -> str:
    """Return the one number for memory: what was measured of these very settings, else the estimate."""
    if (measured := choice.measured_bytes) is not None:
        return f"{size_in_words(measured)} (measured)"
    return f"about {size_in_words(draft.need.total)}" if draft.need is not None else ""


def fit_chip(draft: Draft) -> str:
    """Return whether the run fits into memory, as a chip; empty where nobody knows."""
    return words.chip(*FIT[draft.need.verdict]) if draft.need is not None else ""
