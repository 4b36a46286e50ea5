"""A place to drop files on; they arrive in acknowledged pieces, in every host alike."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import anywidget

from tb_widgets.app.assets import read_asset
from tb_widgets.errors import ModelError

MOST_FILES, MOST_BYTES = 20, 50_000_000


class FileDrop(anywidget.AnyWidget):  # type: ignore[misc]
    """Takes files that are dropped on it, or chosen.

    Parameters
    ----------
    act
        Runs a handler with the dashboard's lock and error display around it.
    take
        Called with the content of all files by name, once they are complete.
    """

    _esm = read_asset("parts/file_drop.js")

    def __init__(self, act: Callable[[Callable[[], Any]], None], take: Callable[[dict[str, bytes]], Any]) -> None:
        super().__init__()
        self._act, self._take = act, take
        self._sizes: list[tuple[str, int]] = []
        self._parts: list[bytearray] = []
        self.on_msg(self._on_message)

    def _on_message(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        self._answer = "stop"
        self._act(lambda: self._hear(content))
        self.send({"type": self._answer})

    def _hear(self, content: dict[str, Any]) -> None:
        """Take a message of the page, which may be anything, and let it go on if that is right."""
        kind = content.get("type")
        if kind == "begin":
            self._begin(content.get("files"))
        elif kind == "piece":
            self._add(content)
        elif kind == "end":
            if any(len(part) != size for part, (_, size) in zip(self._parts, self._sizes, strict=True)):
                raise ModelError("The files did not arrive whole.", hint="Drop them again.")
            files = {name: bytes(part) for part, (name, _) in zip(self._parts, self._sizes, strict=True)}
            self._sizes, self._parts = [], []
            self._take(files)
        self._answer = "next"

    def _begin(self, files: Any) -> None:
        self._sizes, self._parts = [], []
        try:
            sizes = [(str(file["name"]), int(file["bytes"])) for file in files]
        except (TypeError, KeyError, ValueError) as error:
            raise ModelError("What was dropped are no files.") from error
        if len(sizes) > MOST_FILES or sum(size for _, size in sizes) > MOST_BYTES:
            raise ModelError(
                f"These are more than {MOST_FILES} files, or more than {MOST_BYTES // 1_000_000} MB.",
                hint="Drop only model.py and config.json, or a zip of them.",
            )
        self._sizes, self._parts = sizes, [bytearray() for _ in sizes]

    def _add(self, content: dict[str, Any]) -> None:
        number, at = content.get("number"), content.get("at")
        if not isinstance(number, int) or not 0 <= number < len(self._parts) or at != len(self._parts[number]):
            raise ModelError("A piece of the files is missing.", hint="Drop them again.")
        try:
            piece = base64.b64decode(str(content.get("data")), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ModelError("A piece of the files did not arrive whole.", hint="Drop them again.") from error
        if at + len(piece) > self._sizes[number][1]:
            raise ModelError("A file is larger than was announced.", hint="Drop it again.")
        self._parts[number] += piece
