"""A place to drop a file of any size on; it arrives in acknowledged pieces, in every host alike."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from tb_widgets.app.assets import read_asset
from tb_widgets.errors import DataError, TbError
from tb_widgets.service.data import uploads

logger = logging.getLogger(__name__)


class Upload(anywidget.AnyWidget):  # type: ignore[misc]
    """Takes one file at a time.

    Every message of the page is answered, and a message that comes twice is answered as the first one was: the page
    sends again what it has no answer to.

    Parameters
    ----------
    act
        Runs a handler with the dashboard's lock and error display around it.
    take
        Called with the path of a file that has arrived whole.
    invitation
        What the place says.
    accept
        Which names the browser offers, for example ``.txt,.csv``.
    """

    _esm = read_asset("parts/upload.js")
    accept = traitlets.Unicode().tag(sync=True)
    invitation = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        act: Callable[[Callable[[], Any]], None],
        take: Callable[[Path], Any],
        *,
        invitation: str,
        accept: str,
    ) -> None:
        super().__init__(accept=accept, invitation=invitation)
        self._act, self._take = act, take
        self._key = self._id = ""
        self._path: Path | None = None
        self.on_msg(self._on_message)

    def _on_message(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        key = str(content.get("key"))
        try:
            answer = self._hear(key, content)
        except TbError as error:
            logger.info("shown to the user", exc_info=True)
            answer = {"type": "refused", "words": str(error)}
        except Exception as error:
            logger.exception("an upload failed")
            answer = {"type": "refused", "words": f"Something in tb_widgets failed: {type(error).__name__}: {error}"}
        self.send({**answer, "key": key})

    def _hear(self, key: str, content: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a message of the page, which may hold anything."""
        kind = content.get("type")
        if kind == "begin":
            if key != self._key:
                self._forget()
                self._id = uploads.begin(*_announced(content))
                self._key = key
            return {"type": "begun"}
        if key != self._key:
            raise DataError("This file is no longer waited for.", hint="Choose it again.")
        if kind == "piece":
            number = content.get("number")
            if not isinstance(number, int):
                raise DataError("A piece of the file came without its number.", hint="Choose the file again.")
            return {"type": "got", "number": number, "bytes": uploads.add(self._id, number, _piece(content))}
        if kind == "end":
            if self._path is None:
                self._path = path = uploads.finish(self._id, str(content.get("sha256")))
                self._act(lambda: self._take(path))
            return {"type": "done"}
        self._forget()
        return {"type": "cancelled"}

    def _forget(self) -> None:
        if self._id and self._path is None:
            uploads.cancel(self._id)
        self._key = self._id = ""
        self._path = None


def _announced(content: dict[str, Any]) -> tuple[str, int]:
    name, size = content.get("name"), content.get("bytes")
    if not isinstance(name, str) or not isinstance(size, int):
        raise DataError("What was dropped is no file.", hint="Drop one file; a zip may hold several.")
    return name, size


def _piece(content: dict[str, Any]) -> bytes:
    try:
        return base64.b64decode(str(content.get("data")), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError("A piece of the file did not arrive whole.", hint="Choose the file again.") from error
