"""How much the cache may take, and what goes first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from tb_widgets.data import room
from tb_widgets.data.cache import find_or_build
from tb_widgets.errors import DataError

DAY = 86400.0


@pytest.fixture
def entry(cache):
    """Make an entry of so many bytes that was used so many days ago."""

    def make(name: str, size: int, days: float = 1.0, group: str = "datasets"):
        folder = cache / group / (name * 32)[:32]
        folder.mkdir(parents=True)
        (folder / "data").write_bytes(bytes(size))
        os.utime(folder, (time.time() - days * DAY,) * 2)
        return folder

    return make


def test_what_was_unused_for_longest_goes_first_and_only_as_much_as_is_needed(entry, monkeypatch):
    monkeypatch.setenv("TB_CACHE_LIMIT", "1000")
    old, older, tokens = entry("a", 300, 2), entry("b", 300, 3), entry("c", 300, 1, group="")
    room.make_room(400)
    assert not older.exists()
    assert old.exists()
    assert tokens.exists()


def test_what_was_used_within_the_hour_stays_and_nothing_goes_when_that_is_too_much(entry, monkeypatch):
    monkeypatch.setenv("TB_CACHE_LIMIT", "1000")
    fresh, old = entry("a", 600, 0), entry("b", 300, 2)
    with pytest.raises(DataError, match="no room in it"):
        room.make_room(800)
    assert fresh.exists()
    assert old.exists()


def test_what_a_living_process_holds_stays(entry, cache, monkeypatch):
    monkeypatch.setenv("TB_CACHE_LIMIT", "500")
    held, free = entry("a", 400, 9), entry("b", 400, 1)
    code = (
        "import pathlib, sys, os; from tb_widgets.data.room import hold; folder = pathlib.Path(sys.argv[1]); "
        "hold(folder); os.utime(folder, (0, 0)); print(flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(held)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline()
        room.make_room()
        assert held.exists()
        assert not free.exists()
        cleared = room.clear_cache()
        assert (cleared.freed, cleared.kept) == (0, 400)
        holder.kill()
    assert room.clear_cache().freed == 400
    assert not held.exists()


def test_what_another_machine_holds_stays_for_a_week(entry, cache):
    held = entry("a", 400, 9)
    note = cache / "held" / "elsewhere-1.json"
    note.parent.mkdir()
    note.write_text(json.dumps({"pid": 1, "started": 1.0, "host": "elsewhere", "folders": [str(held)]}))
    assert room.clear_cache().kept == 400
    os.utime(note, (time.time() - 8 * DAY,) * 2)
    assert room.clear_cache().freed == 400
    assert not note.exists()


def test_clearing_takes_all_but_what_is_kept_and_models_stay(entry, cache):
    kept, gone = entry("a", 10, 0), entry("b", 20, 0, group="uploads")
    model = cache / "models" / "hub" / "me" / "tiny"
    model.mkdir(parents=True)
    assert room.cache_use().size == 30
    assert room.clear_cache(keep=[kept / "data"]) == room.Cleared(freed=20, kept=10)
    assert kept.exists()
    assert not gone.exists()
    assert model.exists()


def test_what_was_left_unfinished_is_swept_after_a_while(cache):
    stale, young = cache / "datasets" / f".{'a' * 32}.part", cache / "datasets" / f".{'b' * 32}.part"
    for folder in (stale, young):
        folder.mkdir(parents=True)
        (folder / "file.part").write_bytes(b"x")
    for path in (stale / "file.part", stale):
        os.utime(path, (time.time() - 8 * DAY,) * 2)
    room.make_room()
    assert not stale.exists()
    assert young.exists()


@pytest.mark.parametrize(("text", "size"), [("500M", 500e6), ("20 GB", 20e9), ("1.5t", 1.5e12), ("1000", 1000)])
def test_the_limit_is_written_as_people_write_sizes(cache, monkeypatch, text, size):
    monkeypatch.setenv("TB_CACHE_LIMIT", text)
    assert room.cache_limit() == size


def test_a_limit_that_is_no_size_is_said(cache, monkeypatch):
    monkeypatch.setenv("TB_CACHE_LIMIT", "much")
    with pytest.raises(DataError, match="TB_CACHE_LIMIT is 'much', which is no size"):
        room.cache_limit()


def test_without_a_limit_it_is_at_most_twenty_gigabytes(cache, monkeypatch):
    assert 0 < room.cache_limit() <= 20e9


def test_a_run_holds_its_token_files_and_what_is_unused_makes_room_for_them(entry, cache, monkeypatch):
    monkeypatch.setenv("TB_CACHE_LIMIT", "500")
    old = entry("a", 600, 1)
    made = find_or_build(cache, "b" * 32, lambda folder: folder.joinpath("tokens").write_bytes(b"x" * 400) and None)
    assert not old.exists()
    os.utime(made, (0, 0))
    monkeypatch.setenv("TB_CACHE_LIMIT", "100")
    room.make_room()
    assert made.exists()
