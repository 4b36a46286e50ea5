"""The process that fetches: questions on standard input, JSON lines as the answers.

It alone talks to the network and holds a token, if there is one; pages and workers see the files that it leaves.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, TextIO
from urllib.parse import unquote, urlsplit

from tb_widgets.data.cache import fetched as kept
from tb_widgets.data.cache.limit import cache_limit, make_room
from tb_widgets.data.sources.file_names import clean_name
from tb_widgets.data.sources.remote import hub, look
from tb_widgets.data.sources.remote.download import Download, RefusedError, explained, sha256_of
from tb_widgets.data.sources.remote.patience import patience
from tb_widgets.errors import DataError
from tb_widgets.runs.folders import default_cache_dir

TELL_EVERY = 0.2  # seconds: whoever asked may want to end it

Report = Callable[[str, float], None]


def main() -> int:
    """Answer questions until there are no more."""
    # Whatever the libraries print goes elsewhere: the answers have their pipe to themselves.
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    os.environ.update(settings(Path.cwd()))
    for line in sys.stdin:
        _answer(json.loads(line), answers)
    return 0


def _answer(request: dict[str, Any], answers: TextIO) -> None:
    """Answer one question, and say until then how far it is."""
    progress: list[Any] = ["Starting", 0.0]
    finished = threading.Event()

    def tell(**answer: Any) -> None:
        try:
            answers.write(json.dumps(answer) + "\n")
        except OSError:  # whoever asked is gone
            os._exit(1)

    def tick() -> None:
        while not finished.wait(TELL_EVERY):
            message, share = progress
            tell(progress=[f"{message}: no answer, trying again" if patience.is_tried else message, share])

    def report(message: str, share: float) -> None:
        progress[:] = [message, min(1.0, share)]

    patience.forget()
    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    answer = _answered(request, report)
    finished.set()
    ticker.join()
    tell(**answer)


def _answered(request: dict[str, Any], report: Report) -> dict[str, Any]:
    try:
        return {"answer": _ANSWERS[request["ask"]](request, report)}
    except DataError as error:
        return {"error": error.message, "hint": error.hint}
    except OSError as error:
        traceback.print_exc()
        told = _disk(error)
        return {"error": told.message, "hint": told.hint}


def _disk(error: OSError) -> DataError:
    cache = default_cache_dir()
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(
            f"The disk that holds {cache} is full.",
            hint="Make room, or set TB_CACHE_DIR to a folder on another disk.",
        )
    return DataError(
        f"What is fetched can't be kept in {cache}: {error.strerror or error}.",
        hint="Set TB_CACHE_DIR to a folder that you may write to.",
    )


def settings(folder: Path) -> dict[str, str]:
    """Return the environment in which the Hub's clients work here: quiet, and with their own copies in a folder."""
    return {
        "HF_HUB_CACHE": str(folder / "hub"),
        "HF_DATASETS_CACHE": str(folder / "datasets"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        **dict.fromkeys(("USE_TORCH", "USE_TF", "USE_JAX"), "0"),  # seconds of imports, for nothing that is done here
        "HF_HUB_ETAG_TIMEOUT": os.environ.get("HF_HUB_ETAG_TIMEOUT", "15"),
    }


def fetch_address(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Make a copy of the file at an address, or find that the copy which is here is still the same."""
    url, asked = request["url"], request["asked"]
    folder = default_cache_dir() / "downloads" / kept.key_of(address=url)
    make_room()
    with kept.workplace(folder, report) as growing:
        known = kept.find(folder)
        try:
            arrived = Download(
                url,
                growing / "file",
                limit=cache_limit(),
                etag=known["etag"] if known else "",
                guarded=True,
                report=lambda here, size: report(
                    f"Fetching {here / 1e6:.1f}{f' of {size / 1e6:.1f}' if size else ''} MB", here / size if size else 0
                ),
            ).run()
        except RefusedError as error:
            raise explained(error, url) from error
        if not arrived.unchanged:
            name = clean_name(arrived.name or unquote(PurePosixPath(urlsplit(url).path).name) or "data.txt")
            size = (growing / "file").stat().st_size
            if size == 0:
                (growing / "file").unlink()
                raise DataError(f"The file at {url} is empty.", hint="Give the address of a file with text in it.")
            make_room(size, keep=[folder])
            built = growing / "built"
            shutil.rmtree(built, ignore_errors=True)
            built.mkdir()
            (growing / "file").replace(built / name)
            sha256 = sha256_of(built / name)
            kept.finish(built, folder, {"kind": "address", "url": url, "etag": arrived.etag, "sha256": sha256})
        shutil.rmtree(growing)
    kept.remember(asked, folder)
    return {}


_ANSWERS: dict[str, Callable[[dict[str, Any], Report], dict[str, Any]]] = {
    "hub": lambda request, report: hub.fetch(request["asked"], report),
    "address": fetch_address,
    "tokenizer": lambda request, report: hub.fetch_tokenizer(request["asked"], report),
    "inspect": lambda request, report: look.inspect(request["asked"], report),
    "search": lambda request, _report: look.search(request["words"], request["limit"]),
}

if __name__ == "__main__":
    sys.exit(main())
