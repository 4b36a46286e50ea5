"""What somebody asks of a run between two steps, told to every rank."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import get_args

from tb_widgets.engine.meter import Meter
from tb_widgets.engine.parallel import Group
from tb_widgets.engine.room import Room
from tb_widgets.runs.control import Command, Control

COMMANDS: tuple[Command, ...] = get_args(Command)
LISTEN_EVERY = 0.05  # seconds between two looks at the control folder


class Commands:
    """The commands that stand in a control folder, looked up no more often than a file system can bear.

    The main rank looks, and every rank obeys the same at the same step. A full disk asks for a pause as a user does.
    """

    def __init__(self, control: Control, group: Group, room: Room | None = None) -> None:
        self._control, self._group, self._room = control, group, room
        self._listened_at = 0.0

    def obey(self, meter: Meter, *, save: Callable[[], None], now: bool = False) -> bool:
        """Do what is asked, and return whether that is to stop.

        A pause lasts until it is withdrawn or a stop is requested. The state stays in memory meanwhile.

        Parameters
        ----------
        now
            Look also where the last look was a moment ago.
        """
        self._listened_at = 0.0 if now else self._listened_at
        standing = self.standing()
        self._save_if_told(standing, save)
        if "pause" in standing and "stop" not in standing:
            with meter.paused():
                while "pause" in standing and "stop" not in standing:
                    time.sleep(LISTEN_EVERY)
                    self._listened_at = 0.0
                    standing = self.standing()
                    self._save_if_told(standing, save)
                self.done("pause")
        if "stop" in standing:
            self.done("stop")
        return "stop" in standing

    def standing(self) -> frozenset[Command]:
        """Return the commands that stand; none where the last look was a moment ago."""
        found = self._group.broadcast(self._look() if self._group.is_main else 0)
        return frozenset(command for bit, command in enumerate(COMMANDS) if found >> bit & 1)

    def done(self, command: Command) -> None:
        """Withdraw a command that was obeyed."""
        if self._group.is_main:
            self._control.withdraw(command)

    def _save_if_told(self, standing: frozenset[Command], save: Callable[[], None]) -> None:
        if "save-now" in standing:
            save()
            self.done("save-now")

    def _look(self) -> int:
        """Return a bit for each command."""
        if time.perf_counter() - self._listened_at < LISTEN_EVERY:
            return 0
        self._listened_at = time.perf_counter()
        if self._room is not None:
            self._room.look()
        return sum(self._control.is_requested(command) << bit for bit, command in enumerate(COMMANDS))
