"""What the Hub's clients raise, in sentences."""

from __future__ import annotations

from typing import Any

from tb_widgets.data.sources.address import HubAddress
from tb_widgets.data.sources.remote.download import RefusedError
from tb_widgets.data.sources.remote.patience import SilentError
from tb_widgets.errors import DataError


class Explained:
    """Turns what the Hub's clients raise inside the block into sentences."""

    def __init__(self, address: HubAddress, kind: str = "dataset") -> None:
        self.address, self.kind = address, kind

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: Any, error: BaseException | None, _trace: Any) -> None:
        from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]
        from requests import RequestException

        if error is None or isinstance(error, DataError) or not isinstance(error, Exception):
            return
        # What is at the bottom says more than the words around it.
        chain: list[BaseException] = [error]
        while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
            chain.append(cause)
        for link in chain:
            if isinstance(link, HfHubHTTPError):
                code = link.response.headers.get("X-Error-Code", "")
                raise self._refused(link.response.status_code, code, link.response.headers) from error
            if isinstance(link, RefusedError):
                raise self._refused(link.status, link.headers.get("X-Error-Code", ""), link.headers) from error
        for link in chain:
            if isinstance(link, OfflineModeIsEnabled):
                raise self._unreachable("may not be asked (HF_HUB_OFFLINE is set)") from error
            if isinstance(link, SilentError | HTTPError | ConnectionError | TimeoutError | RequestException):
                raise self._unreachable("does not answer") from error
        self._odd(error)

    def _odd(self, error: Exception) -> None:
        id, words = self.address.id, str(error)
        if "Dataset scripts are no longer supported" in words:
            raise DataError(
                f"The Hub's {id} keeps its data behind a program of its owner's, which is never run here.",
                hint=f"The Hub may have made plain files of it: try hub:{id}@refs/convert/parquet.",
            ) from error
        if type(error).__name__ in ("EmptyDatasetError", "DataFilesNotFoundError"):
            raise DataError(
                f"The Hub's {id} holds no files that are data.", hint="Look at its page, and choose another dataset."
            ) from error
        if isinstance(error, OSError) and error.errno is not None:
            return  # the disk: explained where the cache is known
        first = next(iter(words.splitlines()), "") or type(error).__name__
        raise DataError(
            f"The Hub's {id} can't be read: {first}",
            hint="Its files may be damaged, or of several kinds. Download one and give its path.",
        ) from error

    def _refused(self, status: int, code: str, headers: Any) -> DataError:
        from huggingface_hub import HfApi, get_token

        id, has_token = self.address.id, bool(get_token())
        page = f"{HfApi().endpoint}/{'datasets/' if self.kind == 'dataset' else ''}{id}"
        if code == "GatedRepo":
            return DataError(
                f"The Hub's {id} is open only to those whom its owner lets in (status {status}).",
                hint=f"Your account is not among them yet: ask for access on {page}."
                if has_token and status == 403
                else f"Ask for access on {page}, then set HF_TOKEN to a token of yours.",
            )
        if code == "RevisionNotFound":
            return DataError(
                f"The Hub's {id} has no revision {self.address.revision}.", hint=f"Look at the commits on {page}."
            )
        if status == 401 and has_token and code != "RepoNotFound":
            return DataError("The Hub does not accept the token in HF_TOKEN (status 401).", hint="Renew it.")
        if status in (401, 404):
            # The Hub does not tell strangers whether a private repository is there.
            return DataError(
                f"There is no {self.kind} {id} on the Hub, or it is private (status {status}).",
                hint="Look for a typing error; for a private one set HF_TOKEN.",
            )
        wait = str(headers.get("Retry-After", ""))
        until = f" for {wait} seconds" if wait.isdecimal() else ""
        plain = {
            403: (f"The Hub does not let you read {id} (status 403).", f"Look at {page}; it may be switched off."),
            429: (f"The Hub's limit of requests is used up{until} (status 429).", "Wait, or set HF_TOKEN."),
        }
        if status in plain:
            return DataError(plain[status][0], hint=plain[status][1])
        return self._unreachable(f"has a fault of its own (status {status})")

    def _unreachable(self, how: str) -> DataError:
        return DataError(
            f"The Hub {how}, so {self.address.id} can't be {'found' if self.kind == 'search' else 'fetched'}.",
            hint="Look at your connection and try again; a file on this machine can be used without one.",
        )
