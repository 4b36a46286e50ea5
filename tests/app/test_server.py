"""``serve``: it says when it answers, ends cleanly, leaves nothing behind, and says plainly what is wrong."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import psutil
import pytest

from tb_widgets.app.page.server import _answers, serve
from tb_widgets.errors import ServiceError

_SERVE = """
import sys
from pathlib import Path
from tb_widgets.app.page.server import serve
sys.exit(serve(None, Path("runs"), open_browser=False))
"""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in which ``serve`` has said that it answers."""
    # A CI step may be started with SIGINT ignored, which children inherit; a terminal never does that.
    process = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + _SERVE],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.communicate()


def announced_port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("Dashboard: http://127.0.0.1:"), line
    return int(line.rpartition(":")[2])


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
def test_it_ends_with_code_0_and_leaves_nothing(
    serving: subprocess.Popen[str], sign: signal.Signals, tmp_path: Path
) -> None:
    port = announced_port(serving)
    children = psutil.Process(serving.pid).children(recursive=True)
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass  # it answered when it said so

    serving.send_signal(sign)

    assert serving.wait(timeout=60) == 0
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert list(tmp_path.glob("tb-widgets-app-*.log")) == []


def test_a_killed_parent_takes_its_server_along(serving: subprocess.Popen[str]) -> None:
    announced_port(serving)
    children = psutil.Process(serving.pid).children(recursive=True)
    assert children

    serving.kill()

    assert psutil.wait_procs(children, timeout=60)[1] == []


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=f"Port {port} can't be used") as caught:
            serve(port, Path("runs"), open_browser=False)
    assert "--port" in caught.value.hint


def test_another_server_on_the_port_is_not_ours(tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()

        assert not _answers(other.server_port, tmp_path / "tb-widgets-app.log")

        other.shutdown()


def test_a_missing_voila_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(ServiceError) as caught:
        serve(None, Path("runs"), open_browser=False)
    assert 'pip install "tb-widgets[app]"' in caught.value.hint


def test_widgets_of_before_say_how_to_get_newer_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an environment that ``pip install voila`` was added to, beside Colab's ipywidgets."""
    metadata = tmp_path / "ipywidgets-7.7.1.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: ipywidgets\nVersion: 7.7.1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ServiceError, match=r"needs ipywidgets 8 or newer, and 7\.7\.1 is installed") as caught:
        serve(None, Path("runs"), open_browser=False)
    assert 'pip install -U "tb-widgets[app]"' in caught.value.hint


def test_a_server_that_can_not_start_shows_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    with pytest.raises(ServiceError, match=r"could not start \(exit code 1\).*no-such-page") as caught:
        serve(None, Path("runs"), open_browser=False, notebook=tmp_path / "no-such-page.ipynb")
    assert "log" in caught.value.hint
