"""A model on its way over the network, and one that can't be had."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from tb_widgets.errors import ModelError, TbError
from tb_widgets.service.models import ModelSource, fetch


@dataclass(frozen=True)
class Refused:
    """What was asked for last and can't be had.

    Attributes
    ----------
    address, error
        What was asked for, as it was typed, and why it can't be had.
    kept
        The form's model, which stays.
    is_unfetched
        Whether nothing of it has come, so that a kept copy is of use.
    is_cancelled
        Whether it was given up by hand.
    """

    address: str
    error: ModelError
    kept: str
    is_unfetched: bool = False
    is_cancelled: bool = False


class Fetching:
    """A fetch in a thread of its own. It ends with a ``source`` or an ``error``."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.source: ModelSource | None = None
        self.error: ModelError | None = None
        self.finished = threading.Event()
        threading.Thread(target=self._fetch, name="fetch", daemon=True).start()

    def _fetch(self) -> None:
        try:
            self.source = fetch(self.address)
        except ModelError as error:
            self.error = error
        except TbError as error:
            self.error = ModelError(error.message, hint=error.hint)
        except Exception as error:  # noqa: BLE001 - whatever the network does, the page must hear of it
            self.error = ModelError(f"{self.address} could not be fetched: {type(error).__name__}: {error}")
        finally:
            self.finished.set()
