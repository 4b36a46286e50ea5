"""GitHub Gists: two kinds of GET, with limits on hosts, bytes and time. Nothing that is fetched is executed here.

The settings are GitHub's own: ``GITHUB_API_URL`` (default ``https://api.github.com``), and a token in
``GITHUB_TOKEN`` or ``GH_TOKEN``, which is sent to that address and nowhere else.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from tb_widgets.errors import ModelError, quoted
from tb_widgets.models.source import CODE, CONFIG, ModelSource
from tb_widgets.models.sources import copies
from tb_widgets.models.sources.address import GistAddress, parse_gist
from tb_widgets.version import __version__
from tb_widgets.wording import size_in_words

if TYPE_CHECKING:
    import requests

RAW_HOST = ("https", "gist.githubusercontent.com", None)
_CONNECT, _READ, _TOTAL = 5.0, 15.0, 60.0  # seconds: to connect, between two bytes, for everything together
ANSWER_LIMIT = 50_000_000  # bytes: an answer lists up to 300 files with up to 1 MB of each
_HOPS = 3  # redirects
SHA = re.compile(r"[0-9a-f]{40}")


def fetch_gist(text: str, *, online: bool = True) -> ModelSource:
    """Return the two files of a Gist, pinned to a full revision, from the kept copy where there is one.

    Parameters
    ----------
    text
        The address as it was typed.
    online
        Whether GitHub may be asked; otherwise only a revision that is kept here is found.

    Raises
    ------
    ModelError
        If the address is wrong, GitHub can't be reached or refuses, or the files are missing or not text.
    """
    address = parse_gist(text)
    kept = _kept(address)
    if kept is None:
        if not online:
            raise ModelError(
                f"{address} has not been fetched yet.",
                hint=_sentence(copies.offer("gist", address.id)) or "Fetch it first.",
            )
        kept = copies.within(
            _TOTAL,
            lambda: _Fetch(address).source(),
            lambda: _unreachable(address, f"did not finish within {_TOTAL:g} seconds"),
        )
        copies.keep(kept)
    return ModelSource({**kept.origin, "source": text}, kept.files)


def _kept(address: GistAddress) -> ModelSource | None:
    """Return the copy of the revision that was asked for. The newest one is never taken from a copy: it may be old."""
    if address.revision is None:
        return None
    if SHA.fullmatch(address.revision):
        return copies.find_copy("gist", address.id, address.revision)
    # Seven digits are what git itself takes for unambiguous.
    fitting = [
        kept for kept in copies.revisions("gist", address.id) if kept.origin["revision"].startswith(address.revision)
    ]
    return fitting[0] if len(fitting) == 1 and len(address.revision) >= 7 else None


class _RefusedError(Exception):
    """GitHub answered, and not with what was asked for."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers


