import codecs
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from charset_normalizer import from_bytes

from tb_widgets.data.reading.open import open_data
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
        "Grüße, 世界\r\n🦋".encode("utf-32"),
        codecs.BOM_UTF32_BE + "Grüße, 世界\r\n🦋".encode("utf-32-be"),
        2 * codecs.BOM_UTF8 + "Grüße, 世界\r\n🦋".encode(),
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
    assert f"Detected encoding: {codec}." in note
    assert read(path, codec) == (content, ()), "what was chosen needs no note"


def test_a_table_says_its_encoding_too(tmp_path: Path):
    path = tmp_path / "rows.csv"
    path.write_bytes(f'text,label\n"{FRENCH}",1\n'.encode("cp1252"))
    table = open_data(DataSpec(source=str(path)))
    assert list(table.rows(["text"])) == [(FRENCH,)]
    assert "is not UTF-8. Detected encoding: cp1252" in table.notes[0]
    chosen = open_data(DataSpec(source=str(path), encoding="cp437"))
    assert list(chosen.rows(["text"])) != [(FRENCH,)]
    assert chosen.fingerprint != table.fingerprint


@pytest.mark.parametrize(
    ("raw", "encoding", "message"),
    [
        (b"%PDF-1.7\n\0\1\2", "auto", "is not a text file: byte 9 is zero. Choose plain text or a table."),
        (b"text\0", "utf-8", "is not a text file: character 4 is zero."),
        ("text\0".encode("utf-16"), "auto", "is not a text file: character 4 is zero."),
        ("text\0".encode("utf-32-be"), "utf-32-be", "is not a text file: character 4 is zero."),
        ("many words, and a \0 after them".encode("utf-16-le"), "auto", "is not a text file: byte 1 is zero."),
        (b"caf\xe9 au lait", "utf-8", "is not UTF-8 text: byte 3 (e9) does not fit. Save it again with the encoding"),
        (codecs.BOM_UTF8 + b"abc\xff", "auto", "is not UTF-8 text: byte 6 (ff) does not fit."),
        (codecs.BOM_UTF16_LE + b"a\0b", "auto", "is not UTF-16 text: byte 4 (62) does not fit."),
        (b"caf\xe9", "ascii", "is not ASCII text: byte 3 (e9) does not fit."),
        (
            b"text",
            "klingon",
            "data.encoding: there is no encoding 'klingon'. Set it to auto, or for example to utf-8 or cp1252",
        ),
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
    assert "character 10,000,001 is zero" in refused(path)


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


# Languages that are written in an encoding; see languages.txt.
WRITTEN_IN = {
    "iso8859_1 cp1252 mac_roman": "fr de es pt sv",
    "iso8859_2 cp1250": "pl cs hu",
    "iso8859_5 cp1251 mac_cyrillic": "ru bg uk",
    "cp855 cp866 koi8_r": "ru bg",
    "cp1253": "el",
    "cp1254": "tr",
    "cp1255": "he",
    "cp1256": "ar",
    "tis_620": "th",
    "johab euc_kr cp949 iso2022_kr": "ko",
    "euc_jp cp932 shift_jis iso2022_jp": "ja",
    "big5": "tw",
    "gb18030": "zh",
    "utf-8 utf-8-sig utf-16 utf-32 utf-16-le utf-16-be utf-32-le utf-32-be": "fr ru zh",
}
HTML = "<html><head><title>A page</title></head>\n" + "<p>Plain words of a page</p>\n" * 30


def written_texts() -> Iterator[tuple[str, str]]:
    """An encoding and a text in it: a sentence, a paragraph, some pages, and a paragraph behind much ASCII."""
    sentences: dict[str, list[str]] = {}
    for line in Path(__file__).with_name("languages.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            language = line.strip("[]")
        else:
            sentences.setdefault(language, []).append(line)
    for names, languages in WRITTEN_IN.items():
        for codec in names.split():
            for language in languages.split():
                known, draw = sentences[language], Random(f"{codec} in {language}")
                paragraph = "\n".join(draw.sample(known, 5))
                pages = "\n".join(draw.choices(known, k=120))
                for text in (draw.choice(known), paragraph, pages, HTML + paragraph):
                    # Old encodings lack a few signs of punctuation.
                    yield (
                        codec,
                        text.replace("'", "’" if codec == "cp1252" else "'").encode(codec, "ignore").decode(codec),
                    )


def test_encodings_are_found_out_at_least_as_often_as_by_the_detector_alone(tmp_path: Path):
    ours, detectors, of = Counter[str](), Counter[str](), Counter[str]()
    for number, (codec, text) in enumerate(written_texts()):
        path = tmp_path / f"{number}.txt"
        path.write_bytes(text.encode(codec))
        of[codec] += 1
        with suppress(DataError):
            ours[codec] += read(path)[0] == text
        found = from_bytes(text.encode(codec)).best()
        detectors[codec] += found is not None and str(found).removeprefix("\ufeff") == text
    assert ours.total() >= max(detectors.total(), 0.95 * of.total())
    assert all(ours[codec] >= 0.75 * of[codec] for codec in of), ours


def test_a_guess_is_always_told(tmp_path: Path):
    for number, (codec, text) in enumerate(written_texts()):
        path = tmp_path / f"{number}.txt"
        path.write_bytes(text.encode(codec))
        if codec not in ("utf-8", "utf-8-sig", "utf-16", "utf-32") and not text.isascii():
            notes = open_data(DataSpec(source=str(path))).notes
            assert len(notes) == 1, codec
            assert "is not UTF-8. Detected encoding: " in notes[0]


def test_colours_of_a_terminal_are_no_japanese(tmp_path: Path):
    path = tmp_path / "log.txt"
    path.write_bytes(b"\x1b(B\x1b[31mred\x1b[0m costs \x1b$5\n" * 9)
    assert read(path) == ("\x1b(B\x1b[31mred\x1b[0m costs \x1b$5\n" * 9, ())


def test_one_long_line_of_ascii_takes_no_time(tmp_path: Path):
    path = tmp_path / "long.txt"
    path.write_bytes(b"plain ascii words " * 200_000 + b"\ncaf\xe9 au lait\n")
    start = time.perf_counter()
    assert read(path)[0].endswith("\ncafé au lait\n")
    assert time.perf_counter() - start < 5
