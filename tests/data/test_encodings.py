import codecs
from pathlib import Path

import pytest

from tb_widgets.data.opened import open_data
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec

FRENCH = "Le café était fermé. Où êtes-vous allés ? À la plage, naturellement, l’été dernier."


def read(path: Path, encoding: str = "auto") -> tuple[str, tuple[str, ...]]:
    texts = open_data(DataSpec(source=str(path), encoding=encoding))
    return "".join(piece.text for piece in texts.pieces()), texts.notes


def refused(path: Path, encoding: str = "auto") -> str:
    with pytest.raises(DataError) as caught:
        read(path, encoding)
    return str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        "Grüße, 世界\r\n🦋".encode(),
        codecs.BOM_UTF8 + "Grüße, 世界\r\n🦋".encode(),
        "Grüße, 世界\r\n🦋".encode("utf-16"),
        codecs.BOM_UTF16_BE + "Grüße, 世界\r\n🦋".encode("utf-16-be"),
    ],
)
def test_unicode_is_read_as_it_is_and_the_same_text_has_the_same_fingerprint(tmp_path: Path, raw: bytes):
    path = tmp_path / "my text.txt"
    path.write_bytes(raw)
    assert read(path) == ("Grüße, 世界\r\n🦋", ())
    fingerprint = "a9e15a18667dff8b19ad49b03c3bfe956506c06cf128b6b99fda67760c35071d"
    assert open_data(DataSpec(source=str(path))).fingerprint == fingerprint


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        (FRENCH, "cp1252"),
        ("Zażółć gęślą jaźń, dziękuję bardzo za śliczną książkę.", "cp1250"),
        ("Привет, как дела? Сегодня хорошая погода, и мы идём гулять.", "cp1251"),
        ("これは日本語の文章です。今日は天気がいいですね。", "cp932"),
        ("这是一个中文句子，今天天气很好。", "gb18030"),
        ("이것은 한국어 문장입니다. 오늘 날씨가 좋네요.", "cp949"),
        ("No byte order mark, but zeros in every second place.", "utf-16-le"),
        ("No byte order mark, but zeros in every second place.", "utf-16-be"),
    ],
)
def test_other_encodings_are_found_out_and_said(tmp_path: Path, text: str, codec: str):
    path = tmp_path / "old.txt"
    path.write_bytes(f"plain line\n{text}\n".encode(codec) * 20)
    content, notes = read(path)
    assert content == f"plain line\n{text}\n" * 20
    (note,) = notes
    assert f"read as {codec}, by the look of it." in note
    assert read(path, codec) == (content, ()), "what was chosen needs no note"


def test_a_table_says_its_encoding_too(tmp_path: Path):
    path = tmp_path / "rows.csv"
    path.write_bytes(f'text,label\n"{FRENCH}",1\n'.encode("cp1252"))
    table = open_data(DataSpec(source=str(path)))
    assert list(table.rows(["text"])) == [(FRENCH,)]
    assert "is not in UTF-8; it is read as cp1252" in table.notes[0]
    chosen = open_data(DataSpec(source=str(path), encoding="cp437"))
    assert list(chosen.rows(["text"])) != [(FRENCH,)]
    assert chosen.fingerprint != table.fingerprint


@pytest.mark.parametrize(
    ("raw", "encoding", "message"),
    [
        (b"%PDF-1.7\n\0\1\2", "auto", "is not a text file: byte 9 is zero. Give plain text or a table."),
        (b"text\0", "utf-8", "is not a text file: byte 4 is zero."),
        (b"caf\xe9 au lait", "utf-8", "is not UTF-8 text: byte 3 (e9) does not fit. Save it again with the encoding"),
        (codecs.BOM_UTF8 + b"abc\xff", "auto", "is not UTF-8 text: byte 6 (ff) does not fit."),
        (codecs.BOM_UTF16_LE + b"a\0b", "auto", "is not UTF-16 text: byte 4 (62) does not fit."),
        (b"caf\xe9", "ascii", "is not ASCII text: byte 3 (e9) does not fit."),
        (b"text", "klingon", "data.encoding: there is no encoding 'klingon'. Set it to auto, utf-8, cp1252"),
        (b"text", "base64", "data.encoding: there is no encoding 'base64'."),
    ],
)
def test_bytes_that_do_not_fit_are_named(tmp_path: Path, raw: bytes, encoding: str, message: str):
    path = tmp_path / "file.txt"
    path.write_bytes(raw)
    assert message in refused(path, encoding)


def test_a_wrong_byte_far_behind_is_named_by_its_place(tmp_path: Path):
    path = tmp_path / "long.txt"
    path.write_bytes("é123456789\n".encode() * 1_000_000 + b"caf\xe9 au lait")
    assert "is not UTF-8 text: byte 12,000,003 (e9) does not fit." in refused(path)
    assert "set data.encoding to the one it is in" in refused(path)
    path.write_bytes(b"123456789\n" * 1_000_000 + b"a\0b")
    assert "byte 10,000,001 is zero" in refused(path)


def test_a_damaged_byte_does_not_make_another_encoding_of_utf8(tmp_path: Path):
    path = tmp_path / "hurt.txt"
    path.write_bytes(f"{FRENCH}\n".encode() * 20 + b"caf\xe9\n")
    assert "is not UTF-8 text: byte 1,903 (e9) does not fit." in refused(path)


@pytest.mark.parametrize("shift", ["", "a"])
def test_an_encoding_of_two_bytes_is_found_in_one_long_line(tmp_path: Path, shift: str):
    path = tmp_path / "line.txt"
    text = shift + "这是一个中文句子，今天天气很好。" * 10_000
    path.write_bytes(text.encode("gb18030"))
    assert read(path)[0] == text
