"""Voila with our notebook, our template and nothing loose: the process that ``tb_widgets.app.page.server`` starts."""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.ioloop import IOLoop
from tornado.web import HTTPError
from traitlets import Integer
from traitlets.config import Config
from voila.app import Voila
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from voila.tornado.handler import TornadoVoilaHandler

from tb_widgets.app.page.server import ADDRESS, MOST_PAGES, NAME_HEADER

PAGE = Path(__file__).parent

# A reload leaves its kernel behind if the browser could not say goodbye. Kernels with an open page are never culled.
CULL_AFTER_SECONDS = 300
CULL_EVERY_SECONDS = 30
PLACE_WITHIN_SECONDS = 3.0

WIDGET_EXTENSIONS = [
    "@jupyter-widgets/jupyterlab-manager",  # brings the base widgets that Voila's own manager shows
    "@voila-dashboards/widgets-manager8",
    "@voila-dashboards/widgets-manager7",  # Voila takes the one that suits the installed ipywidgets
    "anywidget",
    "jupyterlab-plotly",  # FigureWidget before plotly 6
]

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        # Voila writes inline scripts, anywidget imports its modules from blob:.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline' blob: data:",
        "img-src 'self' blob: data:",
        "font-src 'self' data:",
        "media-src 'self' blob: data:",
        "worker-src 'self' blob:",
        # Safari before 16 does not count websockets as 'self'.
        "connect-src 'self' blob: data: ws://127.0.0.1:* ws://localhost:*",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    ]
)


class ThisPython(KernelSpecManager):
    """Offers one kernel, the Python that runs us, whatever kernels the user has registered under its name."""

    def _kernel_dirs_default(self) -> list[str]:
        return []


class Refusal(HTTPError):  # noqa: N818  (an answer, not a mishap)
    """Why the page is not shown, and what to do, as a page of its own."""

    def __init__(self, status: int, title: str, advice: str) -> None:
        super().__init__(status, title)
        self.title, self.advice = title, advice


class FewKernels(AsyncMappingKernelManager):
    """Starts only so many kernels: each takes memory, and any program of this machine may ask for the page."""

    most = Integer(MOST_PAGES, help="Kernels that may live at once.").tag(config=True)
    _starting = 0

    async def start_kernel(self, **kwargs: Any) -> str:  # type: ignore[override]
        """Start a kernel, or say that there are enough."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PLACE_WITHIN_SECONDS
        # A page that reloads asks anew while its old kernel is still ending.
        while (full := len(self) + self._starting >= self.most) and loop.time() < deadline:
            await asyncio.sleep(0.1)
        if full:
            raise Refusal(
                503,
                f"{self.most} dashboards are open already.",
                "Close one of their tabs, then reload this page. The place of a tab that was lost is free after "
                f"about {CULL_AFTER_SECONDS // 60} minutes. Runs continue.",
            )
        self._starting += 1
        try:
            return str(await super().start_kernel(**kwargs))
        finally:
            self._starting -= 1


class Page(TornadoVoilaHandler):  # type: ignore[misc]  # voila has no types
    """Shows the dashboard, for which each time a kernel is started, to whoever goes there."""

    async def get(self, path: str | None = None) -> None:
        """Show the page, unless another site wants it as a part of its own, or nobody is looking yet."""
        ask = self.request.headers.get
        # A link on another site, which the user follows, is a document of its own. Old browsers send none of these.
        is_own = ask("Sec-Fetch-Site", "none") in ("same-origin", "none")
        is_visit = (ask("Sec-Fetch-Mode"), ask("Sec-Fetch-Dest")) == ("navigate", "document")
        if not (is_own or is_visit) or "prefetch" in ask("Sec-Purpose", ""):
            raise Refusal(403, "Another site asked for this page.", "Open its address in a tab of its own.")
        await super().get(path)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Show a refusal in words."""
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, Refusal):
            template = self.get_template("refusal.html.j2")
            self.finish(template.render(title=error.title, advice=error.advice))
        else:
            super().write_error(status_code, **kwargs)


