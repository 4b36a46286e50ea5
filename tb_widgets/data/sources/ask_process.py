"""Asking the process that talks to the network."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tb_widgets
from tb_widgets.errors import DataError
from tb_widgets.runs.folders import default_cache_dir

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
    ends = time.monotonic() + within
    # An empty folder of its own, where no other folder can be taken for a dataset of the same name.
    with tempfile.TemporaryDirectory(prefix="tb_widgets-fetch-") as folder, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "tb_widgets.data.remote.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd=folder,
                text=True,
                encoding="utf-8",
            )
        except OSError as error:
            raise DataError(
                f"A process to fetch data in can't be started: {error.strerror or error}.", hint="Free some memory."
            ) from error
        with process:
            try:
                answer = _followed(process, request, on_progress, ends)
            finally:
                process.kill()
        if answer is None:
            errors.seek(0)
            last = " ".join(errors.read().decode(errors="replace").splitlines()[-2:])
            raise DataError(
                f"The process that fetches ended without an answer (exit code {process.returncode}). {last}".strip(),
                hint="Try again; if memory ran out, free some.",
            )
    if "error" in answer:
        raise DataError(answer["error"], hint=answer["hint"])
    return dict(answer["answer"])


def _followed(
    process: subprocess.Popen[str], request: dict[str, Any], on_progress: Progress | None, ends: float
) -> dict[str, Any] | None:
    if process.stdin is None or process.stdout is None:
        raise AssertionError  # both are pipes
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    for line in process.stdout:
        answer = dict(json.loads(line))
        if "progress" not in answer:
            return answer
        if on_progress is not None:
            on_progress(*answer["progress"])
        if time.monotonic() > ends:
            return {"error": "The Hub has not answered in time.", "hint": "Look at your connection and try again."}
    return None
