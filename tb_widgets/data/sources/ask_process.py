"""Asking the process that talks to the network."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tb_widgets
from tb_widgets.errors import DataError
from tb_widgets.runs.folders import default_cache_dir
from tb_widgets.runs.json_process import JsonProcess

Progress = Callable[[str, float], None]


def ask(request: dict[str, Any], on_progress: Progress | None, *, within: float = math.inf) -> dict[str, Any]:
    """Ask a process of its own, and return its answer.

    Raises
    ------
    DataError
        If it answers that it can't, does not answer in time, or ends without an answer.
    """
    home = str(Path(tb_widgets.__path__[0]).parent.absolute())  # it may be a zip that only this process knows of
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH")))),
        "TB_CACHE_DIR": str(default_cache_dir()),
    }
    until = time.monotonic() + within
    # An empty folder of its own, where no other folder can be taken for a dataset of the same name.
    with tempfile.TemporaryDirectory(prefix="tb_widgets-fetch-") as folder:
        process = JsonProcess(
            "tb_widgets.data.remote.process",
            environment,
            name="download process",
            raises=DataError,
            folder=folder,
        )
        try:
            return answer_of(process, request, on_progress, until)
        finally:
            process.kill()


def answer_of(
    process: JsonProcess, request: dict[str, Any], on_progress: Progress | None, until: float
) -> dict[str, Any]:
    """Ask a process that is there; otherwise as :func:`ask`, until a moment of ``time.monotonic()``."""
    process.send(request)
    for answer in process.answers(until):
        if "answer" in answer:
            return dict(answer["answer"])
        if "error" in answer:
            raise DataError(answer["error"], hint=answer["hint"])
        if on_progress is not None:
            on_progress(*answer["progress"])
    if process.has_ended:
        end = f"The download process ended without an answer (exit code {process.code})."
        raise DataError(f"{end} {process.last_words(2)}".strip(), hint="Try again; if memory ran out, free some of it.")
    raise DataError("The Hugging Face Hub did not answer in time.", hint="Check your connection and try again.")
