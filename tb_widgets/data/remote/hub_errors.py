"""What the Hub's clients raise, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tb_widgets.errors import DataError
from tb_widgets.spec.hub_address import HubAddress


@contextmanager
def explained(address: HubAddress, kind: str = "dataset") -> Iterator[None]:
    """Turn what the Hub's clients raise inside the block into sentences.

    Parameters
    ----------
    kind
        What is asked for: a ``dataset``, a ``model``, or a ``search``.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        told = _explain(error, address, kind)
        if told is None:
            raise
        raise told from error


def _explain(error: Exception, address: HubAddress, kind: str) -> DataError | None:
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]
    from requests import RequestException

    # What is at the bottom says more than the words around it.
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    for link in chain:
        if isinstance(link, HfHubHTTPError):
            return _refused(link.response.status_code, link.response.headers, address, kind)
    for link in chain:
        if isinstance(link, OfflineModeIsEnabled):
            return _unreachable("is switched off (HF_HUB_OFFLINE is set)", address, kind)
        if isinstance(link, HTTPError | ConnectionError | TimeoutError | RequestException):
            return _unreachable("does not answer", address, kind)
    return _odd(error, address.id)


def _odd(error: Exception, id: str) -> DataError | None:
    words = str(error)
    if "Dataset scripts are no longer supported" in words:
        return DataError(
            f"{id} on the Hub loads its data with its owner's script, which is never run here.",
            hint=f"The Hub may have converted it: try hub:{id}@refs/convert/parquet.",
        )
    if type(error).__name__ in ("EmptyDatasetError", "DataFilesNotFoundError"):
        return DataError(f"{id} on the Hub has no data files.", hint="See its page, and choose another dataset.")
    if isinstance(error, OSError) and error.errno is not None:
        return None  # the disk: explained where the cache is known
    first = next(iter(words.splitlines()), "") or type(error).__name__
    return DataError(
        f"{id} on the Hub can't be read: {first}",
        hint="Its files may be damaged, or of several types. Download one and give its path.",
    )


def _refused(status: int, headers: Mapping[str, str], address: HubAddress, kind: str) -> DataError:
    from huggingface_hub import HfApi, get_token

    id, code, has_token = address.id, headers.get("X-Error-Code", ""), bool(get_token())
    page = f"{HfApi().endpoint}/{'datasets/' if kind == 'dataset' else ''}{id}"
    if code == "GatedRepo":
        return DataError(
            f"{id} on the Hub is gated (status {status}).",
            hint=f"Your account has no access yet: ask for it on {page}."
            if has_token and status == 403
            else f"Ask for access on {page}, then set HF_TOKEN to your token.",
        )
    if code == "RevisionNotFound":
        return DataError(f"{id} on the Hub has no revision {address.revision}.", hint=f"See the commits on {page}.")
    if status == 401 and has_token and code != "RepoNotFound":
        return DataError("The Hub rejects the token in HF_TOKEN (status 401).", hint="Renew it.")
    wait = headers.get("Retry-After", "")
    until = f"; retry in {wait} seconds" if wait.isdecimal() else ""
    # The Hub does not tell strangers whether a private repository is there.
    absent = (
        f"There is no {kind} {id} on the Hub, or it is private (status {status}).",
        "Check the spelling; for a private one, set HF_TOKEN.",
    )
    sentences = {
        401: absent,
        403: (f"The Hub does not let you read {id} (status 403).", f"See {page}; it may be disabled."),
        404: absent,
        429: (f"The Hub's rate limit is reached{until} (status 429).", "Wait, or set HF_TOKEN."),
    }
    if status not in sentences:
        return _unreachable(f"has a server error (status {status})", address, kind)
    message, hint = sentences[status]
    return DataError(message, hint=hint)


def _unreachable(how: str, address: HubAddress, kind: str) -> DataError:
    undone = "nothing was searched" if kind == "search" else f"{address.id} was not downloaded"
    return DataError(
        f"Can't reach the Hugging Face Hub, so {undone}: it {how}.",
        hint="Check your connection and try again; a file on this machine needs none.",
    )
