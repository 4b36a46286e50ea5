"""Repositories of the Hugging Face Hub: their two files, pinned to a commit. Nothing is executed here."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from tb_widgets.errors import ModelError, quoted
from tb_widgets.models.source import CODE, CONFIG, ModelSource
from tb_widgets.models.sources import copies
from tb_widgets.spec.hub_address import HubAddress, parse_hub
from tb_widgets.version import __version__

_READ, _TOTAL = 15.0, 60.0  # seconds: for one answer, for everything together
COMMIT = re.compile("[0-9a-f]{40}")


def fetch_repository(text: str, *, online: bool = True) -> ModelSource:
    """Return the two files of a Hub repository, pinned to a commit, from the kept copy where there is one.

    Parameters
    ----------
    text
        ``hub:OWNER/NAME`` or ``hub:OWNER/NAME@REVISION``.
    online
        Whether the Hub may be asked; otherwise only a commit that is kept here is found.

    Raises
    ------
    ModelError
        If the address is wrong, the Hub can't be reached or refuses, or the files are missing or not text.
    """
    address = parse_hub(text, "model")
    kept = copies.find_copy("hub", address.id, str(address.revision)) if address.is_pinned else None
    if kept is None:
        if not online:
            raise ModelError(f"{address} has not been fetched yet.", hint=_offer(address) or "Fetch it first.")
        kept = copies.within(_TOTAL, lambda: _download(address), lambda: _unreachable(address))
        copies.keep(kept)
    return ModelSource({**kept.origin, "source": text}, kept.files)


def _download(address: HubAddress) -> ModelSource:
    from huggingface_hub import HfApi

    # Its HTTP client is httpx in one version and httpx2 in another; the error is there under one name.
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    # The variable may have been set after the library was imported.
    api = HfApi(os.environ.get("HF_ENDPOINT") or None, library_name="tb-widgets", library_version=__version__)
    place = f"Hub repository {address.id}"
    try:
        info = api.model_info(address.id, revision=address.revision, timeout=_READ, files_metadata=True)
        commit, listed = str(info.sha), {quoted(file.rfilename): file.size for file in info.siblings or []}
        if not COMMIT.fullmatch(commit):
            raise ValueError("it names no commit")  # noqa: TRY301 - like every other answer that can't be used
        copies.require_files(listed, place)
        for name in (CODE, CONFIG):
            if (listed[name] or 0) > copies.FILE_LIMIT:
                raise copies.too_large(name, place)
        texts = {name: copies.as_text(_content(api, address.id, commit, name), name, place) for name in (CODE, CONFIG)}
        updated = info.last_modified.isoformat() if info.last_modified else ""
    except HfHubHTTPError as error:
        raise _explained(error, address) from error
    except OfflineModeIsEnabled as error:
        raise _unreachable(address, "is switched off (HF_HUB_OFFLINE is set)") from error
    except (HTTPError, OSError) as error:
        raise _unreachable(address) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"The Hub's answer for {address.id} can't be used: {error}.",
            hint="Check HF_ENDPOINT if it is set; otherwise try again, or give the path of a folder with the files.",
        ) from error
    origin = {
        "source": str(address),
        "kind": "hub",
        "id": address.id,
        "revision": commit,
        "owner": quoted(info.author or "") or address.id.partition("/")[0],
        "description": "",
        "updated": updated,
        "url": f"{api.endpoint}/{address.id}/tree/{commit}",
        "listed": [{"name": name, "bytes": size} for name, size in listed.items()],
    }
    return copies.complete(origin, texts)


def _content(api: Any, identity: str, commit: str, name: str) -> bytes:
    # Our own copies are the cache; the Hub's would keep a second one.
    with tempfile.TemporaryDirectory() as folder:
        return Path(api.hf_hub_download(identity, name, revision=commit, local_dir=folder)).read_bytes()


def _explained(error: Any, address: HubAddress) -> ModelError:
    from huggingface_hub.errors import GatedRepoError, RevisionNotFoundError

    status = getattr(error.response, "status_code", 0)
    if isinstance(error, GatedRepoError):
        return ModelError(
            f"{address.id} on the Hub is gated.",
            hint="Ask for access on its page, then set HF_TOKEN.",
        )
    if isinstance(error, RevisionNotFoundError):
        return ModelError(
            f"{address.id} on the Hub has no revision {address.revision}.", hint="See the commits on its page."
        )
    if status in (401, 403, 404):
        # The Hub does not tell strangers whether a private repository is there.
        return ModelError(
            f"There is no {address.id} on the Hub, or it is private (status {status}).",
            hint="Check the spelling; for a private one, set HF_TOKEN.",
        )
    if status == 429:
        return ModelError(
            "The Hub's rate limit is reached.",
            hint=f"{_offer(address)} Wait a few minutes, or set HF_TOKEN.".strip(),
        )
    return _unreachable(address, f"has a server error (status {status})")


def _unreachable(address: HubAddress, how: str = "does not answer") -> ModelError:
    return ModelError(
        f"The Hub {how}, so {address.id} can't be fetched.",
        hint=_offer(address) or "Check your connection and try again, or give the path of a folder with the files.",
    )


def _offer(address: HubAddress) -> str:
    offered = "" if address.revision else copies.offer("hub", address.id)
    return f"{offered}." if offered else ""
