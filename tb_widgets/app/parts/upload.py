"""A place to drop files on; they arrive in acknowledged pieces and whole, in every host alike."""

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
from tb_widgets.app.parts.widgets import Bare
from tb_widgets.errors import DataError, TbError
from tb_widgets.service.data import uploads
from tb_widgets.wording import size_in_words

logger = logging.getLogger(__name__)


class Upload(Bare, anywidget.AnyWidget):  # type: ignore[misc]
    """Takes files, one after the other, into the uploads folder.

    Every message of the page is answered, and a message that comes twice is answered as the first one was: the page
    sends again what it has no answer to.

    Parameters
    ----------
    act
        Runs a handler with the session's lock and messages around it.
    take
        Called with the paths of the files that were dropped together, once all have arrived whole.
    invitation
        What the place says.
    accept
        Which names the browser offers, for example ``.txt,.csv``.
    most_files, most_bytes
        How many may be dropped together, and how large each may be: both sides see to it.
    """

    _esm = read_asset("parts/upload.js")
    accept = traitlets.Unicode().tag(sync=True)
    invitation = traitlets.Unicode().tag(sync=True)
    most_files = traitlets.Int().tag(sync=True)
    most_bytes = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        act: Callable[[Callable[[], Any]], None],
        take: Callable[[list[Path]], Any],
        *,
        invitation: str,
        accept: str,
        most_files: int,
        most_bytes: int,
    ) -> None:
        super().__init__(accept=accept, invitation=invitation, most_files=most_files, most_bytes=most_bytes)
        self._act, self._take = act, take
        self._most_files, self._most_bytes = most_files, most_bytes  # the page may set its own as it likes
        self._key = ""
        self._ids: list[str] = []
        self._paths: list[Path] | None = None
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
                self._begin(content.get("files"))
                self._key = key
            return {"type": "begun"}
        if key != self._key:
            raise DataError("This file is no longer waited for.", hint="Choose it again.")
        if kind == "piece":
            file, number = content.get("file"), content.get("number")
            if not isinstance(number, int) or not isinstance(file, int) or not 0 <= file < len(self._ids):
                raise DataError("A piece of the file came without its number.", hint="Choose the file again.")
            here = uploads.add(self._ids[file], number, _piece(content))
            return {"type": "got", "file": file, "number": number, "bytes": here}
        if kind == "end":
            if self._paths is None:
                self._paths = paths = self._finish(content.get("sha256"))
                self._act(lambda: self._take(paths))
            return {"type": "done"}
        self._forget()
        return {"type": "cancelled"}

    def _begin(self, files: Any) -> None:
        announced = _announced(files)
        if len(announced) > self._most_files:
            raise DataError(f"{self._most_files} at a time, not {len(announced)}.", hint="A zip may hold several.")
        for name, size in announced:
            if size > self._most_bytes:
                raise DataError(f"{name} is larger than {size_in_words(self._most_bytes)}.")
        try:
            for name, size in announced:
                self._ids.append(uploads.begin(name, size))
        except TbError:
            self._forget()
            raise

    def _finish(self, sums: Any) -> list[Path]:
        if not isinstance(sums, list) or len(sums) != len(self._ids):
            raise DataError("The checksums of the files are missing.", hint="Choose the files again.")
        paths: list[Path] = []
        try:
            for id, sha256 in zip(self._ids, sums, strict=True):
                paths.append(uploads.finish(id, str(sha256)))
        except TbError:
            for path in paths:
                uploads.remove(path)
            self._forget()
            raise
        return paths

    def _forget(self) -> None:
        for id in self._ids:
            uploads.cancel(id)
        self._key, self._ids, self._paths = "", [], None


def _announced(files: Any) -> list[tuple[str, int]]:
    known = isinstance(files, list) and all(
        isinstance(file, dict) and isinstance(file.get("name"), str) and isinstance(file.get("bytes"), int)
        for file in files
    )
    if not known or not files:
        raise DataError("What was dropped is no file.", hint="Drop files; a zip may hold several.")
    return [(file["name"], file["bytes"]) for file in files]


def _piece(content: dict[str, Any]) -> bytes:
    try:
        return base64.b64decode(str(content.get("data")), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError("A piece of the file did not arrive whole.", hint="Choose the file again.") from error
