"""Files from addresses, from a server on this machine that misbehaves on purpose."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tb_widgets.data.remote import download
from tb_widgets.data.remote.download import Download
from tb_widgets.errors import DataError

from .hub_server import HubServer, cut, status

CONTENT = os.urandom(300_000)


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,127.1")
    monkeypatch.setenv("TB_ALLOW_LOCAL_ADDRESSES", "1")
    monkeypatch.setattr(download, "PAUSES", (0.02, 0.02))
    with HubServer(files={"a.bin": CONTENT}) as server:
        yield server


def fetch(web: HubServer, folder: Path, name: str = "a.bin", **options) -> Download:
    wanted = Download(f"{web.url}/files/{name}", folder / "got", **{"limit": 10**9, **options})
    wanted.arrived = wanted.run()
    return wanted


def test_a_file_arrives_with_its_name_and_progress(web, tmp_path):
    seen = []
    wanted = fetch(web, tmp_path, report=lambda here, size: seen.append((here, size)))
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in tmp_path.iterdir()] == ["got"]
    assert wanted.arrived.etag


def test_it_goes_on_where_it_broke_off(web, tmp_path):
    web.fault = cut("a.bin", 150_000, again=False)
    fetch(web, tmp_path)
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert [headers.get("range") for headers in web.sent("a.bin")] == [None, "bytes=131072-"]


def test_another_attempt_goes_on_too_unless_the_file_has_changed(web, tmp_path):
    web.fault = cut("a.bin", 150_000)
    with pytest.raises(DataError, match=r"\d+ kB have arrived and are kept.*it continues where it stopped"):
        fetch(web, tmp_path)
    web.fault = None
    web.files["a.bin"] = CONTENT[::-1]
    fetch(web, tmp_path)
    assert (tmp_path / "got").read_bytes() == CONTENT[::-1]


def test_what_is_still_the_same_is_not_fetched_again(web, tmp_path):
    etag = fetch(web, tmp_path).arrived.etag
    assert fetch(web, tmp_path, etag=etag).arrived.unchanged


def test_a_network_that_is_gone_is_said(web, tmp_path):
    web.close()
    web.close = lambda: None
    with pytest.raises(DataError, match=r"127\.0\.0\.1 does not answer \(ConnectionError\)"):
        fetch(web, tmp_path)


@pytest.mark.parametrize("head", [b"<!DOCTYPE html><html>", b"\n  <html lang=en>"])
def test_web_pages_are_refused_even_without_their_type(web, tmp_path, head):
    web.files["page.txt"] = head + b"<body>Sign in</body></html>"
    with pytest.raises(DataError, match="is a web page, not a file"):
        fetch(web, tmp_path, "page.txt")


def test_a_file_that_is_too_large_is_refused_before_it_comes(web, tmp_path):
    with pytest.raises(DataError, match="is too large"):
        fetch(web, tmp_path, limit=len(CONTENT) - 1)
    assert not list(tmp_path.iterdir())


def test_a_file_that_grows_past_its_limit_is_left(web, tmp_path):
    def without_length(handler):
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(CONTENT)
        handler.close_connection = True
        return True

    web.fault = without_length
    with pytest.raises(DataError, match="is too large"):
        fetch(web, tmp_path, limit=100_000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (404, "There is no file at"),
        (403, "refuses public access"),
        (429, "is reached; retry in 7 seconds"),
        (418, "status 418"),
    ],
)
def test_refusals_have_their_own_words(web, tmp_path, code, message):
    web.fault = status(code, headers={"Retry-After": "7"})
    with pytest.raises(DataError, match=message):
        fetch(web, tmp_path)


def test_a_fault_of_the_server_is_tried_again(web, tmp_path):
    first = iter([True])
    web.fault = lambda handler: next(first, False) and status(503)(handler)
    fetch(web, tmp_path)
    assert len(web.sent("a.bin")) == 2


def redirect(to: str):
    def answer(handler):
        if "hop" not in handler.path:
            return False
        handler.send(302, b"", {"Location": to})
        return True

    return answer


def test_redirects_have_an_end(web, tmp_path):
    web.fault = redirect(f"{web.url}/files/hop")
    with pytest.raises(DataError, match="redirects more than 5 times"):
        fetch(web, tmp_path, "hop")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.org/a.txt", "is not encrypted"),
        ("https://127.0.0.1/a.txt", "own network"),
        ("https://localhost/a.txt", "own network"),
        ("https://[::1]/a.txt", "own network"),
        ("https://[::ffff:10.0.0.1]/a.txt", "own network"),
        ("https://169.254.169.254/latest", "own network"),
        ("https:///a.txt", "is not a web address"),
    ],
)
def test_only_public_hosts_are_asked(monkeypatch, tmp_path, url, message):
    monkeypatch.delenv("TB_ALLOW_LOCAL_ADDRESSES", raising=False)
    with pytest.raises(DataError, match=message):
        Download(url, tmp_path / "got", 10**9).run()


def test_a_name_that_stands_for_this_machine_is_found_out_when_it_is_connected_to(web, tmp_path, monkeypatch):
    monkeypatch.delenv("TB_ALLOW_LOCAL_ADDRESSES")
    port = web.url.rpartition(":")[2]
    with pytest.raises(DataError, match=r"127\.1 is on this machine's own network"):
        Download(f"https://127.1:{port}/files/a.bin", tmp_path / "got", 10**9).run()
    assert not web.seen


def test_a_redirect_leads_to_no_private_host_either(web, tmp_path, monkeypatch):
    web.fault = redirect("https://10.0.0.1/secret")
    wanted = Download(f"{web.url}/files/hop", tmp_path / "got", 10**9)
    asked = []
    allowed = download._local_allowed
    # The first host is the test's own server; from the second on the rules hold.
    monkeypatch.setattr(download, "_local_allowed", lambda: allowed() and len(asked.append(1) or asked) < 3)
    with pytest.raises(DataError, match=r"10\.0\.0\.1 is on this machine's own network"):
        wanted.run()
