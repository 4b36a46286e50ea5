"""A GitHub on this machine: it speaks the protocol of Gists, and misbehaves on purpose."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote

ID = "0123456789abcdef0123456789abcdef"
DRIP = 0.05  # seconds between two bytes of a slow answer
Files = Mapping[str, str | bytes]
Answer = Callable[["Handler"], None]


@dataclass
class Gist:
    """One Gist, its revisions oldest first as (sha, files, ISO time)."""

    owner: str
    description: str
    revisions: list[tuple[str, dict[str, bytes], str]] = field(default_factory=list)


class GitHub:
    """A loopback server with Gists; use it as a context.

    ``url`` goes into ``GITHUB_API_URL``. ``seen`` holds (path, headers) of every request. ``answer``, where it is
    set, answers in place of the Gists; ``truncate_at`` is how many bytes of a file an answer holds at most.
    """

    def __init__(self) -> None:
        self.gists: dict[str, Gist] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.answer: Answer | None = None
        self.truncate_at = 1_000_000
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._server.github = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> GitHub:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server: from then on connections are refused."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(
        self,
        id: str,
        files: Files,
        *,
        owner: str = "somebody",
        description: str = "Tiny - Transformer Builder Export",
        revisions: list[Files] | None = None,
    ) -> str:
        """Add a Gist, or a revision to one that is there, and return the newest revision's sha.

        ``revisions`` are what came before ``files``, oldest first.
        """
        gist = self.gists.setdefault(id, Gist(owner, description))
        for content in [*(revisions or []), files]:
            texts = {name: text.encode() if isinstance(text, str) else text for name, text in content.items()}
            number = len(gist.revisions)
            sha = hashlib.sha1(f"{id} {number} {sorted(texts.items())}".encode()).hexdigest()
            gist.revisions.append((sha, texts, f"2026-10-{number + 1:02d}T12:00:00Z"))
        return self.shas(id)[0]

    def shas(self, id: str) -> list[str]:
        """The revisions of a Gist, newest first."""
        return [sha for sha, _, _ in reversed(self.gists[id].revisions)]

    def describe(self, id: str, sha: str | None) -> dict[str, Any] | None:
        """What the API says about a Gist at a revision; ``None`` if there is none."""
        gist = self.gists.get(id)
        history = list(reversed(gist.revisions)) if gist else []
        while sha is not None and history and history[0][0] != sha:
            history.pop(0)  # a revision's answer begins with that revision
        if gist is None or not history:
            return None
        version, texts, _ = history[0]
        listed = list(texts.items())[:300]
        return {
            "url": f"{self.url}/gists/{id}",
            "id": id,
            "html_url": f"https://gist.github.com/{gist.owner}/{id}",
            "public": True,
            "description": gist.description,
            "created_at": history[-1][2],
            "updated_at": gist.revisions[-1][2],
            "owner": {"login": gist.owner},
            "files": {name: self._file(gist, id, version, name, content) for name, content in listed},
            "history": [
                {
                    "user": {"login": gist.owner},
                    "version": sha,
                    "committed_at": when,
                    "url": f"{self.url}/gists/{id}/{sha}",
                }
                for sha, _, when in history
            ],
            "truncated": len(texts) > len(listed),
        }

    def _file(self, gist: Gist, id: str, sha: str, name: str, content: bytes) -> dict[str, Any]:
        return {
            "filename": name,
            "type": "text/plain",
            "size": len(content),
            "raw_url": f"{self.url}/{gist.owner}/{id}/raw/{sha}/{quote(name)}",
            "truncated": len(content) > self.truncate_at,
            "content": content[: self.truncate_at].decode("utf-8", "replace"),
            "encoding": "utf-8",
        }


class Handler(BaseHTTPRequestHandler):
    """One request."""

    @property
    def github(self) -> GitHub:
        return self.server.github  # type: ignore[attr-defined,no-any-return]

    def do_GET(self) -> None:
        self.github.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        # A client that gives up closes its end while we write.
        with contextlib.suppress(ConnectionError):
            (self.github.answer or Handler.serve)(self)

    def serve(self) -> None:
        """Answer as GitHub does."""
        parts = [unquote(part) for part in self.path.strip("/").split("/")]
        if parts[0] == "gists" and len(parts) in (2, 3):
            found = self.github.describe(parts[1], parts[2] if len(parts) == 3 else None)
            if found is not None:
                return self.send(200, json.dumps(found).encode())
        elif len(parts) == 5 and parts[2] == "raw" and parts[1] in self.github.gists:
            for sha, texts, _ in self.github.gists[parts[1]].revisions:
                if sha == parts[3] and parts[4] in texts:
                    return self.send(200, texts[parts[4]], {"Content-Type": "text/plain"})
        self.send(404, b'{"message": "Not Found"}')

    def send(self, status: int, body: bytes = b"{}", headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(body)),
            "Content-Type": "application/json",
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


# ---- misbehaviour ----------------------------------------------------------------------------------------------------


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes = b"{}") -> Answer:
    """Answer everything with this status."""
    return lambda handler: handler.send(code, body, headers)


def raw(content: bytes) -> Answer:
    """Write these bytes instead of an HTTP answer, and hang up."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(content)
        handler.close_connection = True

    return answer


def dripping(before: bytes, drop: bytes) -> Answer:
    """Write ``before``, then one drop after the other for ever, so that no single byte is late."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(before)
        while not handler.github.closing.wait(DRIP):
            handler.wfile.write(drop)
            handler.wfile.flush()

    return answer


def silent(handler: Handler) -> None:
    """Take the request and say nothing."""
    handler.github.closing.wait(30)


def changed(**fields: Any) -> Answer:
    """Answer as GitHub does, with some fields of the answer replaced."""

    def answer(handler: Handler) -> None:
        found = handler.github.describe(handler.path.split("/")[2], None)
        handler.send(200, json.dumps({**(found or {}), **fields}).encode())

    return answer
