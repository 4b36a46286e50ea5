"""A Hugging Face Hub on this machine: datasets and plain files, and faults on purpose."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "fedcba9876543210fedcba9876543210fedcba98"
HELD_AT_ONCE = 100_000  # bytes: larger files are kept apart on the Hub, and named by their sha256


@dataclass
class Repository:
    """One repository: its files, its commit, and who may see it."""

    files: dict[str, bytes]
    kind: str = "datasets"
    sha: str = COMMIT
    refusal: tuple[int, str] | None = None  # status and X-Error-Code for whoever asks

    def entry(self, path: str) -> dict[str, Any]:
        content = self.files[path]
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": oid}
        if len(content) > HELD_AT_ONCE:
            sha = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": sha, "size": len(content), "pointerSize": 130}
        return entry

    def tree(self, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for path in sorted(self.files):
            if folder and not path.startswith(f"{folder}/"):
                continue
            rest = path[len(folder) + 1 if folder else 0 :]
            parts = rest.split("/")
            for depth in range(1, len(parts) if recursive else min(2, len(parts))):
                name = "/".join(filter(None, (folder, *parts[:depth])))
                found.setdefault(name, {"type": "directory", "path": name, "oid": "0" * 40, "size": 0})
            if recursive or len(parts) == 1:
                found[path] = self.entry(path)
        return list(found.values())


@dataclass
class HubServer:
    """A loopback server; use it as a context. ``url`` goes into ``HF_ENDPOINT``.

    ``seen`` holds (method, path, headers) of every request. ``fault``, where it is set, is asked first and returns
    whether it has answered. ``files`` lie outside of any repository, at ``/files/NAME``.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    fault: Callable[[Handler], bool] | None = None

    def __post_init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._server.hub = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> HubServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server: from then on connections are refused."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, identity: str, files: Mapping[str, bytes | str], **facts: Any) -> Repository:
        """Add a repository."""
        content = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
        self.repositories[identity] = Repository(content, **facts)
        return self.repositories[identity]

    def sent(self, part: str, method: str = "GET") -> list[dict[str, str]]:
        """Return the headers of the requests whose path holds a part."""
        return [headers for verb, path, headers in self.seen if verb == method and part in path]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> HubServer:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        self.hub.seen.append((self.command, self.path, {name.lower(): text for name, text in self.headers.items()}))
        # A client that gives up closes its end while we write.
        with contextlib.suppress(ConnectionError):
            if self.hub.fault is None or not self.hub.fault(self):
                self.serve()

    do_HEAD = do_POST = do_GET

    def serve(self) -> None:
        """Answer as the Hub does."""
        address = urlsplit(self.path)
        path, query = unquote(address.path), parse_qs(address.query)
        if path.startswith("/files/") and path[7:] in self.hub.files:
            content = self.hub.files[path[7:]]
            self.send_content(content, {"ETag": f'"{hashlib.md5(content).hexdigest()}"'})
        elif path in ("/api/datasets", "/api/models"):
            self.search(path[5:], query)
        elif found := re.fullmatch(r"/api/(datasets|models)/([^/]+/[^/]+)(?:/(.*))?", path):
            self.api(found[1], found[2], found[3] or "", query)
        elif found := re.fullmatch(r"(/datasets)?/([^/]+/[^/]+)/resolve/((?:refs/\w+/)?[^/]+)/(.+)", path):
            repository = self.repository("datasets" if found[1] else "models", found[2], found[3])
            if repository is not None and found[4] not in repository.files:
                self.refuse(404, "EntryNotFound")
            elif repository is not None:
                entry, headers = repository.entry(found[4]), {"X-Repo-Commit": repository.sha}
                headers["ETag"] = f'"{entry.get("lfs", entry)["oid"]}"'
                self.send_content(repository.files[found[4]], headers)
        else:
            self.refuse(404, "")

    def repository(self, kind: str, identity: str, revision: str) -> Repository | None:
        """Return a repository at a revision, or refuse."""
        repository = self.hub.repositories.get(identity)
        if repository is None or repository.kind != kind:
            return self.refuse(404, "RepoNotFound")
        if repository.refusal is not None:
            return self.refuse(*repository.refusal)
        if revision not in ("main", repository.sha):
            return self.refuse(404, "RevisionNotFound")
        return repository

    def search(self, kind: str, query: dict[str, list[str]]) -> None:
        words = query.get("search", [""])[0].lower()
        hits = [
            {"id": name, "downloads": 7, "likes": 1, "tags": ["size_categories:1K<n<10K"], "description": "A test"}
            for name, repository in self.hub.repositories.items()
            if repository.kind == kind and words in name.lower()
        ]
        self.send_json(hits)

    def api(self, kind: str, identity: str, rest: str, query: dict[str, list[str]]) -> None:
        what, _, tail = rest.partition("/")
        revision, _, folder = tail.partition("/") if what != "revision" else (tail, "", "")
        repository = self.repository(kind, identity, revision or "main")
        if repository is None:
            return
        if what in ("", "revision"):
            siblings = []
            for path in sorted(repository.files):
                entry = repository.entry(path)
                lfs = entry.get("lfs")
                held = {"lfs": {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": 130}} if lfs else {}
                siblings.append({"rfilename": path, "size": entry["size"], "blobId": entry["oid"], **held})
            facts = {"id": identity, "author": identity.partition("/")[0], "sha": repository.sha, "siblings": siblings}
            return self.send_json(facts | {"private": False, "gated": False, "tags": [], "downloads": 7})
        if what == "tree":
            return self.send_json(repository.tree(folder, recursive=query.get("recursive", [""])[0].lower() == "true"))
        if what == "paths-info":
            asked = self.asked_paths()
            entries = {entry["path"]: entry for entry in repository.tree("", recursive=True)}
            return self.send_json([entries[path] for path in asked if path in entries])
        return self.refuse(404, "")

    def asked_paths(self) -> list[str]:
        if "json" in self.headers.get("Content-Type", ""):
            return list(json.loads(self.body)["paths"])
        return parse_qs(self.body.decode())["paths"]

    def refuse(self, status: int, code: str) -> None:
        self.send(status, b'{"error": "no"}', {"X-Error-Code": code, "X-Error-Message": code} if code else {})

    def send_json(self, value: Any) -> None:
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def send_content(self, content: bytes, headers: Mapping[str, str]) -> None:
        """Send a file, or the part of it that is asked for."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range", headers["ETag"])
        if self.headers.get("If-None-Match") == headers["ETag"]:
            return self.send(304, b"", headers)
        if wanted is None or condition != headers["ETag"]:
            return self.send(200, content, {"Accept-Ranges": "bytes", **headers})
        first, last = int(wanted[1]), min(int(wanted[2] or len(content) - 1), len(content) - 1)
        if first >= len(content):
            return self.send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        span = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        return self.send(206, content[first : last + 1], {**headers, **span})

    def send(self, status: int, body: bytes, headers: Mapping[str, str], *, only: int | None = None) -> None:
        """Send an answer; with ``only``, hang up after so many bytes of it."""
        self.send_response(status)
        kinds = {"Content-Length": str(len(body)), "Content-Type": "application/octet-stream"}
        for name, value in (kinds | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if only is None else body[:only])
        if only is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


# ---- faults ----------------------------------------------------------------------------------------------------------


def status(code: int, part: str = "", headers: Mapping[str, str] | None = None) -> Callable[[Handler], bool]:
    """Answer with a status whatever's path holds a part."""

    def answer(handler: Handler) -> bool:
        if part not in handler.path:
            return False
        handler.send(code, b"{}", headers or {})
        return True

    return answer


def cut(part: str, after: int, *, again: bool = True) -> Callable[[Handler], bool]:
    """Hang up after so many bytes of what is asked for under a path, and again at once whenever it is gone on with."""
    left = [after]

    def answer(handler: Handler) -> bool:
        if handler.command != "GET" or part not in handler.path or (not left[0] and not again):
            return False
        only, left[0] = left[0], 0
        whole = handler.send
        handler.send = lambda status, body, headers: whole(status, body, headers, only=only)  # type: ignore[method-assign,misc,assignment]
        handler.serve()
        return True

    return answer
