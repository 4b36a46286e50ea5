"""What a stranger's program can say to the kernel of a Voila page: raw messages, without the page."""

from __future__ import annotations

import json
import re
import time
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

from websocket import WebSocketTimeoutException, create_connection

WITHIN = 60.0  # seconds


class KernelClient:
    """One page view without a browser: its kernel, and every widget in it.

    Parameters
    ----------
    url
        Of the Voila server. Asking for its page starts a kernel.
    """

    def __init__(self, url: str) -> None:
        with urllib.request.urlopen(url, timeout=WITHIN) as answer:
            page = answer.read().decode()
        found = re.search(r'"kernelId":\s*"([0-9a-f-]+)"', page)
        assert found, page[:2000]
        self.session = uuid.uuid4().hex
        address = f"{url.replace('http', 'ws')}/api/kernels/{found.group(1)}/channels?session_id={self.session}"
        self._socket = create_connection(address, timeout=WITHIN, origin=url)
        self._control = uuid.uuid4().hex
        target = {"comm_id": self._control, "target_name": "jupyter.widget.control", "data": {}}
        self.send("comm_open", target, metadata={"version": "1.0.0"})

    def close(self) -> None:
        """Leave; the kernel stays."""
        self._socket.close()

    def send(self, kind: str, content: dict[str, Any], *, metadata: dict[str, Any] | None = None) -> str:
        """Send a message of any kind on the shell channel, and return its id."""
        identity = uuid.uuid4().hex
        header = {"msg_id": identity, "msg_type": kind, "session": self.session, "username": "", "version": "5.3"}
        message = {"header": header, "parent_header": {}, "metadata": metadata or {}, "content": content}
        self._socket.send(json.dumps({**message, "channel": "shell", "buffers": []}))
        return identity

    def widgets(self) -> dict[str, dict[str, Any]]:
        """Ask for the state of every widget of the kernel, by comm id."""
        self.send("comm_msg", {"comm_id": self._control, "data": {"method": "request_states"}})
        for message in self._messages():
            data = message["content"].get("data", {})
            if message["content"].get("comm_id") == self._control and data.get("method") == "update_states":
                return {comm: entry["state"] for comm, entry in data["states"].items()}
        raise AssertionError("the kernel did not tell its widgets")

    def find(self, **state: Any) -> str:
        """Return the comm id of the one widget with this state."""
        found = [
            comm for comm, has in self.widgets().items() if all(has.get(name) == value for name, value in state.items())
        ]
        assert len(found) == 1, (state, len(found))
        return found[0]

    def click(self, label: str) -> None:
        """Press a button, whether or not the page shows it."""
        self.tell(self.find(description=label, _model_name="ButtonModel"), event="click")

    def tell(self, comm: str, **content: Any) -> None:
        """Send a custom message to a widget."""
        self.send("comm_msg", {"comm_id": comm, "data": {"method": "custom", "content": content}})

    def set(self, comm: str, **state: Any) -> None:
        """Change what a widget holds."""
        data = {"method": "update", "state": state, "buffer_paths": []}
        self.send("comm_msg", {"comm_id": comm, "data": data})

    def beat(self, kind: str = "tick") -> None:
        """Let the page's heart beat once, as its script would."""
        self.tell(self.heart, type=kind, figure=True)

    @property
    def heart(self) -> str:
        """The comm id of the heartbeat."""
        return next(comm for comm, has in self.widgets().items() if "asks_who" in has)

    def page(self) -> str:
        """Return all text that the widgets hold."""
        states = self.widgets().values()
        return "\n".join(str(value) for state in states for name, value in state.items() if name != "_esm")

    def until(self, words: str, *, beat: bool = True) -> None:
        """Beat until the page holds some words."""
        deadline = time.monotonic() + WITHIN
        while words not in self.page():
            assert time.monotonic() < deadline, f"{words!r} did not come"
            if beat:
                self.beat()

    def replies(self, identity: str, seconds: float) -> list[str]:
        """Return the kinds of all answers to a message that come within some seconds."""
        self._socket.settimeout(seconds)
        try:
            return [m["msg_type"] for m in self._messages() if m["parent_header"].get("msg_id") == identity]
        except WebSocketTimeoutException:
            return []
        finally:
            self._socket.settimeout(WITHIN)

    def _messages(self) -> Iterator[dict[str, Any]]:
        while True:
            raw = self._socket.recv()
            if isinstance(raw, bytes):  # with buffers: how many parts, where each begins, and the first is the message
                count = int.from_bytes(raw[:4], "big")
                starts = [int.from_bytes(raw[4 * i + 4 : 4 * i + 8], "big") for i in range(count)] + [len(raw)]
                raw = raw[starts[0] : starts[1]].decode()
            yield json.loads(raw)
