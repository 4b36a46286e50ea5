"""Small files by which anybody steers a run: the service writes them, the worker obeys between steps."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from tb_widgets.runs.durable import explain_os_error

Command = Literal["pause", "stop", "save-now", "from-start", "after-loss"]


class Control:
    """The ``control/`` folder of a run. A command stands as long as its file is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._here: set[Command] = set()

    def request_here(self, command: Command) -> None:
        """Ask for something in this process alone, as a signal does: no file is left of it."""
        self._here.add(command)

    def request(self, command: Command) -> None:
        """Ask for something; asking twice is the same as asking once."""
        try:
            self.folder.mkdir(exist_ok=True)
            (self.folder / command).touch()
        except OSError as error:
            raise explain_os_error(error, self.folder) from error

    def withdraw(self, command: Command) -> None:
        """Take a command back; the worker does so itself once it has obeyed."""
        self._here.discard(command)
        try:
            (self.folder / command).unlink(missing_ok=True)
        except OSError as error:
            raise explain_os_error(error, self.folder) from error

    def is_requested(self, command: Command) -> bool:
        """Whether a command stands."""
        return command in self._here or (self.folder / command).exists()

    def clear(self) -> None:
        """Take back every command, as before a run is resumed."""
        for command in get_args(Command):
            self.withdraw(command)