class _Fetch:
    """One fetch of one Gist, within one time limit."""

    def __init__(self, address: GistAddress) -> None:
        import requests

        self.address = address
        self.place = f"Gist {address.id}"
        self.api = _api_url()
        self.token = _token()
        self.ends = time.monotonic() + _TOTAL
        self.session = requests.Session()
        # Otherwise requests takes a password for the host from ~/.netrc.
        self.session.auth = lambda request: request

    def source(self) -> ModelSource:
        with self.session:
            answer, revision = self._revision()
            listed = _files(answer)
            more = (
                " It has more than 300 files, of which GitHub names the first 300." if answer.get("truncated") else ""
            )
            copies.require_files(listed, self.place, more=more)
            texts = {name: copies.as_text(self._content(listed[name]), name, self.place) for name in (CODE, CONFIG)}
        owner = answer.get("owner")
        moments = dict(_history(answer))
        origin = {
            "source": str(self.address),
            "kind": "gist",
            "id": self.address.id,
            "revision": revision,
            "owner": _text(owner.get("login")) if isinstance(owner, dict) else "anonymous",
            "description": _text(answer.get("description")),
            "updated": moments.get(revision) or _text(answer.get("updated_at")),
            "url": f"https://gist.github.com/{self.address.id}/{revision}",
            "listed": [{"name": name, "bytes": entry.get("size")} for name, entry in listed.items()],
        }
        return copies.complete(origin, texts)

    def _revision(self) -> tuple[dict[str, Any], str]:
        """Return GitHub's answer for the revision that was asked for, and that revision's full sha."""
        asked = self.address.revision
        if asked is not None and SHA.fullmatch(asked):
            answer = self._answer(f"gists/{self.address.id}/{asked}")
            # A long history may be cut; then the answer's own address has to say it.
            if asked not in dict(_history(answer)) and not _text(answer.get("url")).endswith(asked):
                raise _odd(f"it does not name the revision {asked}")
            return answer, asked
        answer = self._answer(f"gists/{self.address.id}")
        versions = [version for version, _ in _history(answer)]
        if not versions:
            raise _odd("it names no revision")
        if asked is None:
            return answer, versions[0]
        fitting = [version for version in versions if version.startswith(asked)]
        if len(fitting) != 1:
            found = "several revisions that start" if fitting else "no revision that starts"
            shown = ", ".join((fitting or versions)[:3])
            raise ModelError(
                f"{self.place} has {found} with {asked}.",
                hint=f"{'They are' if fitting else 'Its newest are'} {shown}; older ones need all 40 characters.",
            )
        return self._answer(f"gists/{self.address.id}/{fitting[0]}"), fitting[0]

    def _answer(self, path: str) -> dict[str, Any]:
        try:
            body = self._get(f"{self.api}/{path}", ANSWER_LIMIT)
        except _RefusedError as refused:
            raise self._explained(refused) from None
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise _odd("it is not JSON") from error
        if not isinstance(answer, dict):
            raise _odd("it is not a JSON object")
        return answer

    def _content(self, entry: dict[str, Any]) -> bytes:
        """Return a file's bytes: from the answer, or from where the answer says that the whole of it is."""
        name, content, size = _text(entry.get("filename")), entry.get("content"), entry.get("size")
        if isinstance(size, int) and size > copies.FILE_LIMIT:
            raise copies.too_large(name, self.place)
        if not entry.get("truncated") and isinstance(content, str):
            try:
                packed = entry.get("encoding") == "base64"
                return base64.b64decode(content, validate=True) if packed else content.encode()
            except ValueError as error:
                raise ModelError(f"{name} in {self.place} is not text.", hint="Export the model again.") from error
        raw_url = entry.get("raw_url")
        if not isinstance(raw_url, str):
            raise _odd(f"it contains neither {name} nor its address")
        try:
            body = self._get(raw_url, copies.FILE_LIMIT)
        except _RefusedError as refused:
            raise self._explained(refused) from None
        if isinstance(size, int) and len(body) != size:
            raise ModelError(
                f"{name} in {self.place} arrived with {len(body):,} of {size:,} bytes.", hint="Try again in a moment."
            )
        return body

    def _get(self, url: str, limit: int) -> bytes:
        """Return what an address holds.

        Raises
        ------
        _RefusedError
            If the status is not 200.
        ModelError
            If the address, or where it redirects to, is not GitHub's; if it can't be reached, is too slow or too
            large.
        """
        import requests

        for _ in range(_HOPS + 1):
            place = _origin(url)
            if place not in (_origin(self.api), RAW_HOST):
                raise ModelError(
                    f"GitHub redirected to another site ({place[1] or 'without a name'}), which is not followed.",
                    hint="Save model.py and config.json in a folder and give its path.",
                )
            headers = {
                "Accept": "application/vnd.github+json",
                "User-Agent": f"tb-widgets/{__version__}",
                "X-GitHub-Api-Version": "2022-11-28",
            }
            if self.token and place == _origin(self.api):
                headers["Authorization"] = f"Bearer {self.token}"
            try:
                with self.session.get(
                    url, headers=headers, stream=True, allow_redirects=False, timeout=(_CONNECT, _READ)
                ) as response:
                    if not response.is_redirect:
                        return self._body(response, limit)
                    url = urljoin(url, response.headers["location"])
            except requests.Timeout as error:
                raise _unreachable(self.address, "does not answer") from error
            except requests.RequestException as error:
                raise _unreachable(self.address, f"can't be reached ({type(error).__name__})") from error
            except (ValueError, UnicodeError) as error:
                raise _odd("it redirects to something that is not an address") from error
        raise _odd(f"it redirects more than {_HOPS} times")

    def _body(self, response: requests.Response, limit: int) -> bytes:
        if response.status_code != 200:
            raise _RefusedError(response.status_code, response.headers)
        body = bytearray()
        for piece in response.iter_content(65536):
            body += piece
            if len(body) > limit:
                raise ModelError(
                    f"{self.place} is too large: GitHub's answer has more than {size_in_words(limit)}.",
                    hint="Put model.py and config.json into a Gist of their own.",
                )
            if time.monotonic() > self.ends:
                raise _unreachable(self.address, f"did not finish within {_TOTAL:g} seconds")
        return bytes(body)

    def _explained(self, refused: _RefusedError) -> ModelError:
        status, asked = refused.status, self.address.revision
        if status in (404, 422) and asked:
            return ModelError(
                f"There is no {self.place} with a revision {asked}.",
                hint="See the Revisions on its page; the number in a Raw link may belong to a single file.",
            )
        if status == 404:
            return ModelError(
                f"There is no {self.place} on GitHub.",
                hint="Check the spelling; it may also have been deleted.",
            )
        if status == 401:
            return ModelError("GitHub rejects the token in GITHUB_TOKEN or GH_TOKEN.", hint="Renew it, or unset it.")
        moment = _allowed_again(refused.headers)
        if status == 429 or (status == 403 and moment is not None):
            until = f" until {time.strftime('%H:%M:%S', time.localtime(moment))}" if moment else " for a while"
            way_out = (
                "Wait, or use a file: save model.py and config.json in a folder and give its path."
                if self.token
                else "Add a token (GITHUB_TOKEN, 5,000 requests an hour instead of 60 for everyone at your address), "
                "or use a file: save model.py and config.json in a folder and give its path."
            )
            return ModelError(
                f"GitHub's rate limit is reached{until}.",
                hint=f"{_sentence(copies.offer('gist', self.address.id))} {way_out}".strip(),
            )
        if status >= 500:
            return _unreachable(self.address, f"has a server error (status {status})")
        return ModelError(
            f"GitHub refuses to show {self.place} (status {status}).",
            hint="It may be blocked. Save model.py and config.json in a folder and give its path.",
        )


