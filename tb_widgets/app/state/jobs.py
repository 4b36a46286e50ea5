"""Something slow that a page waits for, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from tb_widgets.errors import DataError, TbError

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")
JobReport = Callable[[str, float], None]
"""Takes what is being done and the share that is done, 0 to 1."""


class StoppedError(Exception):
    """Nobody waits for this work any more."""


class Job(Generic[_Result]):
    """Something slow, in a thread of its own. It ends with a ``result`` or an ``error``.

    Parameters
    ----------
    work
        Does it; it is given a function that takes what is being done and the share that is done, 0 to 1, and that
        ends the work by an exception once nobody waits for it.
    """

    def __init__(self, work: Callable[[JobReport], _Result]) -> None:
        self._work = work
        self.phase, self.share = "", 0.0
        self.result: _Result | None = None
        self.error: TbError | None = None
        self.finished = threading.Event()
        self._stop = threading.Event()
        threading.Thread(target=self._run, name="data", daemon=True).start()

    def stop(self) -> None:
        """Let it end at its next report; what it finds is taken by nobody."""
        self._stop.set()

    def _report(self, phase: str, share: float) -> None:
        if self._stop.is_set():
            raise StoppedError
        self.phase, self.share = phase, share

    def _run(self) -> None:
        try:
            self.result = self._work(self._report)
        except StoppedError:
            pass
        except TbError as error:
            self.error = error
        except Exception as error:
            logger.exception("looking at data failed")
            self.error = DataError(f"Something in tb_widgets failed: {type(error).__name__}: {error}")
        finally:
            self.finished.set()