class Goodbye(VoilaShutdownKernelHandler):  # type: ignore[misc]  # voila has no types
    """Ends the kernel of a page that closes or reloads.

    The page says so by a beacon with the token of a cookie, but Voila never sets that cookie: it answers 403 and the
    kernel stays. The origin says as well that the request comes from our own page.
    """

    def check_xsrf_cookie(self) -> None:
        """Refuse a request of another site."""
        if not self.check_origin():
            raise HTTPError(403, "Only the dashboard's own page may end its kernel.")


class PageServer(Voila):  # type: ignore[misc]  # voila has no types
    """Voila whose ``lab`` template is overlaid with ours."""

    def setup_template_dirs(self) -> None:
        """Look for templates in our folder first; the static files stay those of ``lab``."""
        super().setup_template_dirs()
        self.template_paths: list[str] = [str(PAGE / "templates"), *self.template_paths]

    def init_handlers(self) -> list[Any]:
        """Put our page in the place of Voila's, and our goodbye before its own."""
        found = super().init_handlers()
        handlers = [
            (path, Page if handler is TornadoVoilaHandler else handler, *more) for path, handler, *more in found
        ]
        return [(r"/voila/api/shutdown/(.*)", Goodbye), *handlers]


def configuration(port: int, log: Path, most_pages: int) -> Config:
    """Return the settings of the page server."""
    return Config(
        {
            "Voila": {
                "ip": ADDRESS,
                "port": port,
                "port_retries": 0,  # the address has been announced, another port would be a lie
                "open_browser": False,
                "config_file_paths": [],  # a voila.json lying about must not loosen what follows
                "tornado_settings": {
                    "headers": {
                        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
                        "X-Content-Type-Options": "nosniff",
                        NAME_HEADER: log.name,  # tells who waits for this server that it is this one
                    },
                    # A foreign site whose name resolves to 127.0.0.1 must not drive the dashboard.
                    "allow_remote_access": False,
                    "local_hostnames": ["localhost"],
                },
            },
            "VoilaConfiguration": {
                "template": "lab",
                "allow_template_override": "NO",
                "allow_theme_override": "NO",
                "strip_sources": True,
                "show_tracebacks": False,
                # What a user installed for JupyterLab only delays this page, and warns in its console.
                "extension_allowlist": WIDGET_EXTENSIONS,
                "file_allowlist": [],  # the page needs no file of its folder
                "kernel_spec_manager_class": ThisPython,
                "multi_kernel_manager_class": FewKernels,
            },
            "VoilaExecutor": {"cell_error_instruction": f"The log says why: {log}"},
            "FewKernels": {
                "most": most_pages,
                "root_dir": str(Path.cwd()),  # kernels start here, so a path means what it means in the terminal
                "cull_idle_timeout": CULL_AFTER_SECONDS,
                "cull_interval": CULL_EVERY_SECONDS,
                "cull_connected": False,
            },
        }
    )


def main() -> None:
    """Serve until the parent goes away."""
    parser = argparse.ArgumentParser(prog="python -m tb_widgets.app.page", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True, help="named to the user when the page can't be built")
    parser.add_argument("--notebook", type=Path, default=PAGE / "dashboard.ipynb")
    parser.add_argument("--most-pages", type=int, default=MOST_PAGES)
    options = parser.parse_args()

    server = PageServer.instance(config=configuration(options.port, options.log, options.most_pages))
    server.initialize([str(options.notebook)])
    loop = IOLoop.current()

    def stop_with_parent() -> None:
        sys.stdin.buffer.read()  # returns when the parent closes the pipe, or dies
        loop.add_callback(loop.stop)

    threading.Thread(target=stop_with_parent, name="stop-with-parent", daemon=True).start()
    server.start()


if __name__ == "__main__":
    main()
