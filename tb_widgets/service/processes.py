"""Starting helper processes that outlive us, or wait for us without costing anything."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

from tb_widgets.errors import ServiceError
from tb_widgets.service.environment import worker_environment


class WaitingProcess:
    """A module run as a process that has done its imports and waits for a line on standard input.

    Parameters
    ----------
    module
        Run as ``python -m module``; it prints ``ready`` once its imports are done.
    log
        File for whatever goes wrong before the process has work of its own.
    """

    def __init__(self, module: str, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        with log.open("ab") as errors:
            try:
                self.process = subprocess.Popen(
                    [sys.executable, "-u", "-m", module],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=worker_environment(),
                    start_new_session=True,
                    text=True,
                )
            except OSError as error:
                raise ServiceError(
                    f"A training process can't be started: {error.strerror or error}.",
                    hint="Close other programs to free memory, then try again.",
                ) from error

    @property
    def is_alive(self) -> bool:
        """Whether the process still waits."""
        return self.process.poll() is None

    def hand_over(self, message: dict[str, str]) -> None:
        """Give the process its work. It is not waited for.

        Raises
        ------
        ServiceError
            If the process has died; its last words are in the message.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.close()
        except OSError as error:
            raise ServiceError(f"The training process ended before it began. {self.last_words()}") from error
        self.process.stdout.close()
        # Somebody must collect the exit code, or the finished process stays in the table as a zombie.
        threading.Thread(target=self.process.wait, name="reap-worker", daemon=True).start()

    def last_words(self) -> str:
        """Return the end of what the process wrote on standard error."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return " ".join(lines[-3:])

    def discard(self) -> None:
        """End a process that was never needed: it leaves by itself when its standard input closes."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        threading.Thread(target=self.process.wait, name="reap-worker", daemon=True).start()
