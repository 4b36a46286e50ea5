import codecs
import os
import tempfile
from pathlib import Path

import pytest

from tb_widgets.data.sources import list_sources, read_text
from tb_widgets.errors import DataError


def test_built_in_texts_are_there_without_a_network():
    assert [source.name for source in list_sources("masked-lm")] == ["python-docs", "python-source"]
    assert [source.name for source in list_sources("seq2seq")] == ["reversed-words", "python-docs", "python-source"]
    assert len(list_sources()) == 5
    docs, code = read_text("python-docs"), read_text("python-source")
    assert len(docs.text) > 300_000
    assert "statement" in docs.text
    assert len(code.text) > 3_000_000
    assert "def " in code.text
    assert docs.path is None
    assert docs == read_text("python-docs")
    assert len({docs.fingerprint, code.fingerprint}) == 2


@pytest.mark.parametrize(
    "raw",
    [
        "Grüße, 世界\r\n🦋".encode(),
        codecs.BOM_UTF8 + "Grüße, 世界\r\n🦋".encode(),
        "Grüße, 世界\r\n🦋".encode("utf-16"),
        codecs.BOM_UTF16_BE + "Grüße, 世界\r\n🦋".encode("utf-16-be"),
    ],
)
def test_text_files_are_read_as_they_are_and_the_same_text_has_the_same_fingerprint(tmp_path: Path, raw: bytes):
    path = tmp_path / "my text.txt"
    path.write_bytes(raw)
    text = read_text(str(path))
    assert text.text == "Grüße, 世界\r\n🦋"
    assert (text.name, text.path) == ("my text.txt", path)
    assert text.fingerprint == "a9e15a18667dff8b19ad49b03c3bfe956506c06cf128b6b99fda67760c35071d"


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_text(str(path))
    return str(caught.value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is empty. Give a file with text in it."),
        (b" \n\t\n", "is empty. Give a file with text in it."),
        (codecs.BOM_UTF8, "is empty."),
        (b"%PDF-1.7\n\0\1\2", "is not a text file: byte 9 is zero. Give plain text."),
        (b"caf\xe9 au lait", "is not UTF-8 text: byte 3 (e9) does not fit. Save it again with the encoding UTF-8."),
        (codecs.BOM_UTF8 + b"abc\xff", "is not UTF-8 text: byte 6 (ff) does not fit."),
        (codecs.BOM_UTF16_LE + b"a\0b", "is not UTF-16 text: byte 4 (62) does not fit."),
    ],
)
def test_files_that_are_not_text_say_which_byte(tmp_path: Path, raw: bytes, message: str):
    path = tmp_path / "file.txt"
    path.write_bytes(raw)
    assert f"{path} {message}" in refused(path)


def test_missing_file_folder_and_network_source(tmp_path: Path):
    assert "there is no file" in refused(tmp_path / "nothing.txt")
    assert "or one of python-docs, python-source." in refused(tmp_path / "nothing.txt")
    assert "is a folder. Give one text file." in refused(tmp_path)
    (tmp_path / "b.txt").touch()
    assert f"for example {tmp_path / 'b.txt'}." in refused(tmp_path)
    with pytest.raises(DataError, match=r"hub:owner/name is not on this machine"):
        read_text("hub:owner/name")


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="permissions work differently on this system")
def test_file_and_folder_without_permission():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "locked.txt").write_text("text")
        (folder / "locked.txt").chmod(0)
        (folder / "inner").mkdir(mode=0o700)
        (folder / "inner" / "text.txt").write_text("text")
        (folder / "inner").chmod(0)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            assert "locked.txt can't be read: Permission denied. Check its permissions." in refused(
                folder / "locked.txt"
            )
            assert "text.txt can't be read: Permission denied." in refused(folder / "inner" / "text.txt")
        finally:
            if root:
                os.seteuid(0)
            (folder / "inner").chmod(0o700)
