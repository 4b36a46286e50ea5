"""The hosts a dashboard lives in, each started as a user would start it, with settings of its own."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import nbformat

REPOSITORY = Path(__file__).parents[2]
FLOOR_PYTHON = REPOSITORY / ".venv-floor" / "bin" / "python"
START_SECONDS = 90.0

DASHBOARD = "import tb_widgets\n\ntb_widgets.Dashboard()"

_SERVE = """
import sys
from pathlib import Path
from tb_widgets.app.page.server import serve
sys.exit(serve(int(sys.argv[1]), Path(sys.argv[2]), False, notebook=Path(sys.argv[3])))
"""


@dataclass
class Server:
    """A running host."""

    host: str
    url: str
    folder: Path
    runs_dir: Path
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End it the way Ctrl-C or the session's end does, and wait until it is gone."""
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(host: str, folder: Path, runs_dir: Path, source: str, port: int | None = None) -> Server:
    """Start ``host`` with its settings, notebooks and log in ``folder``. Only Voila is bound to one ``source``."""
    folder.mkdir(parents=True)
    runs_dir.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    hosts = {"voila": _voila, "shared": _shared, "lab": _lab, "floor": _floor}
    command, probe = hosts[host](port, folder, runs_dir, source)
    environment = {
        **os.environ,
        "TB_RUNS_DIR": str(runs_dir),
        "PYTHONPATH": str(REPOSITORY),  # the floor has our dependencies but not us
        # Nothing of the user's own Jupyter, neither read nor written.
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    server = Server(host, f"http://127.0.0.1:{port}", folder, runs_dir, process)
    _wait_until_it_answers(process, port, probe, log)
    return server


def write_notebook(path: Path, source: str, runs_dir: Path | None = None) -> Path:
    """Write a notebook of one cell; another one before it sets the runs directory where the server's is not meant."""
    cells = [nbformat.v4.new_code_cell(source)]
    if runs_dir is not None:
        cells.insert(0, nbformat.v4.new_code_cell(f"import os\n\nos.environ['TB_RUNS_DIR'] = {str(runs_dir)!r}"))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "title": "Transformer Builder"})
    nbformat.write(notebook, path)
    return path


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _voila(port: int, folder: Path, runs_dir: Path, source: str) -> tuple[list[str], str]:
    # Answers when the command says so; the page itself would start a kernel.
    probe = "/voila/templates/lab/static/theme-light.css"
    if source == DASHBOARD:
        options = ["--port", str(port), "--no-browser", "--runs-dir", str(runs_dir)]
        return [sys.executable, "-m", "tb_widgets", "app", *options], probe
    notebook = write_notebook(folder / "page.ipynb", source)
    return [sys.executable, "-c", _SERVE, str(port), str(runs_dir), str(notebook)], probe


def _shared(port: int, folder: Path, runs_dir: Path, source: str) -> tuple[list[str], str]:
    # As an operator serves a notebook to others: Voila as it comes, and nothing of ours around it.
    notebook = write_notebook(folder / "page.ipynb", source)
    options = ["--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1"]
    return [sys.executable, "-m", "voila", str(notebook), *options], "/voila/templates/lab/static/theme-light.css"


def _lab(port: int, folder: Path, runs_dir: Path, source: str) -> tuple[list[str], str]:
    # Quiet and at home: no news, no update check, no list of extensions, and light or dark as the browser says.
    settings = folder / "settings"
    for extension, plugin, values in [
        (
            "apputils-extension",
            "notification",
            {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
        ),
        ("apputils-extension", "themes", {"adaptive-theme": True}),
    ]:
        file = settings / "@jupyterlab" / extension / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")
    options = [
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        f"--LabApp.user_settings_dir={settings}",
        f"--LabApp.workspaces_dir={folder / 'workspaces'}",
        "--expose-app-in-browser",  # so that a test can run cells by Lab's own command
        "--IdentityProvider.token=",
        "--ServerApp.allow_root=True",
        "--ServerApp.open_browser=False",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
    ]
    return [sys.executable, "-m", "jupyterlab", *options], "/api"


def _floor(port: int, folder: Path, runs_dir: Path, source: str) -> tuple[list[str], str]:
    options = [
        "--NotebookApp.token=",
        "--NotebookApp.password=",
        "--NotebookApp.allow_root=True",
        "--NotebookApp.open_browser=False",
        "--NotebookApp.ip=127.0.0.1",
        f"--NotebookApp.port={port}",
        "--NotebookApp.port_retries=0",
        f"--NotebookApp.notebook_dir={folder}",
    ]
    return [str(FLOOR_PYTHON), "-m", "notebook", *options], "/api"


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, probe: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2)) as connection:
            try:
                connection.request("GET", probe)
                if connection.getresponse().status == http.HTTPStatus.OK:
                    return
            except (OSError, http.client.HTTPException):
                pass  # not yet: the loop asks again, or says why not
        try:
            code = process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
        raise RuntimeError(f"The server ended with code {code}:\n{log.read_text(errors='replace')[-3000:]}")
    process.kill()
    raise RuntimeError(f"No answer within {START_SECONDS:.0f} s:\n{log.read_text(errors='replace')[-3000:]}")
