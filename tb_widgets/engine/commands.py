"""What somebody asks of a run between two steps, told to every rank."""

from __future__ import annotations

import time
from typing import get_args

from tb_widgets.engine.parallel import Group
from tb_widgets.runs.control import Command, Control

COMMANDS: tuple[Command, ...] = get_args(Command)
LISTEN_EVERY = 0.05  # seconds between two looks at the control folder


class Commands:
    """The commands that stand in a control folder, looked up no more often than a file system can bear.

    The main rank looks, and every rank obeys the same at the same step.
    """

    def __init__(self, control: Control, group: Group) -> None:
        self._control, self._group = control, group
        self._listened_at = 0.0

    def standing(self) -> frozenset[Command]:
        """Return the commands that stand; none where the last look was a moment ago."""
        found = self._group.broadcast(self._look() if self._group.is_main else 0)
        return frozenset(command for bit, command in enumerate(COMMANDS) if found >> bit & 1)

    def await_change(self) -> frozenset[Command]:
        """Wait for a moment, and return the commands that stand then."""
        time.sleep(LISTEN_EVERY)
        self._listened_at = 0.0
        return self.standing()

    def done(self, command: Command) -> None:
        """Withdraw a command that was obeyed."""
        if self._group.is_main:
            self._control.withdraw(command)

    def _look(self) -> int:
        """Return a bit for each command."""
        if time.perf_counter() - self._listened_at < LISTEN_EVERY:
            return 0
        self._listened_at = time.perf_counter()
        return sum(self._control.is_requested(command) << bit for bit, command in enumerate(COMMANDS))
