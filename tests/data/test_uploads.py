"""Files that arrive in pieces."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import psutil
import pytest

from tb_widgets.data.sources import uploads
from tb_widgets.data.sources.file_names import clean_name
from tb_widgets.errors import DataError

from .conftest import left_behind

TEXT = b"some words of mine\n" * 1000
SHA = hashlib.sha256(TEXT).hexdigest()


def send(name: str = "mine.txt", content: bytes = TEXT, *, piece: int = 5000) -> str:
    id = uploads.begin(name, len(content))
    for number, start in enumerate(range(0, len(content), piece)):
        uploads.add(id, number, content[start : start + piece])
    return id


def test_a_file_arrives_under_its_checksum(cache):
    path = uploads.finish(send("my folder/mine.txt"), SHA)
    assert path == cache / "uploads" / SHA / "mine.txt"
    assert path.read_bytes() == TEXT
    assert not left_behind(cache)


def test_pieces_that_come_twice_are_no_harm_and_those_too_early_name_the_one_expected(cache):
    id = uploads.begin("mine.txt", len(TEXT))
    assert uploads.add(id, 0, TEXT[:5000]) == 5000
    assert uploads.add(id, 0, TEXT[:5000]) == 5000
    with pytest.raises(DataError, match=r"Piece 2 of mine\.txt came before piece 1\. Send piece 1 first"):
        uploads.add(id, 2, TEXT[10_000:])
    with pytest.raises(
        DataError, match=f"Only 5,000 of the {len(TEXT):,} bytes of mine.txt have arrived. Send piece 1 next"
    ):
        uploads.finish(id, SHA)
    assert uploads.add(id, 1, TEXT[5000:]) == len(TEXT)
    assert uploads.finish(id, SHA).read_bytes() == TEXT


def test_a_damaged_file_is_refused_and_nothing_stays(cache):
    id = send()
    with pytest.raises(DataError, match="arrived damaged"):
        uploads.finish(id, "0" * 64)
    assert not list((cache / "uploads").iterdir())
    with pytest.raises(DataError, match="has expired"):
        uploads.add(id, 0, b"")


def test_more_than_was_announced_is_refused(cache):
    id = uploads.begin("mine.txt", 10)
    with pytest.raises(DataError, match="sent more than the 10 bytes"):
        uploads.add(id, 0, TEXT)
    assert not list((cache / "uploads").iterdir())


def test_what_is_empty_or_larger_than_the_disk_is_not_begun(cache):
    with pytest.raises(DataError, match="is empty"):
        uploads.begin("mine.txt", 0)
    with pytest.raises(DataError, match="GB free"):
        uploads.begin("mine.txt", 10**18)


def test_the_cap_of_the_cache_holds_for_uploads(cache, monkeypatch):
    monkeypatch.setenv("TB_CACHE_LIMIT", "1K")
    with pytest.raises(DataError, match="TB_CACHE_LIMIT"):
        uploads.begin("mine.txt", len(TEXT))


def test_the_same_file_twice_is_one(cache):
    assert uploads.finish(send(), SHA) == uploads.finish(send(), SHA)
    assert len(list((cache / "uploads").iterdir())) == 1


def test_an_upload_that_is_cancelled_or_whose_process_is_gone_leaves_nothing(cache):
    uploads.cancel(send())
    code = "from tb_widgets.data.sources import uploads; print(uploads.begin('theirs.txt', 5))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert len(list((cache / "uploads").glob(".*.part"))) == 1
    uploads.cancel(send())
    assert not left_behind(cache)


def test_two_hundred_megabytes_need_no_memory(cache):
    piece = os.urandom(1 << 18)
    before = psutil.Process().memory_info().rss
    id, digest = uploads.begin("large.txt", 800 * len(piece)), hashlib.sha256()
    for number in range(800):
        uploads.add(id, number, piece)
        digest.update(piece)
    assert uploads.finish(id, digest.hexdigest()).stat().st_size == 800 << 18
    assert psutil.Process().memory_info().rss - before < 20_000_000


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\my text.txt", "my text.txt"),
        ("a\0b\n?.csv.gz", "a_b__.csv.gz"),
        ("..", "data"),
        ("", "data"),
        (".txt", "txt"),
        ("ü" * 200 + ".jsonl", "ü" * 57 + ".jsonl"),
    ],
)
def test_names_lead_nowhere_and_keep_their_endings(name, clean):
    assert clean_name(name) == clean
    assert len(clean.encode()) <= 120
