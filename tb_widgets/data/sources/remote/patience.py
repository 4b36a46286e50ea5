"""How long the Hub's client may try again before that is told, and before it ends. Runs in the process that fetches.

The client tries each request several times, and ``datasets`` each of those again: together that would be minutes
without a word.
"""

from __future__ import annotations

import time
from typing import Any

from tb_widgets.data.sources.remote.download import RefusedError

TOLD = 5.0  # seconds without an answer after which it is told
ENOUGH = 10.0  # seconds without an answer after which it is given up; the attempt under way may take 10 more
ATTEMPTS = 3  # at least: between two requests the rows of the first may have taken long


class SilentError(Exception):
    """The Hub has not answered, however often it was asked."""


class Patience:
    """Counts the requests since the Hub last answered, by hooks of its client."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._since: float | None = None
        self._attempts = 0
        self._refusal: RefusedError | None = None

    @property
    def is_tried(self) -> bool:
        """Whether the Hub has not answered for so long that somebody should know."""
        return self._attempts > 1 and self._since is not None and time.monotonic() - self._since > TOLD

    def attach(self) -> None:
        """Watch the client that the Hub's library uses now."""
        from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

        client = get_session()
        hooks = client.event_hooks
        if self._asked not in hooks["request"]:
            client.event_hooks = {
                "request": [*hooks["request"], self._asked],
                "response": [*hooks["response"], self._answered],
            }

    def _asked(self, _request: Any) -> None:
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if self._attempts >= ATTEMPTS and now - self._since > ENOUGH:
            raise self._refusal or SilentError
        self._attempts += 1

    def _answered(self, response: Any) -> None:
        if response.status_code >= 500 or response.status_code == 429:
            self._refusal = RefusedError(response.status_code, dict(response.headers), response.url.host)
        else:
            self.forget()


patience = Patience()
"""That of this process, which answers one question at a time."""
