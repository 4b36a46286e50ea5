"""Data from elsewhere are fetched first, into files of the cache; whatever reads them then needs no network.

Fetching happens in a process of its own, so that this one neither imports what that needs nor waits for a server
longer than it wants to.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tb_widgets.data.cache.built import recall, remember
from tb_widgets.data.sources.ask_process import Progress, ask
from tb_widgets.data.sources.resolve import DataSource, megabytes_for, not_yet, resolve_source
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec
from tb_widgets.spec.hub_address import HubAddress, parse_hub


def fetch_data(data: DataSpec, *, tokens: int | None = None, on_progress: Progress | None = None) -> DataSource:
    """Fetch data that are elsewhere, or find that they are here; a Hub dataset then names its full revision.

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
    source = resolve_source(data)
    if source.kind == "address":
        ask({"ask": "address", "asked": source.question}, on_progress)
        return resolve_source(data)
    address = source.address
    if data.streaming and address.megabytes is None:
        sized = source.at(HubAddress(address.id, address.revision, megabytes_for(data, tokens)))
    else:
        sized = source
    if address.is_pinned and sized.is_here:
        return sized
    try:
        commit = ask({"ask": "hub", "asked": sized.question}, on_progress)["pinned"]["revision"]
    except DataError as error:
        raise DataError(error.message, hint=f"{error.hint} {_offer(sized)}".strip()) from error
    fetched = sized.at(sized.address.pinned(commit, sized.address.megabytes))
    if sized != source:  # asked for without a size: this is the answer to that as well
        for open_question in (source, source.at(address.pinned(commit))):
            remember(open_question.question, fetched.files[0].parent.parent)
    return fetched


def _offer(source: DataSource) -> str:
    """Return a sentence that offers the latest copy of a dataset, empty if there is none: it is never taken unasked."""
    if source.facts is None:
        return ""
    day = time.strftime("%Y-%m-%d", time.localtime(source.facts["built"]))
    pinned = source.address.pinned(source.facts["revision"], source.address.megabytes)
    return f"A copy from {day} is on this machine: {pinned}."


def fetch_tokenizer(source: str, *, on_progress: Progress | None = None) -> Path:
    """Fetch the ``tokenizer.json`` of a Hub model (``hub:OWNER/NAME[@REVISION]``), and return its path.

    Raises
    ------
    DataError
        As :func:`fetch_data`.
    """
    address = parse_hub(source)
    asked = _asked_tokenizer(address)
    if not address.is_pinned or recall(asked) is None:
        ask({"ask": "tokenizer", "asked": asked}, on_progress)
    return local_tokenizer(source)


def local_tokenizer(source: str) -> Path:
    """Return the path of a Hub model's ``tokenizer.json`` that was fetched.

    Raises
    ------
    DataError
        If it has not been fetched yet.
    """
    return _found_tokenizer(source)[0] / "tokenizer.json"


def pinned_tokenizer(source: str) -> str:
    """Return a Hub tokenizer's address with the full revision of the copy that is here.

    Raises
    ------
    DataError
        If there is none.
    """
    return str(parse_hub(source).pinned(_found_tokenizer(source)[1]["revision"]))


def _found_tokenizer(source: str) -> tuple[Path, dict[str, Any]]:
    known = recall(_asked_tokenizer(parse_hub(source)))
    if known is None:
        raise not_yet(source)
    return known


def _asked_tokenizer(address: HubAddress) -> dict[str, Any]:
    return {"tokenizer": True, "id": address.id, "revision": address.revision}
