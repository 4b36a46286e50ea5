"""Fetching through the process that does it: what it leaves behind when it is ended, killed, or the disk is full."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tb_widgets.data.reading.open import open_data
from tb_widgets.data.sources import ask_process as asking
from tb_widgets.data.sources.fetching import fetch_data
from tb_widgets.data.sources.hub_facts import search_hub
from tb_widgets.data.sources.resolve import resolve_source
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec
from tests.runs.conftest import mounted

from .conftest import left_behind
from .hub_server import HubServer

WORDS = " ".join(f"{n} times {n} is {n * n}." for n in range(20_000)).encode()


@pytest.fixture
def web(quiet, cache):
    quiet.files["squares.txt"] = WORDS
    return quiet


@pytest.fixture
def data(web: HubServer) -> DataSpec:
    return DataSpec(source=f"{web.url}/files/squares.txt")


def held_up(web: HubServer, after: int) -> threading.Event:
    """Let the server stop after so many bytes of the first answer, until the event is set."""
    go_on, first = threading.Event(), iter([True])

    def fault(handler) -> bool:
        if "squares" not in handler.path or not next(first, False):
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(WORDS)))
        handler.send_header("ETag", '"one"')
        handler.end_headers()
        handler.wfile.write(WORDS[:after])
        handler.wfile.flush()
        go_on.wait(30)
        handler.wfile.write(WORDS[after:])
        return True

    web.fault = fault
    return go_on


def test_a_file_at_an_address_is_fetched_once_and_read_as_a_text(web, data, cache):
    assert resolve_source(data).is_remote
    assert not resolve_source(data).is_here
    with pytest.raises(DataError, match="has not been downloaded yet"):
        open_data(data)
    fetched = fetch_data(data)
    assert fetched.data == data
    assert [path.name for path in fetched.files] == ["squares.txt"]
    assert "".join(piece.text for piece in open_data(data).pieces()).encode() == WORDS
    fetch_data(data)
    assert len(web.sent("squares")) == 2
    assert web.sent("squares")[1]["if-none-match"]
    assert not left_behind(cache)


def test_what_has_changed_takes_the_place_of_the_copy_and_what_is_gone_leaves_it(web, data):
    fetch_data(data)
    web.files["squares.txt"] = b"other words\n"
    assert fetch_data(data).files[0].read_bytes() == b"other words\n"
    del web.files["squares.txt"]
    with pytest.raises(DataError, match="There is no file at"):
        fetch_data(data)
    assert resolve_source(data).files[0].read_bytes() == b"other words\n"


def test_whoever_watches_can_end_it_at_once_and_it_is_gone_on_with(web, data, cache):
    go_on = held_up(web, 100_000)

    class EndedError(Exception):
        pass

    def watch(message: str, _share: float) -> None:
        if " kB of" in message:
            raise EndedError

    with pytest.raises(EndedError):
        fetch_data(data, on_progress=watch)
    go_on.set()
    assert not resolve_source(data).is_here
    # What another test has killed may still stand among the children, without a command line.
    children = [child for child in psutil.process_iter(["ppid", "cmdline"]) if child.info["ppid"] == os.getpid()]
    assert not [child for child in children if "remote.process" in " ".join(child.info["cmdline"] or ())]
    assert left_behind(cache)
    web.fault = None
    fetch_data(data)
    assert resolve_source(data).files[0].read_bytes() == WORDS
    assert not left_behind(cache)


def test_a_process_that_is_killed_leaves_nothing_that_could_be_taken_for_data(web, data, cache):
    go_on = held_up(web, 100_000)

    def kill(message: str, _share: float) -> None:
        if " kB of" in message:
            for child in psutil.Process().children():
                child.send_signal(signal.SIGKILL)

    with pytest.raises(DataError, match=r"ended without an answer \(exit code -9\)"):
        fetch_data(data, on_progress=kill)
    go_on.set()
    assert not resolve_source(data).is_here
    web.fault = None
    assert fetch_data(data).size == len(WORDS)


def test_two_at_once_fetch_it_once(web, data, until, tmp_path):
    go_on, said = held_up(web, 100_000), tmp_path / "said"
    code = "import sys; from tb_widgets.data.sources.fetching import *; from tb_widgets.spec import DataSpec; " + (
        "say = lambda message, _: print(message, file=open(sys.argv[2], 'a')); "
        "print(fetch_data(DataSpec(source=sys.argv[1]), on_progress=say).files[0])"
    )
    words = [sys.executable, "-c", code, data.source, said]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    until(lambda: said.exists() and "Waiting for another process to fetch the same" in said.read_text())
    go_on.set()
    paths = {process.communicate(timeout=60)[0].strip() for process in both}
    assert len(paths) == 1
    assert Path(paths.pop()).read_bytes() == WORDS
    assert [headers.get("if-none-match") for headers in web.sent("squares")] == [None, '"one"']


def test_a_disk_that_fills_is_said_and_nothing_stays(web, data, tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir()
    for folder in mounted(disk, "size=256k"):
        monkeypatch.setenv("TB_CACHE_DIR", str(folder))
        monkeypatch.setenv("TB_CACHE_LIMIT", "1G")
        with pytest.raises(DataError, match=r"has \d+ kB free, but \d+ kB are still to come"):
            fetch_data(data)

        def without_length(handler) -> bool:
            handler.send_response(200)
            handler.send_header("Connection", "close")
            handler.end_headers()
            handler.wfile.write(WORDS)
            handler.close_connection = True
            return True

        web.fault = without_length
        with pytest.raises(DataError, match=r"The disk that holds .* is full"):
            fetch_data(data)
        assert not [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
        assert not resolve_source(data).is_here


def test_what_the_cache_may_not_hold_is_said_with_the_way_out(web, data, monkeypatch):
    monkeypatch.setenv("TB_CACHE_LIMIT", "100K")
    with pytest.raises(DataError, match=r"is too large: \d+ kB, and the cache has room for 100 kB.*TB_CACHE_LIMIT"):
        fetch_data(data)
    web.add("me/large", {"train.txt": WORDS})
    with pytest.raises(DataError, match=r"no room for \d+ kB more\. Set data\.streaming to true"):
        fetch_data(DataSpec(source="hub:me/large"))


def test_a_relative_cache_folder_is_the_same_one_for_both_processes(web, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TB_CACHE_DIR", "mine")
    assert fetch_data(data).files[0].is_relative_to(tmp_path / "mine")


def test_whoever_asks_imports_no_client_of_anything(hub):
    modules = ", ".join(f"tb_widgets.data.sources.{name}" for name in ("fetching", "hub_facts", "uploads"))
    code = (
        f"import sys, {modules}; "
        "heavy = {'datasets', 'huggingface_hub', 'pyarrow', 'pandas', 'requests', 'torch'} & set(sys.modules); "
        "sys.exit(', '.join(heavy) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_answer_that_does_not_come_is_not_waited_for(web, monkeypatch):
    go_on = threading.Event()
    web.fault = lambda handler: go_on.wait(30) and False
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    with pytest.raises(DataError, match="did not answer in time"):
        asking.ask({"ask": "search", "words": "tiny", "limit": 3}, None, within=0.5)
    go_on.set()


def test_a_token_goes_to_the_hub_and_nowhere_else(web, data, monkeypatch, cache):
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    fetch_data(data)
    assert "authorization" not in web.sent("squares")[0]
    web.add("me/mine", {"train.csv": "a\n1\n"})
    fetch_data(DataSpec(source="hub:me/mine"))
    assert {headers.get("authorization") for headers in web.sent("train.csv")} == {"Bearer hf_canary"}
    kept = b"".join(path.read_bytes() for path in cache.rglob("*") if path.is_file())
    assert b"canary" not in kept


def test_a_hub_that_is_gone_or_may_not_be_asked_is_said(web, monkeypatch):
    with HubServer() as gone:
        monkeypatch.setenv("HF_ENDPOINT", gone.url)
    with pytest.raises(DataError, match=r"Can't reach the Hugging Face Hub, so me/mine was not downloaded"):
        fetch_data(DataSpec(source="hub:me/mine"))
    with pytest.raises(
        DataError, match="Can't reach the Hugging Face Hub, so nothing was searched: it does not answer"
    ):
        search_hub("tiny stories")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match=r"is switched off \(HF_HUB_OFFLINE is set\)"):
        fetch_data(DataSpec(source="hub:me/mine"))
