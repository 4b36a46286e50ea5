import gzip
import hashlib
import json
import os
import random
import re
import socket
import sys
import tempfile
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tb_widgets.data.formats import files
from tb_widgets.data.reading.open import LONGEST_PIECE, Table, Texts, open_data
from tb_widgets.data.sources.builtin import read_text
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec

from .conftest import parquet


def opened(source: object, **settings: object) -> Texts | Table:
    return open_data(DataSpec(source=str(source), **settings))


def refused(source: object, **settings: object) -> str:
    """Return why data can't be opened and read to their end."""
    with pytest.raises(DataError) as caught:
        read_all(opened(source, **settings))
    return str(caught.value)


def read_all(data: Texts | Table) -> None:
    for _ in data.pieces() if isinstance(data, Texts) else data.rows([column.name for column in data.columns]):
        pass


def whole(texts: Texts) -> list[str]:
    documents = [""]
    for piece in texts.pieces():
        documents[-1] += piece.text
        documents += [""] if piece.ends_document else []
    assert documents.pop() == ""
    return documents


def test_a_text_comes_in_pieces_that_end_at_line_breaks_and_make_the_text_again(tmp_path: Path):
    path = tmp_path / "book.md"
    text = "".join(f"Zeile {n}: Größe, 世界 🦋\r\n" for n in range(200_000))
    path.write_text(text, newline="")
    texts = opened(path)
    pieces = list(texts.pieces())
    assert "".join(piece.text for piece in pieces) == text
    assert max(len(piece.text) for piece in pieces) <= LONGEST_PIECE
    assert all(piece.text.endswith("\n") for piece in pieces)
    assert [piece.ends_document for piece in pieces[-2:]] == [False, True]
    assert (texts.name, texts.size, texts.files) == ("book.md", path.stat().st_size, (path,))
    assert list(texts.pieces()) == pieces, "again from the beginning"
    assert texts.fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()
    assert opened("python-docs").fingerprint == hashlib.sha256(read_text("python-docs").encode()).hexdigest()
    assert whole(opened("python-docs")) == [read_text("python-docs")]