def _api_url() -> str:
    url = os.environ.get("GITHUB_API_URL") or "https://api.github.com"
    scheme, host, _ = _origin(url)
    if scheme not in ("http", "https") or not host:
        raise ModelError("GITHUB_API_URL is not a web address.", hint="It looks like https://api.github.com.")
    return url.rstrip("/")


def _token() -> str:
    token = (os.environ.get("GITHUB_TOKEN") or os.environ.get("GH_TOKEN") or "").strip()
    # The HTTP client would refuse it with a message that holds the token itself.
    if not re.fullmatch(r"[\x21-\x7e]*", token):
        raise ModelError("GITHUB_TOKEN contains characters that no token has.", hint="Copy it again.")
    return token


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port: what must be equal for a token to go along."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", None, None
    return parts.scheme, parts.hostname, port


def _allowed_again(headers: Mapping[str, str]) -> float | None:
    """Return when GitHub's limit ends, in seconds since 1970; ``None`` if the answer names none."""
    after, reset = headers.get("retry-after", ""), headers.get("x-ratelimit-reset", "")
    if re.fullmatch("[0-9]{1,6}", after):
        return time.time() + int(after)
    if headers.get("x-ratelimit-remaining") == "0" and re.fullmatch("[0-9]{1,11}", reset):
        return float(reset)
    return None


def _unreachable(address: GistAddress, how: str) -> ModelError:
    copy = "" if address.revision else copies.offer("gist", address.id)
    return ModelError(
        f"GitHub {how}, so Gist {address.id} can't be fetched.",
        hint=_sentence(copy) or "Check your connection and try again, or give the path of a folder with the files.",
    )


def _odd(why: str) -> ModelError:
    return ModelError(
        f"GitHub's answer can't be used: {why}.",
        hint="Check GITHUB_API_URL if it is set; otherwise try again, or give the path of a folder with the files.",
    )


def _files(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    files = answer.get("files")
    if not isinstance(files, dict):
        raise _odd("it lists no files")
    return {_text(name): {**entry, "filename": name} for name, entry in files.items() if isinstance(entry, dict)}


def _history(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (sha, ISO time) of each revision that the answer names, newest first."""
    history = answer.get("history")
    entries = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    versions = [(_text(entry.get("version")), _text(entry.get("committed_at"))) for entry in entries]
    return [(version, moment) for version, moment in versions if SHA.fullmatch(version)]


def _sentence(text: str) -> str:
    return f"{text}." if text else ""


def _text(value: Any) -> str:
    """Return a text of GitHub's answer as it can be shown; empty where the answer has none there."""
    return quoted(value) if isinstance(value, str) else ""
