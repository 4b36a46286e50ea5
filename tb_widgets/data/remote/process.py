"""The process that fetches: it answers questions, and says until then how far it is.

It alone talks to the network and holds a token, if there is one; pages and workers see the files that it leaves.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from tb_widgets.data.cache.built import built_folder, entry_key, explain_cache_error, read_entry, remember
from tb_widgets.data.cache.limit import cache_limit
from tb_widgets.data.remote import hub, look
from tb_widgets.data.remote.download import Download
from tb_widgets.data.remote.rows import Report
from tb_widgets.data.sources.file_names import clean_name
from tb_widgets.errors import DataError
from tb_widgets.runs.folders import default_cache_dir
from tb_widgets.runs.json_process import Asker
from tb_widgets.wording import size_in_words

TELL_EVERY = 0.2  # seconds: whoever asked may want to end it
QUIET = 5.0  # seconds without anything new after which that is told


class _Progress:
    """How far an answer is, and since when."""

    def __init__(self) -> None:
        self._told, self._since = ("Starting", 0.0), time.monotonic()

    def report(self, message: str, share: float) -> None:
        told = (message, min(1.0, share))
        if told != self._told:
            self._told, self._since = told, time.monotonic()

    def shown(self) -> tuple[str, float]:
        message, share = self._told
        quiet = time.monotonic() - self._since
        return (f"{message}: nothing new for {quiet:.0f} s" if quiet > QUIET else message), share


def main() -> int:
    """Answer questions until there are no more."""
    asker = Asker()
    os.environ.update(settings(Path.cwd()))
    return asker.serve(lambda request: _answer(request, asker.tell))


def _answer(request: dict[str, Any], tell: Callable[..., None]) -> None:
    """Answer one question, and say until then how far it is."""
    progress = _Progress()
    finished = threading.Event()

    def tick() -> None:
        while not finished.wait(TELL_EVERY):
            tell(progress=progress.shown())

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        answer = _ANSWERS[request["ask"]](request, progress.report)
    except OSError as error:
        traceback.print_exc()
        raise explain_cache_error(error, default_cache_dir()) from error
    finally:
        finished.set()
        ticker.join()
    tell(answer=answer)


def settings(folder: Path) -> dict[str, str]:
    """Return the environment in which the Hub's clients work here: quiet, and with their own copies in a folder."""
    return {
        "HF_HUB_CACHE": str(folder / "hub"),
        "HF_XET_CACHE": str(folder / "xet"),
        "HF_XET_CHUNK_CACHE_SIZE_BYTES": "0",  # each file is fetched once
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
    url = request["asked"]["url"]
    root, key = default_cache_dir() / "downloads", entry_key(address=url)

    def show(here: int, size: int) -> None:
        of = f" of {size_in_words(size)}" if size else ""
        report(f"Fetching {size_in_words(here)}{of}", here / size if size else 0)

    def build(folder: Path) -> dict[str, Any]:
        known = read_entry(root / key)
        file = folder.with_name("file")
        arrived = Download(url, file, cache_limit(), etag=known["etag"] if known else "", report=show).run()
        if arrived.unchanged:
            return {}
        name = clean_name(arrived.name or unquote(PurePosixPath(urlsplit(url).path).name) or "data.txt")
        if file.stat().st_size == 0:
            file.unlink()
            raise DataError(f"The file at {url} is empty.", hint="Give the address of a file that contains text.")
        file.replace(folder / name)
        return {"kind": "address", "url": url, "etag": arrived.etag}

    def on_wait() -> None:
        report("Waiting for another process to fetch the same", 0.0)

    remember(request["asked"], built_folder(root, key, build, again=True, on_wait=on_wait))
    return {}


_ANSWERS: dict[str, Callable[[dict[str, Any], Report], dict[str, Any]]] = {
    "hub": lambda request, report: hub.fetch_dataset(request["asked"], report),
    "address": fetch_address,
    "tokenizer": lambda request, report: hub.fetch_tokenizer_files(request["asked"], report),
    "inspect": lambda request, report: look.inspect(request["asked"], report),
    "search": lambda request, _report: look.search(request["words"], request["limit"]),
}

if __name__ == "__main__":
    sys.exit(main())