def test_one_enormous_line_is_cut_and_never_held(tmp_path: Path):
    path = tmp_path / "line.txt"
    size = 300_000_000
    with path.open("wb") as file:
        for _ in range(size // 1_000_000):
            file.write(b"abcdefghi " * 100_000)
    texts, process = opened(path), psutil.Process()
    before = process.memory_info().rss
    letters, most = 0, 0
    for number, piece in enumerate(texts.pieces()):
        letters += len(piece.text)
        if number % 500 == 0:
            most = max(most, process.memory_info().rss - before)
    assert letters == size
    assert most < 60_000_000


@pytest.mark.parametrize("pattern", ["{}", "{}/*.txt", "{}/**/*.txt"])
def test_files_of_a_folder_or_pattern_are_documents_in_order(tmp_path: Path, pattern: str):
    for name in ("b.txt", "a.txt", "deep/c.txt", ".hidden.txt", ".git/config.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"This is {Path(name).stem}.")
    (tmp_path / "nothing.txt").touch()
    texts = opened(pattern.format(tmp_path))
    deep = ["This is c."] if pattern != "{}/*.txt" else []
    assert whole(texts) == ["This is a.", "This is b.", *deep]
    assert texts.documents == len(texts.files) == 2 + len(deep)
    before = texts.fingerprint
    (tmp_path / "a.txt").write_text("This is A.")
    assert opened(pattern.format(tmp_path)).fingerprint != before


def test_gz_and_zip_are_unpacked_on_the_way(tmp_path: Path):
    (tmp_path / "t.txt.gz").write_bytes(gzip.compress(b"packed text"))
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("books/b.txt", "second")
        archive.writestr("books/a.txt", "first")
        archive.writestr("__MACOSX/._a.txt", b"\0\5")
        archive.writestr("books/.DS_Store", b"\0")
    assert whole(opened(tmp_path / "t.txt.gz")) == ["packed text"]
    assert whole(opened(tmp_path / "two.zip")) == ["first", "second"]
    assert opened(tmp_path / "t.txt.gz").fingerprint == hashlib.sha256(b"packed text").hexdigest()


def write_zip(path: Path, name: str, content: str, *, flags: int = 0) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    raw = bytearray(path.read_bytes())
    raw[raw.rfind(b"PK\1\2") + 8] |= flags
    path.write_bytes(raw)


def test_damaged_and_malicious_archives_each_have_their_sentence(tmp_path: Path):
    packed = gzip.compress(os.urandom(100_000).hex().encode())
    (tmp_path / "cut.txt.gz").write_bytes(packed[: len(packed) // 2])
    assert "cut.txt.gz is cut off: its end is missing. Download it again." in refused(tmp_path / "cut.txt.gz")
    (tmp_path / "bad.txt.gz").write_bytes(packed[:5000] + bytes(100) + packed[5100:])
    assert "bad.txt.gz is damaged: it can't be unpacked" in refused(tmp_path / "bad.txt.gz")
    (tmp_path / "none.txt.gz").write_bytes(b"just text")
    assert "none.txt.gz is damaged, or not a gzip file." in refused(tmp_path / "none.txt.gz")
    with gzip.open(tmp_path / "bomb.txt.gz", "wb", compresslevel=1) as file:
        for _ in range(66):
            file.write(bytes([97]) * 2**20)
    assert "bomb.txt.gz would unpack to more than 200 times its size" in refused(tmp_path / "bomb.txt.gz")
    write_zip(tmp_path / "bomb.zip", "a.txt", "a" * 70 * 2**20)
    assert "bomb.zip would unpack to more than 200 times its size" in refused(tmp_path / "bomb.zip")
    write_zip(tmp_path / "locked.zip", "a.txt", "secret", flags=1)
    assert "locked.zip is password-protected. Unzip it" in refused(tmp_path / "locked.zip")
    (tmp_path / "none.zip").write_bytes(b"PK\3\4 and no more")
    assert "none.zip is damaged: it can't be unpacked" in refused(tmp_path / "none.zip")
    write_zip(tmp_path / "crc.zip", "a.txt", "some text " * 50)
    raw = bytearray((tmp_path / "crc.zip").read_bytes())
    raw[45] ^= 255
    (tmp_path / "crc.zip").write_bytes(raw)
    assert "crc.zip is damaged: it can't be unpacked" in refused(tmp_path / "crc.zip")
    write_zip(tmp_path / "nested.zip", "a.txt.gz", "x")
    assert "nested.zip contains a.txt.gz, itself an archive." in refused(tmp_path / "nested.zip")
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr("a.txt", "first")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.txt", "second")
    assert "twice.zip contains two files named a.txt. Zip it again, with each file once." in refused(
        tmp_path / "twice.zip"
    )
    write_zip(tmp_path / "hollow.zip", "a.txt", "")
    assert "hollow.zip contains no file with anything in it." in refused(tmp_path / "hollow.zip")


def test_what_is_no_file_is_refused_without_being_read(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{folder}/s")
        assert f"{folder}/s is a socket, not a file." in refused(f"{folder}/s")
    assert "data.source: /dev/zero is a device, not a file. Choose a file." in refused("/dev/zero")
    if sys.platform == "linux":
        assert "/proc/self/status is not a regular file." in refused("/proc/self/status")
        assert "/proc/self/mem can't be read: Input/output error. Check" in refused("/proc/self/mem")
    assert "pipe is a pipe, not a file." in refused(tmp_path / "pipe")
    assert "there is no file" in refused(tmp_path / "nothing.txt")
    assert "no file matches this pattern" in refused(tmp_path / "*.csv")
    (tmp_path / "folder").mkdir()
    assert "folder: the folder is empty." in refused(tmp_path / "folder")
    assert "'' is not a path" in refused("")
    assert "is not a path" in refused("a\0b")
    assert "there is no such user" in refused("~nobody-of-this-name/x.txt")
    (tmp_path / "zero.txt").touch()
    assert "zero.txt is empty. Choose a file with text in it." in refused(tmp_path / "zero.txt")
    (tmp_path / "blank.txt").write_text(" \n\t" * 100_000)
    assert "blank.txt is empty: it contains only whitespace." in refused(tmp_path / "blank.txt")
    assert "hub:owner/name has not been downloaded yet" in refused("hub:owner/name")


def test_a_mixture_of_kinds_is_refused_with_an_example_of_each(tmp_path: Path):
    (tmp_path / "rows.csv").write_text("text\na\n")
    (tmp_path / "README.md").write_text("About these rows")
    message = refused(tmp_path)
    assert "contains files of several types: csv (rows.csv) and text (README.md)." in message
    assert f"for example {tmp_path / '*.csv'}." in message
    assert isinstance(opened(tmp_path / "*.csv"), Table)


def test_a_file_that_changes_while_it_is_read_is_not_believed(tmp_path: Path):
    path = tmp_path / "growing.txt"
    path.write_text("line\n" * 1_000_000)
    texts = opened(path)
    pieces = texts.pieces()
    next(pieces)
    with path.open("a") as file:
        file.write("more\n")
    with pytest.raises(DataError, match=r"growing.txt changed while it was being read. Try again"):
        list(pieces)
    with pytest.raises(DataError, match="changed while"):
        next(texts.pieces())
    assert list(opened(path).pieces())[-1].text.endswith("more\n")


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="permissions work differently on this system")
def test_files_and_folders_without_permission():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for file in ("locked.txt", "locked.csv", "locked.zip"):
            (folder / file).write_text("text")
            (folder / file).chmod(0)
        (folder / "inner").mkdir()
        (folder / "inner" / "text.txt").write_text("text")
        (folder / "inner").chmod(0)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            for file in ("locked.txt", "locked.csv", "locked.zip", "inner/text.txt"):
                assert f"{file} can't be read: Permission denied. Check its permissions." in refused(folder / file)
            for source in (folder, folder / "inner"):
                assert "inner can't be read: Permission denied. Check its permissions." in refused(source)
        finally:
            if root:
                os.seteuid(0)
            (folder / "inner").chmod(0o700)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": {"text": "a"}}, "data.columns is set, but .* is plain text."),
        ({"validation_split": "test"}, "data.validation_split: no file is named test."),
        ({"config": "en"}, "data.config is set, but .* is not a Hub dataset."),
        ({"split": "train"}, "data.split is set, but .* is not a Hub dataset."),
        ({"streaming": True}, "data.streaming is set, but .* is not a Hub dataset."),
    ],
)
def test_settings_that_mean_nothing_here_are_not_ignored(tmp_path: Path, settings, message):
    (tmp_path / "a.txt").write_text("text")
    assert re.search(message, refused(tmp_path / "a.txt", **settings))
    assert "comes with Python" in refused("python-docs", **settings)


def test_a_part_that_the_files_hold_back_is_opened_beside_the_rest(tmp_path: Path):
    for name, text in (("train-0.csv", "a"), ("train-1.csv", "b"), ("test.csv", "c")):
        (tmp_path / name).write_text(f"text,label\n{text},1\n")
    table = opened(tmp_path, validation_split="test")
    assert list(table.rows(["text"])) == [("a",), ("b",)]
    assert list(table.own_validation.rows(["text"])) == [("c",)]
    alone = opened(tmp_path / "train*.csv")
    assert alone.own_validation is None
    assert alone.fingerprint != table.fingerprint


@pytest.mark.parametrize("name", ["wide.csv", "wide.jsonl"])
def test_a_table_with_very_many_columns_is_read_in_a_moment(tmp_path: Path, name: str):
    names = [f"column {n}" for n in range(60_000)]
    row = [f"a much longer text that stands below the name of {each}" for each in names]
    lines = [json.dumps(dict(zip(names, row, strict=True)))] * 3
    (tmp_path / name).write_text("\n".join(lines if name == "wide.jsonl" else map(",".join, (names, row, row, row))))
    start = time.perf_counter()
    table = opened(tmp_path / name)
    assert [column.name for column in table.columns] == names
    assert table.first_rows(names, 5) == [tuple(row)] * 3
    assert time.perf_counter() - start < 10  # the square of so many takes a minute


def zipped(path: Path, *members: tuple[str, str]) -> bytearray:
    """Write a zip, and return its bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return bytearray(path.read_bytes())


def overlapping_zip(path: Path) -> None:
    raw = zipped(path, ("a.txt", "first"), ("b.txt", "second"))
    place = raw.rfind(b"PK\1\2") + 42  # where the second file begins, says the list at the end
    raw[place : place + 4] = bytes(4)
    path.write_bytes(raw)


def lying_zip(path: Path) -> None:
    raw = zipped(path, ("a.txt", "a" * 1000))
    place = raw.rfind(b"PK\1\2") + 24  # how long the file is
    raw[place : place + 4] = (5).to_bytes(4, "little")
    path.write_bytes(raw)


def climbing_zip(path: Path) -> None:
    zipped(path, ("../climbing.txt", "outside"), ("/etc/absolute.txt", "outside"), ("a.txt", "inside"))


def linking_zip(path: Path) -> None:
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")


def folder_with_pipe(path: Path) -> None:
    path.mkdir()
    (path / "a.txt").write_text("inside")
    os.mkfifo(path / "pipe")


def folder_with_loops(path: Path) -> None:
    path.mkdir()
    (path / "a.txt").write_text("inside")
    (path / "again").symlink_to(".")
    (path / "self").symlink_to("self")


@pytest.mark.parametrize(
    ("name", "make", "expected"),
    [
        ("overlapping.zip", overlapping_zip, "overlapping.zip is damaged: it can't be unpacked"),
        ("lying.zip", lying_zip, "lying.zip is damaged: it can't be unpacked"),
        ("linking.zip", linking_zip, ["/etc/passwd"]),
        ("several.txt.gz", lambda path: path.write_bytes(gzip.compress(b"one ") + gzip.compress(b"two")), ["one two"]),
        ("more.txt.gz", lambda path: path.write_bytes(gzip.compress(b"one") + b"more"), "more.txt.gz is damaged: it"),
        ("pipes", folder_with_pipe, ["inside"]),
        ("loops", folder_with_loops, ["inside"]),
        ("with\n<b>'odd' name.txt", lambda path: path.write_text("inside"), ["inside"]),
        ("deep.json", lambda path: path.write_text("[" * 10**6), "is not valid JSON: line 1, column 2: too deeply"),
        ("digits.json", lambda path: path.write_text('[{"a": ' + "1" * 10**6 + "}]"), "digits.json is not valid JSON"),
    ],
)
def test_odd_and_hostile_files_are_read_as_they_are_or_refused_in_words(tmp_path: Path, name: str, make, expected):
    make(tmp_path / name)
    if isinstance(expected, str):
        assert expected in refused(tmp_path / name)
    else:
        assert whole(opened(tmp_path / name)) == expected


def test_names_in_a_zip_that_lead_out_of_it_write_nothing(tmp_path: Path):
    (tmp_path / "inner").mkdir()
    climbing_zip(tmp_path / "inner" / "climbing.zip")
    read_all(opened(tmp_path / "inner" / "climbing.zip"))
    assert [path.name for path in tmp_path.rglob("*.txt")] == []
    assert not Path("/etc/absolute.txt").exists()


def test_a_folder_with_too_many_files_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(files, "_MOST_FILES", 20)
    for number in range(21):
        (tmp_path / f"{number}.txt").touch()
    for source in (tmp_path, tmp_path / "*.txt"):
        assert "matches more than 20 files. Choose a folder with fewer, or join them." in refused(source)


@pytest.mark.parametrize("seed", range(20))
def test_a_parquet_file_with_wrong_bytes_is_read_or_refused_in_words(tmp_path: Path, seed: int):
    draw = random.Random(seed)
    content = bytearray(parquet(300))
    for _ in range(draw.choice((1, 5, 50))):
        content[draw.randrange(4, len(content))] = draw.randrange(256)
    (tmp_path / "a.parquet").write_bytes(content)
    with suppress(DataError):
        read_all(opened(tmp_path / "a.parquet"))
