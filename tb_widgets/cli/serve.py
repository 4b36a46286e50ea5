"""The dashboard as a page of its own: ``app``."""

from __future__ import annotations

from typing import Annotated

import typer

from tb_widgets.cli.options import RunsDir
from tb_widgets.runs import default_runs_dir


def app(
    port: Annotated[int | None, typer.Option(metavar="N", min=1, max=65535, help="Port (default: a free one).")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Open the dashboard in a browser. Ctrl-C closes it; runs continue."""
    from tb_widgets.app.page.server import serve

    folder = runs_dir.expanduser().absolute() if runs_dir is not None else default_runs_dir()
    raise typer.Exit(serve(port, folder, not no_browser))
