"""Obeying the control folder of a run between two steps."""

from __future__ import annotations

import time
from typing import get_args

from tb_widgets.runs.control import Command, Control

LISTEN_EVERY = 0.05  # seconds between two looks at the control folder


class Commands:
    """The commands that stand, looked up no more often than a file system can bear."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._listened_at = 0.0

    def standing(self) -> frozenset[Command]:
        """Return the commands that stand; none where the last look was a moment ago."""
        if time.perf_counter() - self._listened_at < LISTEN_EVERY:
            return frozenset()
        self._listened_at = time.perf_counter()
        return frozenset(command for command in get_args(Command) if self._control.is_requested(command))

    def await_change(self) -> frozenset[Command]:
        """Wait for a moment, and return the commands that stand then."""
        time.sleep(LISTEN_EVERY)
        self._listened_at = 0.0
        return self.standing()

    def done(self, command: Command) -> None:
        """Withdraw a command that was obeyed."""
        self._control.withdraw(command)
