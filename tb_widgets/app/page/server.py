"""The dashboard as a page of its own: starts and watches the page server of ``tb-widgets app``."""

from __future__ import annotations

import http.client
import importlib.metadata
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

from tb_widgets.errors import WRONG_INPUT, ServiceError
from tb_widgets.service.policy import ONLY_HERE

ADDRESS = "127.0.0.1"  # the dashboard runs code for whoever can reach it, so nobody else may
PREFERRED_PORTS = range(8866, 8876)
NEEDS_IPYWIDGETS = 8  # Voila's page has no base widgets for 7
MOST_PAGES = 10
START_SECONDS = 60.0
STOP_SECONDS = 15.0

# Answered without starting a kernel, unlike the page itself.
_PROBE_PATH = "/nothing"
# With this header each answer says which server it is: by the name of its log, which only we know.
NAME_HEADER = "X-Tb-Widgets"


def serve(
    port: int | None,
    runs_dir: Path,
    open_browser: bool,
    *,
    notebook: Path | None = None,
    most_pages: int = MOST_PAGES,
) -> int:
    """Serve the dashboard on this machine until Ctrl-C.

    The page server is a child process, so that nothing a kernel prints reaches the terminal. It holds a pipe
    from us and ends when that closes, so it goes with us even if we are killed. Training runs are processes
    of their own and go on.

    Parameters
    ----------
    port
        The port on 127.0.0.1, or None for a free one (8866 where possible).
    runs_dir
        The folder of runs that the dashboard shows and writes.
    open_browser
        Whether to open the page in the user's browser.
    notebook
        Another notebook to serve in place of our own page, for tests of the ground under it.
    most_pages
        How many pages may be open at once; each has a kernel of its own.

    Returns
    -------
    int
        The exit code: 0 after Ctrl-C.

    Raises
    ------
    ServiceError
        If Voila is missing or ipywidgets is too old for it, the port can't be used, or the server does not start or
        ends by itself.
    """
    _require_packages()
    port = _usable_port(port)
    url = f"http://{ADDRESS}:{port}"
    log = _new_log(port)
    with _terminate_like_interrupt():
        process = _start(port, runs_dir, notebook, log, most_pages)
        try:
            _wait_until_it_answers(process, port, log)
            print(f"Dashboard: {url}", flush=True)
            if open_browser and not webbrowser.open(url):
                print("No browser could be opened from here: open that address in yours.", flush=True)
            code = process.wait()
            raise ServiceError(f"The dashboard server ended by itself (exit code {code}).", hint=f"Its log: {log}")
        except KeyboardInterrupt:
            _stop(process)
            log.unlink(missing_ok=True)
            print("Dashboard stopped. Training runs continue.", flush=True)
            return 0
        finally:
            _stop(process)


def _require_packages() -> None:
    if importlib.util.find_spec("voila") is None:
        raise ServiceError("The dashboard page needs Voila.", hint='Install it with: pip install "tb-widgets[app]"')
    installed = importlib.metadata.version("ipywidgets")
    if int(installed.partition(".")[0]) < NEEDS_IPYWIDGETS:
        raise ServiceError(
            f"The dashboard page needs ipywidgets {NEEDS_IPYWIDGETS} or newer, and {installed} is installed: "
            "the page would stay empty.",
            hint='Install it with: pip install -U "tb-widgets[app]"',
        )


def _usable_port(port: int | None) -> int:
    """Return ``port`` if it can be bound, or a free one for None."""
    if port is None:
        for candidate in (*PREFERRED_PORTS, 0):
            with closing(_socket()) as probe:
                try:
                    probe.bind((ADDRESS, candidate))
                except OSError:
                    continue
                return int(probe.getsockname()[1])
        raise ServiceError(f"No port on {ADDRESS} can be opened.", hint="Does a sandbox or firewall forbid it?")
    with closing(_socket()) as probe:
        try:
            probe.bind((ADDRESS, port))
        except PermissionError as error:
            raise ServiceError(
                f"Port {port} needs more rights than you have.", hint="Choose one above 1023.", exit_code=WRONG_INPUT
            ) from error
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "ports go from 1 to 65535"
            raise ServiceError(
                f"Port {port} can't be used: {reason}.",
                hint="Choose another with --port, or leave --port out to get a free one.",
                exit_code=WRONG_INPUT,
            ) from error
    return port


def _socket() -> socket.socket:
    """Return a socket that judges a port as the server will: one in TIME_WAIT counts as free."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return probe


def _new_log(port: int) -> Path:
    handle, name = tempfile.mkstemp(prefix=f"tb-widgets-app-{port}-", suffix=".log")
    os.close(handle)
    return Path(name)


def _start(port: int, runs_dir: Path, notebook: Path | None, log: Path, most_pages: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tb_widgets.app.page", "--port", str(port), "--log", str(log)]
    command += ["--most-pages", str(most_pages)]
    if notebook is not None:
        command += ["--notebook", str(notebook.resolve())]
    # The kernel resolves what a user types (./model.py) from here, and finds the runs wherever it stands.
    environment = {**os.environ, "TB_RUNS_DIR": str(runs_dir.expanduser().resolve()), ONLY_HERE: "1"}
    with log.open("wb") as output:
        # A session of its own: Ctrl-C in the terminal reaches us only, and we end the server in order.
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(port, log):
        try:
            code = process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"The dashboard server did not answer within {START_SECONDS:.0f} s.", hint=f"Its log: {log}"
                ) from None
        else:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = f" Its last line: {lines[-1].strip()[:200]}" if lines else ""
            raise ServiceError(
                f"The dashboard server could not start (exit code {code}).{last}", hint=f"The whole log: {log}"
            )


def _answers(port: int, log: Path) -> bool:
    """Tell whether our own server answers: another program may have taken the port a moment before it."""
    # http.client and not urllib: a proxy set in the environment must not be asked for our own address.
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=2)
    with closing(connection):
        try:
            connection.request("GET", _PROBE_PATH)
            return connection.getresponse().headers.get(NAME_HEADER) == log.name
        except (OSError, http.client.HTTPException):
            return False  # not listening yet


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and its kernels; harmless if it has ended."""
    if process.stdin is not None:
        process.stdin.close()  # its sign to shut the kernels down and go
    for harder in (process.terminate, process.kill):
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            harder()
    process.wait()


@contextmanager
def _terminate_like_interrupt() -> Iterator[None]:
    """Let ``kill PID`` end us as Ctrl-C does. Signals can be set from the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
