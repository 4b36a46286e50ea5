"""A model on its way over the network."""

from __future__ import annotations

import threading

from tb_widgets.errors import ModelError, TbError
from tb_widgets.service.models import ModelSource, fetch


class Fetching:
    """A fetch in a thread of its own. It ends with a ``source`` or an ``error``."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.source: ModelSource | None = None
        self.error: TbError | None = None
        self.finished = threading.Event()
        threading.Thread(target=self._fetch, name="fetch", daemon=True).start()

    def _fetch(self) -> None:
        try:
            self.source = fetch(self.address)
        except TbError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - whatever the network does, the page must hear of it
            self.error = ModelError(f"{self.address} could not be fetched: {type(error).__name__}: {error}")
        finally:
            self.finished.set()
