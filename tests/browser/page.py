"""A page that holds a dashboard: opened as its host needs it, and watched for what a user should never meet."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from .servers import Server, write_notebook

FIRST_WIDGET_MS = 90_000
OWN_HOSTS = {"127.0.0.1", "localhost"}

_NOTEBOOK_READY = """() => window.Jupyter?.notebook?._fully_loaded && Jupyter.notebook.kernel?.is_connected()
  && ["anywidget", "jupyterlab-plotly", "jupyter-js-widgets"].every(n => require.defined(`nbextensions/${n}/extension`))
"""
# Notebook 6 asks a new kernel which widgets it has, in three exchanges. A cell that runs in between is drawn, thrown
# away and drawn half, "Could not add child view to box". Each of these waits for its turn behind one of those.
_NOTEBOOK_SETTLED = """async () => {
  for (let turn = 0; turn < 4; turn++) await new Promise(done => Jupyter.notebook.kernel.kernel_info(done));
}"""
_LAB_RUN = """async () => {
  const panel = window.jupyterapp.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await window.jupyterapp.commands.execute("notebook:run-all-cells");
}"""


class DashboardPage:
    """A browser page and what went wrong in it.

    Attributes
    ----------
    page
        The Playwright page, for everything a test wants to see or press.
    host
        ``voila``, ``shared`` (Voila as others can reach it), ``lab`` or ``floor``.
    runs_dir
        The runs directory that the dashboard in it works on.
    console_errors, page_errors, outside_requests
        Collected since the page was opened; ``assert_clean`` wants all three empty.
    """

    def __init__(self, browser: Browser, host: str, runs_dir: Path, *, width: int, height: int, dark: bool) -> None:
        self.host = host
        self.runs_dir = runs_dir
        self.console_errors: list[str] = []
        self.page_errors: list[str] = []
        self.outside_requests: list[str] = []
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        # Of the whole context, so that a page opened by the page is watched as well.
        self.context.on("console", self._note_console)
        self.context.on("weberror", lambda error: self.page_errors.append(str(error.error)))
        self.context.on("request", self._note_request)
        self.page: Page = self.context.new_page()

    def open(self, server: Server, source: str, name: str, runs_dir: Path | None) -> None:
        """Open ``source`` in ``server`` and wait for its first widget."""
        if self.host in ("voila", "shared"):
            self.page.goto(server.url)
        else:
            write_notebook(server.folder / f"{name}.ipynb", source, runs_dir)
            if self.host == "lab":
                # One document, no side bars: the width asked for is the width the notebook gets.
                self.page.goto(f"{server.url}/doc/tree/{name}.ipynb?reset")
                self.page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext")
                self.page.evaluate(_LAB_RUN)
            else:
                self.page.goto(f"{server.url}/notebooks/{name}.ipynb")
                self.page.wait_for_function(_NOTEBOOK_READY)
                self.page.wait_for_selector(".kernel_idle_icon", state="attached")
                self.page.evaluate(_NOTEBOOK_SETTLED)
                self.page.evaluate("() => Jupyter.notebook.execute_all_cells()")
        self.wait_for_widgets()

    def wait_for_widgets(self) -> None:
        """Wait until a widget can be seen: after ``open``, and after a reload."""
        self.page.locator(".jupyter-widgets").first.wait_for(state="visible", timeout=FIRST_WIDGET_MS)

    def assert_clean(self) -> None:
        """Fail if the page met an error, or asked any other host for anything."""
        found = {
            "errors in the console": self.console_errors,
            "uncaught errors": self.page_errors,
            "requests to other hosts": self.outside_requests,
        }
        told = [f"{what}:\n  " + "\n  ".join(lines) for what, lines in found.items() if lines]
        assert not told, f"The page in {self.host} was not clean.\n" + "\n".join(told)

    def forget_errors(self) -> None:
        """Judge the page from here on only: what it met before was done to it on purpose."""
        self.console_errors.clear()
        self.page_errors.clear()

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)

    def close(self) -> None:
        # beforeunload runs, as when a user closes the tab: the page's kernel is told to end.
        if not self.page.is_closed():
            self.page.close(run_before_unload=self.host in ("voila", "shared"))
        self.context.close()

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.console_errors.append(f"{message.text} ({message.location.get('url', '')})")

    def _note_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in {"blob", "data"} and address.hostname not in OWN_HOSTS:
            self.outside_requests.append(request.url)
