"""One file from an address to the disk: resumed where it broke off, within limits on hosts, bytes and waiting.

Runs in the process that fetches, never where a page or a model is at work.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit

from tb_widgets.data.sources.address import host_of, shown
from tb_widgets.errors import DataError
from tb_widgets.runs.folders import default_cache_dir
from tb_widgets.version import __version__
from tb_widgets.wording import size_in_words

if TYPE_CHECKING:
    import requests

LOCAL_HOSTS = "TB_ALLOW_LOCAL_ADDRESSES"
"""Set to 1 where addresses of this machine and its own network may be fetched, and without encryption."""

_CONNECT, _READ = 10.0, 30.0  # seconds: to connect, between two bytes
_HOPS = 5  # redirects
PAUSES = (0.2, 1.0, 2.0)  # seconds before each further attempt that brings nothing new
READ_AT_ONCE = 1 << 16  # bytes: what is lost when a connection breaks off


class _FaultError(Exception):
    """The server has a fault of its own, which may be gone in a moment."""


@dataclass(frozen=True)
class Arrived:
    """A file that is here: its name by the server's headers, ``None`` by default; its ETag; or that it is unchanged."""

    name: str | None = None
    etag: str = ""
    unchanged: bool = False


@dataclass
class Download:
    """One file on its way.

    Parameters
    ----------
    url
        Where it is, as somebody typed it: it is held to encryption and to public hosts.
    file
        Where it goes. Until it is whole, it grows beside it as ``NAME.part``, and is gone on with from there.
    limit
        Bytes that it may have.
    etag
        Of the copy that is here: if it is still that file, nothing is fetched.
    report
        Called with bytes so far and in all; 0 where that is not known.
    """

    url: str
    file: Path
    limit: int
    etag: str = ""
    report: Callable[[int, int], None] = lambda _so_far, _size: None

    def run(self) -> Arrived:
        """Fetch the file.

        Raises
        ------
        DataError
            If the address is not allowed, the server has no file there or does not give it, the network is gone for
            good, or the file is too large, a web page, or too large for the disk.
        """
        import requests

        self._part = self.file.with_name(f"{self.file.name}.part")
        self._note = self.file.with_name(f"{self.file.name}.part.json")
        idle = 0
        with _session() as session:
            while True:
                before = self._here()
                try:
                    return self._once(session)
                except (requests.RequestException, _FaultError) as error:
                    idle = 0 if self._here() > before else idle + 1
                    if idle > len(PAUSES):
                        raise self._gone(error) from error
                    time.sleep(PAUSES[max(0, idle - 1)])

    def _here(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _once(self, session: requests.Session) -> Arrived:
        begun = self._begun()
        headers = {"User-Agent": f"tb-widgets/{__version__}", "Accept-Encoding": "identity"}
        if begun:
            headers |= {"Range": f"bytes={self._here()}-", "If-Range": begun}
        elif self.etag:
            headers["If-None-Match"] = self.etag
        with self._open(session, headers) as response:
            if response.status_code == 304 and self.etag:
                return Arrived(unchanged=True)
            if response.status_code == 416 and begun:
                self._forget()
                return self._once(session)
            if response.status_code >= 500:
                raise _FaultError(f"has a server error (status {response.status_code})")
            if response.status_code not in (200, 206):
                raise _refused(response, self.url)
            if "html" in response.headers.get("Content-Type", "").lower():
                raise _web_page(self.url)
            self._write(response, self._here() if response.status_code == 206 else 0)
            arrived = Arrived(_name_in(response.headers), response.headers.get("ETag", ""))
        self._part.replace(self.file)
        self._forget()
        return arrived

    def _forget(self) -> None:
        for path in (self._part, self._note):
            path.unlink(missing_ok=True)

    def _begun(self) -> str:
        """Return the ETag of what has arrived before, empty where nothing has, or where it can't be gone on with."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            fits = note["url"] == self.url and self._part.stat().st_size > 0
        except (OSError, ValueError, KeyError, TypeError):
            return ""
        # A weak tag does not promise the same bytes.
        return str(note["etag"]) if fits and not str(note["etag"]).startswith("W/") else ""

    def _open(self, session: requests.Session, headers: dict[str, str]) -> requests.Response:
        url = self.url
        for _ in range(_HOPS + 1):
            _require_public(url)
            response = session.get(url, headers=headers, stream=True, allow_redirects=False, timeout=(_CONNECT, _READ))
            if not response.is_redirect:
                return response
            response.close()
            url = urljoin(url, response.headers["location"])
        raise DataError(
            f"{shown(self.url)} redirects more than {_HOPS} times.", hint="Give the direct address of the file."
        )

    def _write(self, response: requests.Response, start: int) -> None:
        size = self._announced(response, start)
        self._note.write_text(json.dumps({"url": self.url, "etag": response.headers.get("ETag", "")}), encoding="utf-8")
        here = start
        with self._part.open("r+b" if start else "wb") as file:
            file.truncate(start)
            file.seek(start)
            for piece in response.iter_content(READ_AT_ONCE):
                if here == 0 and re.match(rb"\s*<(!doctype html|html)", piece[:1000], re.I):
                    self._forget()
                    raise _web_page(self.url)
                file.write(piece)
                here += len(piece)
                if here > self.limit:
                    self._forget()
                    raise self._too_large(here)
                self.report(here, size)
        if size and here != size:
            import requests

            raise requests.ConnectionError(f"{here} of {size} bytes arrived")

    def _announced(self, response: requests.Response, start: int) -> int:
        """Return how many bytes the file has by the server's word, 0 if it gives none, if there is room for them."""
        length = response.headers.get("Content-Length", "")
        size = start + int(length) if length.isascii() and length.isdecimal() else 0
        if size > self.limit:
            raise self._too_large(size)
        free = shutil.disk_usage(self.file.parent).free
        if size - start > free:
            raise DataError(
                f"The disk that holds {default_cache_dir()} has {size_in_words(free)} free, "
                f"but {size_in_words(size - start)} are still to come.",
                hint="Make room, or set TB_CACHE_DIR to a folder on another disk.",
            )
        return size

    def _too_large(self, size: int) -> DataError:
        return DataError(
            f"{shown(self.url)} is too large: {size_in_words(size)}, and the cache has room for "
            f"{size_in_words(self.limit)}.",
            hint="Clear the cache, set TB_CACHE_LIMIT higher, or set TB_CACHE_DIR to a folder on a larger disk.",
        )

    def _gone(self, error: Exception) -> DataError:
        here = self._here()
        how = error if isinstance(error, _FaultError) else f"does not answer ({type(error).__name__})"
        arrived = f" {size_in_words(here)} have arrived and are kept." if here else ""
        return DataError(
            f"{host_of(self.url)} {how}, so {shown(self.url)} can't be fetched.{arrived}",
            hint="Check your connection and try again"
            + ("; it continues where it stopped." if here else ", or give the path of a file."),
        )


def _refused(response: requests.Response, url: str) -> DataError:
    """Return the sentence for a server's refusal of an address that somebody typed."""
    host, status = host_of(response.url), response.status_code
    if status in (404, 410):
        return DataError(f"There is no file at {shown(url)} (status {status}).", hint="Check the spelling.")
    if status in (401, 403):
        return DataError(
            f"{host} refuses public access to {shown(url)} (status {status}).",
            hint="Download it in your browser, and give its path or upload it.",
        )
    if status == 429:
        wait = response.headers.get("Retry-After", "")
        until = f"; retry in {wait} seconds" if wait.isdecimal() else ""
        return DataError(f"The rate limit of {host} is reached{until}.", hint="Try again later.")
    return DataError(
        f"{host} refuses {shown(url)} (status {status}).", hint="Open the address in your browser to see why."
    )


def _web_page(url: str) -> DataError:
    return DataError(
        f"{shown(url)} is a web page, not a file.",
        hint="Copy the address of the file itself: on GitHub, of the Raw button; elsewhere, of Download.",
    )


def _name_in(headers: Mapping[str, Any]) -> str | None:
    """Return the file's name by its headers."""
    disposition = headers.get("Content-Disposition", "")
    found = re.search(r"filename\*=UTF-8''([^;]+)", disposition, re.I) or re.search(r'filename="?([^";]+)', disposition)
    return unquote(found[1]).strip() if found else None


# ---- where we go -----------------------------------------------------------------------------------------------------


def _local_allowed() -> bool:
    return os.environ.get(LOCAL_HOSTS) == "1"


def _require_public(url: str) -> None:
    host = host_of(url)
    if _local_allowed():
        return
    if urlsplit(url).scheme != "https":
        raise DataError(f"{shown(url)} is not encrypted.", hint="Give an address that starts with https://.")
    if host == "localhost" or _is_private(host):
        raise _private(host)


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False  # a name: what it stands for is looked at when it is connected to
    return not address.is_global


def _private(host: str) -> DataError:
    return DataError(
        f"{host} is on this machine's own network, and nothing is fetched from there.",
        hint=f"Give the path of a file; or set {LOCAL_HOSTS}=1 if you trust everyone who can open the page.",
    )


def _session() -> requests.Session:
    import requests

    session = requests.Session()
    # Otherwise requests takes a password for the host from ~/.netrc.
    session.auth = lambda request: request
    if not _local_allowed():
        from requests.adapters import HTTPAdapter
        from urllib3.connection import HTTPSConnection
        from urllib3.connectionpool import HTTPSConnectionPool

        class Guarded(HTTPSConnection):
            """Looks at whom it is connected to: a public name may stand for a private address."""

            def _new_conn(self) -> Any:
                connected = super()._new_conn()
                if _is_private(connected.getpeername()[0]):
                    connected.close()
                    raise _private(self.host)
                return connected

        class Pool(HTTPSConnectionPool):
            ConnectionCls = Guarded

        adapter = HTTPAdapter()
        adapter.poolmanager.pool_classes_by_scheme = {"https": Pool}
        session.mount("https://", adapter)
    return session
