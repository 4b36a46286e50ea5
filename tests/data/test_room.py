"""How much the cache may take, and what goes first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from tb_widgets.data.cache import limit as room
from tb_widgets.data.cache.built import built_folder
from tb_widgets.data.prepared import prepare
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, TokenizerSpec

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
    with pytest.raises(DataError, match="no room"):
        room.make_room(800)
    assert fresh.exists()
    assert old.exists()


def test_what_a_living_process_holds_stays(entry, cache, monkeypatch):
    monkeypatch.setenv("TB_CACHE_LIMIT", "500")
    held, free = entry("a", 400, 9), entry("b", 400, 1)
    code = (
        "import pathlib, sys, os; from tb_widgets.data.cache.limit import hold; folder = pathlib.Path(sys.argv[1]); "
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


def test_clearing_takes_all_but_what_is_kept_and_models_stay(entry, cache):
    kept, gone = entry("a", 10, 0), entry("b", 20, 0, group="uploads")
    model = cache / "models" / "hub" / "me" / "tiny"
    model.mkdir(parents=True)
    assert room.cache_use().size == 30
    assert room.clear_cache(keep=[kept / "data"]) == room.Cleared(freed=20, kept=10)
    assert kept.exists()
    assert not gone.exists()
    assert model.exists()


def test_what_was_left_unfinished_is_swept_after_a_while_and_what_can_not_be_gone_on_with_at_once(cache):
    stale, young = cache / "datasets" / f".{'a' * 32}.part", cache / "datasets" / f".{'b' * 32}.part"
    for folder in (stale, young):
        (folder / room.GROWING).mkdir(parents=True)
        (folder / "file.part").write_bytes(b"x")
    for path in (*stale.iterdir(), stale):
        os.utime(path, (time.time() - 8 * DAY,) * 2)
    room.make_room()
    assert not stale.exists()
    assert [path.name for path in young.iterdir()] == ["file.part"]


@pytest.mark.parametrize(("text", "size"), [("500M", 500e6), ("20 GB", 20e9), ("1.5t", 1.5e12), ("1000", 1000)])
def test_the_limit_is_written_as_people_write_sizes(cache, monkeypatch, text, size):
    monkeypatch.setenv("TB_CACHE_LIMIT", text)
    assert room.cache_limit() == size


def test_a_limit_that_is_no_size_is_said(cache, monkeypatch):
    monkeypatch.setenv("TB_CACHE_LIMIT", "much")
    with pytest.raises(DataError, match="TB_CACHE_LIMIT is 'much', which is not a size"):
        room.cache_limit()


def test_without_a_limit_it_is_at_most_twenty_gigabytes(cache, monkeypatch):
    assert 0 < room.cache_limit() <= 20e9


def test_a_run_holds_its_token_files_and_what_is_unused_makes_room_for_them(entry, cache, monkeypatch):
    monkeypatch.setenv("TB_CACHE_LIMIT", "500")
    old = entry("a", 600, 1)
    made = built_folder(cache, "b" * 32, lambda folder: folder.joinpath("tokens").write_bytes(b"x" * 400) and None)
    assert not old.exists()
    os.utime(made, (0, 0))
    monkeypatch.setenv("TB_CACHE_LIMIT", "100")
    room.make_room()
    assert made.exists()


def test_a_text_that_the_cache_may_not_take_is_refused_before_it_is_packed(cache, tmp_path, monkeypatch):
    (tmp_path / "long.txt").write_text("to be or not to be\n" * 100_000)
    monkeypatch.setenv("TB_CACHE_LIMIT", "1M")
    said = []
    data = DataSpec(source=str(tmp_path / "long.txt"), context_length=16)
    with pytest.raises(DataError, match=r"cache limit is 1 MB, which leaves no room for 3\.8 MB more.*TB_CACHE_L"):
        prepare(
            data,
            TokenizerSpec(kind="byte"),
            cache_dir=cache,
            on_progress=lambda words, share: said.append((words, share)),
        )
    assert max(share for _, share in said) < 0.4  # the rest was not even read
    assert not list(cache.glob(".*.part"))
    assert room.cache_use().size < 1000
    monkeypatch.setenv("TB_CACHE_LIMIT", "4M")
    assert prepare(data, TokenizerSpec(kind="byte"), cache_dir=cache).statistics["characters"] == 1_900_000


@pytest.mark.parametrize("task", ["causal-lm", "sequence-classification"])
def test_rows_are_refused_while_they_are_packed(cache, tmp_path, monkeypatch, task):
    rows = ({"text": f"{number} {'word ' * 40}", "label": number % 2} for number in range(8000))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("TB_CACHE_LIMIT", "1M")
    done = []
    monkeypatch.setattr("tb_widgets.data.batches.token_files._digest", lambda *_: done.append(1) or "")
    monkeypatch.setattr("tb_widgets.data.batches.example_files._digest", lambda *_: done.append(1) or "")
    data = DataSpec(source=str(tmp_path / "rows.jsonl"), context_length=256)
    with pytest.raises(DataError, match=r"cache limit is 1 MB, which leaves no room for 1\.\d MB more"):
        prepare(data, TokenizerSpec(kind="byte"), task=task, cache_dir=cache)
    assert not done
    assert not list(cache.glob(".*.part"))


def test_a_limit_that_is_no_size_is_said_also_where_nothing_is_to_be_made(cache, monkeypatch):
    made = [built_folder(cache, "b" * 32, lambda folder: folder.joinpath("tokens").touch())]
    monkeypatch.setenv("TB_CACHE_LIMIT", "lots")
    with pytest.raises(DataError, match="TB_CACHE_LIMIT is 'lots', which is not a size"):
        built_folder(cache, "b" * 32, made.append)
    assert len(made) == 1
