"""The page's server opens to whoever sits at this machine, and to nobody else: asked over plain HTTP and websockets."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

MOST_PAGES = 3
VISIT = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-User": "?1"}
LINK = {"Sec-Fetch-Site": "cross-site", **VISIT}
TYPED = {"Sec-Fetch-Site": "none", **VISIT}
_SERVE = f"""
import sys
from pathlib import Path
from tb_widgets.app.page.server import serve
sys.exit(serve(None, Path("runs"), False, notebook=Path("page.ipynb"), most_pages={MOST_PAGES}))
"""


@dataclass
class Server:
    """A page server that shows a notebook of one cheap cell."""

    port: int
    process: psutil.Process
    folder: Path
    open: list[str] = field(default_factory=list)

    def get(self, path: str = "/", **headers: str) -> tuple[int, str]:
        """Ask for a path exactly as it is written, and return the status and the text."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.putrequest("GET", path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")

    def kernels(self) -> int:
        count = 0
        for child in self.process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                count += "ipykernel_launcher" in child.cmdline()
        return count

    def visit(self) -> str:
        """Open the page and return the id of its kernel."""
        status, text = self.get(**TYPED)
        found = re.search(r'"kernelId": "([\w-]+)"', text)
        assert (status, found is not None) == (200, True), text
        self.open.append(found[1])
        return found[1]

    def leave(self, kernel: str) -> None:
        """Say goodbye as a page that closes does."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            own = {"Origin": f"http://127.0.0.1:{self.port}"}
            connection.request("POST", f"/voila/api/shutdown/{kernel}", headers=own)
            assert connection.getresponse().status == 204
        self.open.remove(kernel)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("page")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell("print('shown')")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "page.ipynb")
    (folder / "secret.txt").write_text("secret")
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    yield Server(int(line.rpartition(":")[2]), psutil.Process(process.pid), folder)
    process.terminate()
    process.communicate(timeout=60)


@pytest.fixture
def server(serving: Server) -> Iterator[Server]:
    """The server, without a page open."""
    yield serving
    for kernel in [*serving.open]:
        serving.leave(kernel)


def part(site: str, mode: str, dest: str, **more: str) -> dict[str, str]:
    """What a browser says when a page asks for ours as a part of its own."""
    return {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest, **more}


@pytest.mark.parametrize(
    "asks",
    [
        part("cross-site", "no-cors", "image"),
        part("cross-site", "no-cors", "empty"),
        part("cross-site", "cors", "empty"),
        part("cross-site", "no-cors", "script"),
        part("cross-site", "navigate", "iframe"),
        part("cross-site", "navigate", "object"),
        part("same-site", "navigate", "iframe"),  # another port of this machine
        part("same-site", "no-cors", "image"),
        {**LINK, "Sec-Purpose": "prefetch;prerender"},
    ],
    ids=str,
)
def test_another_site_starts_no_kernel(server: Server, asks: dict[str, str]) -> None:
    status, text = server.get(**asks)
    assert (status, server.kernels()) == (403, 0)
    assert "Another site asked for this page" in text
    assert "a tab of its own" in text


@pytest.mark.parametrize("asks", [LINK, TYPED, part("same-origin", "navigate", "iframe"), {}], ids=str)
def test_a_link_an_address_and_an_old_browser_open_the_page(server: Server, asks: dict[str, str]) -> None:
    status, text = server.get("/?gist_id=0123abcd", **asks)
    server.open += re.findall(r'"kernelId": "([\w-]+)"', text)
    assert (status, server.kernels()) == (200, 1)
    assert "shown" in text


def test_only_so_many_pages_are_open_at_once(server: Server, until: Callable[..., Any]) -> None:
    pages = [server.visit() for _ in range(MOST_PAGES)]
    status, text = server.get(**TYPED)
    assert (status, server.kernels()) == (503, MOST_PAGES)
    assert f"{MOST_PAGES} dashboards are open already" in text
    assert "Close one of their tabs, then reload this page" in text
    # A page that reloads says goodbye and asks anew at once.
    leaving = threading.Thread(target=server.leave, args=(pages[0],))
    leaving.start()
    server.visit()
    leaving.join()
    until(lambda: server.kernels() == MOST_PAGES)


def test_no_other_page_may_frame_this_one(server: Server) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request("GET", "/nothing")
        policy = connection.getresponse().headers["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in policy.split("; ")


@pytest.mark.parametrize("path", ["/", "/voila/static/main.js", "/api/kernels/0"])
def test_a_foreign_name_for_this_machine_is_refused(server: Server, path: str) -> None:
    """As when a site lets its own name point to 127.0.0.1."""
    assert server.get(path, Host=f"evil.example:{server.port}")[0] == 403
    assert server.kernels() == 0


@pytest.mark.parametrize("before", ["/voila/files/", "/voila/static/", "/static/", "/voila/templates/lab/", "/"])
@pytest.mark.parametrize(
    "path", ["secret.txt", "{up}etc/passwd", "{coded}etc/passwd", "{up}proc/self/environ", "/etc/passwd"]
)
def test_no_file_of_this_machine_is_served(server: Server, before: str, path: str) -> None:
    status, text = server.get(before + path.format(up="../" * 12, coded="%2e%2e%2f" * 12))
    assert status >= 300
    assert not re.search("^secret|root:|PATH=", text)
    assert server.kernels() == 0


async def channels(server: Server, kernel: str, origin: str | None = None) -> WebSocketClientConnection:
    origin = origin or f"http://127.0.0.1:{server.port}"
    url = f"ws://127.0.0.1:{server.port}/api/kernels/{kernel}/channels"
    return await websocket_connect(HTTPRequest(url, headers={"Origin": origin}))


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_another_site_gets_no_channel_to_the_kernel(server: Server, origin: str) -> None:
    kernel = server.visit()
    with pytest.raises(HTTPClientError, match="403"):
        asyncio.run(channels(server, kernel, origin))


def message(kind: str, content: dict[str, Any], channel: str = "shell") -> str:
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": kind,
        "username": "",
        "session": "s",
        "version": "5.3",
        "date": "",
    }
    parts = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "buffers": []}
    return json.dumps({"channel": channel, **parts})


async def answers(server: Server, kernel: str, sent: list[str]) -> list[str]:
    """Send messages and then a plain question; return the kinds of everything that comes until its answer."""
    connection = await channels(server, kernel)
    for words in [*sent, message("kernel_info_request", {})]:
        await connection.write_message(words)
    kinds: list[str] = []
    while "kernel_info_reply" not in kinds:
        words = await asyncio.wait_for(connection.read_message(), 30)
        assert isinstance(words, str), "the channel was closed"
        kinds.append(json.loads(words)["header"]["msg_type"])
    connection.close()
    return kinds


@pytest.mark.parametrize("channel", ["shell", "control"])
def test_the_page_runs_no_code_in_its_kernel(server: Server, channel: str) -> None:
    planted = server.folder / "planted"
    code = f"open({str(planted)!r}, 'w').write('x')"
    asked = {
        "execute_request": {"code": code, "silent": False, "store_history": False, "user_expressions": {"a": code}},
        "complete_request": {"code": "impor", "cursor_pos": 5},
        "inspect_request": {"code": "print", "cursor_pos": 5, "detail_level": 0},
        "history_request": {"output": True, "raw": True, "hist_access_type": "tail", "n": 9},
        "debug_request": {"type": "request", "seq": 1, "command": "initialize", "arguments": {}},
        "create_subshell_request": {},
        "input_reply": {"value": "x"},
    }
    kinds = asyncio.run(answers(server, server.visit(), [message(kind, what, channel) for kind, what in asked.items()]))
    assert not planted.exists()
    assert not {kind.replace("request", "reply") for kind in asked} & {*kinds}


def test_odd_messages_of_widgets_leave_the_kernel_alive(server: Server) -> None:
    nested: Any = []
    for _ in range(200):
        nested = [nested]
    contents: list[Any] = [
        {"comm_id": "none", "data": {}},
        {"comm_id": "none", "data": nested},
        {"comm_id": None, "data": None},
        {"comm_id": {"a": 1}, "target_name": 5, "data": {"method": "update", "state": {"x": 1e400}}},
        {"comm_id": "x" * 100_000, "target_name": "jupyter.widget", "data": {"state": {"_model_name": "\ud800"}}},
        {},
    ]
    kernel = server.visit()

    async def send(words: str) -> None:
        """Over a channel of its own: the server may close it."""
        connection = await channels(server, kernel)
        await connection.write_message(words)
        connection.close()

    for kind in ("comm_open", "comm_msg", "comm_close"):
        for content in contents:
            asyncio.run(send(message(kind, content)))
    assert "kernel_info_reply" in asyncio.run(answers(server, kernel, []))
