"""Data from elsewhere are fetched first, into files of the cache; whatever reads them then needs no network.

Fetching happens in a process of its own, so that this one neither imports what that needs nor waits for a server
longer than it wants to.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tb_widgets.data.cache import fetched as kept
from tb_widgets.data.sources.address import HubAddress, is_remote, parse_hub
from tb_widgets.data.sources.ask_process import Progress, ask
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec

BYTES_PER_TOKEN = 8  # generous: English takes 3 to 5
LEAST, USUAL = 4, 16  # MB of text that are fetched of a dataset at least, and where nobody says for how many tokens


@dataclass(frozen=True)
class Fetched:
    """Data that are here.

    Attributes
    ----------
    data
        What was asked for; of a Hub dataset with its full revision, so that it never changes.
    files
        To learn from: parquet files of a Hub dataset, or the one file of an address.
    size
        Bytes of all files, held-back ones included.
    rows
        Of a Hub dataset; ``None`` of a file.
    """

    data: DataSpec
    files: tuple[Path, ...]
    size: int
    rows: int | None


def needs_fetch(data: DataSpec) -> bool:
    """Tell whether the data are elsewhere, so that a copy is needed."""
    return is_remote(data.source)


def is_here(data: DataSpec) -> bool:
    """Tell whether a copy of the data is on this machine; data that need none always are.

    Raises
    ------
    DataError
        If the source is no address.
    """
    return not needs_fetch(data) or kept.recall(asked_of(data)) is not None


def fetch_data(data: DataSpec, *, tokens: int | None = None, on_progress: Progress | None = None) -> Fetched:
    """Fetch data that are elsewhere, or find that they are here.

    A Hub dataset whose revision is named in full is not asked for again once it is here; otherwise the newest one is,
    and only what is new is fetched. What broke off is gone on with.

    Parameters
    ----------
    data
        Section of the run spec.
    tokens
        How many a run will read; with ``data.streaming`` no more than they need is fetched.
    on_progress
        Called some times a second with what is being done and the share that is done, 0 to 1. What it raises ends the
        fetch.

    Raises
    ------
    DataError
        If the address is wrong, the server can't be reached or refuses, what was chosen is not there, or the disk or
        the cache's limit does not allow it. The copies that were here stay.
    """
    asked = asked_of(data)
    if "url" in asked:
        ask({"ask": "address", "url": asked["url"], "asked": asked}, on_progress)
        return _opened(data)
    pinned = _with_size(data, tokens)
    address = parse_hub(pinned.source)
    if address.is_pinned and kept.recall(asked_of(pinned)) is not None:
        return _opened(pinned)
    try:
        answer = ask({"ask": "hub", "asked": asked_of(pinned)}, on_progress)["pinned"]
    except DataError as error:
        raise DataError(error.message, hint=f"{error.hint} {_offer(pinned)}".strip()) from error
    fetched = _at(pinned, address.pinned(answer["revision"], address.megabytes))
    if pinned != data:  # asked for without a size: this is the answer to that as well
        folder, _ = _found(fetched)
        for question in (data, _at(data, parse_hub(data.source).pinned(answer["revision"], None))):
            kept.remember(asked_of(question), folder)
    return _opened(fetched)


def pinned_data(data: DataSpec, *, tokens: int | None = None) -> DataSpec:
    """Return the data as a run keeps them: a Hub dataset by the full revision and size of the copy that is here.

    Raises
    ------
    DataError
        If there is no copy, or not enough of it for so many tokens.
    """
    if not needs_fetch(data):
        return data
    _, origin = _found(data)
    if origin["kind"] != "hub":
        return data
    megabytes = origin["megabytes"]
    is_open = megabytes is not None and not origin["whole"] and parse_hub(data.source).megabytes is None
    if is_open and megabytes < _megabytes(data, tokens or 0):
        raise DataError(
            f"Of {data.source} the first {megabytes} MB are here, and this run reads more.", hint="Fetch it again."
        )
    return _at(data, parse_hub(data.source).pinned(origin["revision"], megabytes))


def local_files(data: DataSpec) -> list[Path]:
    """Return the files of the copy to learn from.

    Raises
    ------
    DataError
        If the data have not been fetched yet.
    """
    return _files(*_found(data), part="train")


def local_validation_files(data: DataSpec) -> list[Path]:
    """Return the files of the copy that are held back; empty unless ``data.validation_split`` asks for them.

    Raises
    ------
    DataError
        If the data have not been fetched yet.
    """
    return _files(*_found(data), part="validation")


def fetch_tokenizer(source: str, *, on_progress: Progress | None = None) -> Path:
    """Fetch the ``tokenizer.json`` of a Hub model (``hub:OWNER/NAME[@REVISION]``), and return its path.

    Raises
    ------
    DataError
        As :func:`fetch_data`.
    """
    address = parse_hub(source)
    asked = _asked_tokenizer(address)
    if not address.is_pinned or kept.recall(asked) is None:
        ask({"ask": "tokenizer", "asked": asked}, on_progress)
    return local_tokenizer(source)


def local_tokenizer(source: str) -> Path:
    """Return the path of a Hub model's ``tokenizer.json`` that was fetched.

    Raises
    ------
    DataError
        If it has not been fetched yet.
    """
    known = kept.recall(_asked_tokenizer(parse_hub(source)))
    if known is None:
        raise _not_yet(source)
    return known[0] / "tokenizer.json"


def pinned_tokenizer(source: str) -> str:
    """Return a Hub tokenizer's address with the full revision of the copy that is here.

    Raises
    ------
    DataError
        If there is none.
    """
    address = parse_hub(source)
    known = kept.recall(_asked_tokenizer(address))
    if known is None:
        raise _not_yet(source)
    return str(address.pinned(known[1]["revision"], None))


# ---- what is asked for -----------------------------------------------------------------------------------------------


def asked_of(data: DataSpec) -> dict[str, Any]:
    """Return what decides which files are fetched."""
    if not data.source.startswith("hub:"):
        return {"url": data.source}
    address = parse_hub(data.source)
    return {
        "id": address.id,
        "revision": address.revision,
        "megabytes": address.megabytes,
        "streaming": data.streaming or address.megabytes is not None,
        "config": data.config,
        "split": data.split,
        "validation_split": data.validation_split,
    }


def _asked_tokenizer(address: HubAddress) -> dict[str, Any]:
    return {"tokenizer": True, "id": address.id, "revision": address.revision}


def _at(data: DataSpec, address: HubAddress) -> DataSpec:
    return data.model_copy(update={"source": str(address)})


def _with_size(data: DataSpec, tokens: int | None) -> DataSpec:
    """Return a dataset of which no more than needed is read with the size that is."""
    address = parse_hub(data.source)
    if not data.streaming or address.megabytes is not None:
        return data
    return _at(data, HubAddress(address.id, address.revision, _megabytes(data, tokens)))


def _megabytes(data: DataSpec, tokens: int | None) -> int:
    """Return how much text gives so many tokens; in powers of two, so that runs of about one length share a copy."""
    if tokens is None:
        return USUAL
    needed = tokens * BYTES_PER_TOKEN / (1 - data.validation_fraction) / 1e6
    return max(LEAST, 1 << math.ceil(math.log2(max(1.0, needed))))


# ---- what is here ----------------------------------------------------------------------------------------------------


def _found(data: DataSpec) -> tuple[Path, dict[str, Any]]:
    known = kept.recall(asked_of(data))
    if known is None:
        raise _not_yet(data.source)
    return known


def _offer(data: DataSpec) -> str:
    """Return a sentence that offers the latest copy of a dataset, empty if there is none: it is never taken unasked."""
    known = kept.recall(asked_of(data))
    if known is None:
        return ""
    day = time.strftime("%Y-%m-%d", time.localtime(known[1]["fetched"]))
    address = parse_hub(data.source)
    return f"A copy from {day} is on this machine: {address.pinned(known[1]['revision'], address.megabytes)}."


def _not_yet(source: str) -> DataError:
    return DataError(
        f"{source} has not been fetched yet.", hint="Get the data first: on the page, or with tb-widgets data SOURCE."
    )


def _files(folder: Path, origin: dict[str, Any], *, part: str) -> list[Path]:
    if origin["kind"] == "hub":
        return sorted(folder / name for name in origin["files"] if name.startswith(f"{part}/"))
    return [folder / name for name in origin["files"]] if part == "train" else []


def _opened(data: DataSpec) -> Fetched:
    folder, origin = _found(data)
    rows = origin["rows"]["train"] if "rows" in origin else None
    return Fetched(data, tuple(_files(folder, origin, part="train")), sum(origin["files"].values()), rows)
