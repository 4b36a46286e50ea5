import codecs
import gzip
import json
import re
import sys
import tempfile
import zipfile
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tb_widgets.data.formats import files
from tb_widgets.data.reading.open import Column, Table, open_data
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec

ROWS = [('good, "very" good\nfilm', "pos"), ("bad film", "neg"), ("", "neg")]


def opened(path: Path) -> Table:
    return open_data(DataSpec(source=str(path)))


def written(path: Path, content: str | bytes) -> Table:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return opened(path)


def rows(table: Table, *names: str) -> list[tuple]:
    return list(table.rows(names or [column.name for column in table.columns]))


def refused(path: Path, content: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        rows(written(path, content))
    return str(caught.value)


CSV = 'text,label\r\n"good, ""very"" good\nfilm",pos\r\nbad film,neg\r\n"",neg\r\n'
RECORDS = [{"text": text, "label": label} for text, label in ROWS]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV),
        ("b.csv", CSV.replace(",pos", ";pos").replace(",neg", ";neg").replace("text,label", "text;label")),
        ("c.csv", CSV.replace("\r\n", "\r")),
        ("d.csv", CSV.replace("neg\r\n", "neg\r", 1)),
        ("e.csv", 2 * codecs.BOM_UTF8 + CSV.encode()),
        ("a.tsv", CSV.replace(",pos", "\tpos").replace(",neg", "\tneg").replace("text,label", "text\tlabel")),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("a.json", json.dumps(RECORDS, indent=1)),
        ("b.json", json.dumps({"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]})),
        ("c.json", json.dumps({"version": 1, "data": RECORDS})),
        ("d.json", "\n".join(json.dumps(record) for record in RECORDS)),
        ("a.jsonl", "\n\n".join(json.dumps(record) for record in RECORDS) + "\n"),
        ("b.jsonl", json.dumps(RECORDS)),
        ("a.ndjson.gz", gzip.compress("\n".join(json.dumps(record) for record in RECORDS).encode(), mtime=0)),
    ],
)
def test_the_same_rows_come_out_of_every_form(tmp_path: Path, name: str, content: str | bytes):
    table = written(tmp_path / name, content)
    assert table.columns == (Column("text", "text"), Column("label", "text"))
    assert rows(table) == ROWS
    assert rows(table, "label", "text") == [(label, text) for text, label in ROWS]
    assert rows(table) == rows(table), "again and again"
    assert table.first_rows(["label"], 1) == [("pos",)]
    assert (table.name, table.size) == (name, (tmp_path / name).stat().st_size)
    with pytest.raises(DataError, match=r"has no column 'txt'; it has text, label. Choose one of these"):
        rows(table, "txt")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", r'{"te\udfffxt": "a \ud800 b", "tags": ["\ud800"]}'),
        ("a.json", r'[{"te\udfffxt": "a \ud800 b", "tags": ["\ud800"]}]'),
        ("b.json", r'{"te\udfffxt": ["a \ud800 b"], "tags": [["\ud800"]]}'),
    ],
)
def test_halves_of_surrogate_pairs_which_json_can_hold_are_replaced(tmp_path: Path, name: str, content: str):
    table = written(tmp_path / name, content)
    assert [column.name for column in table.columns] == ["te\ufffdxt", "tags"]
    assert rows(table) == [("a \ufffd b", ["\ufffd"])]


def test_parquet_gives_kinds_class_names_pairs_and_its_number_of_rows(tmp_path: Path):
    features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}, "text": {"dtype": "string"}}
    columns = {
        "text": pa.array(["a", None], pa.large_string()),
        "label": [0, 1],
        "share": [0.5, 1.0],
        "ok": [True, False],
        "tags": [["x"], []],
        "day": pa.array([1, 2], pa.date32()),
        "image": pa.array([{"bytes": b"1", "path": "a"}, None]),
        "translation": [{"en": "one", "fr": "un"}, {"en": "two", "fr": "deux"}],
        "word.class": pa.array(["b", "b"]).dictionary_encode(),
    }
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), tmp_path / "a.parquet")
    table = opened(tmp_path / "a.parquet")
    kinds = {column.name: column.kind for column in table.columns}
    assert kinds == {
        "text": "text",
        "label": "whole",
        "share": "number",
        "ok": "truth",
        "tags": "list",
        "day": "other",
        "image": "image",
        "translation.en": "text",
        "translation.fr": "text",
        "word.class": "text",
    }
    assert table.columns[1].names == ("neg", "pos")
    assert table.count == 2
    assert rows(table, "translation.fr", "label", "translation.en") == [("un", 0, "one"), ("deux", 1, "two")]
    assert rows(table, "word.class", "text", "ok") == [("b", "a", True), ("b", None, False)]
    (tmp_path / "a.parquet").rename(tmp_path / "unnamed")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "unnamed", "b.parquet")
        archive.write(tmp_path / "unnamed", "c.parquet")
    assert opened(tmp_path / "unnamed").columns == table.columns
    assert opened(tmp_path / "a.zip").count == 4
    assert rows(opened(tmp_path / "a.zip"), "text") == [("a",), (None,)] * 2


@pytest.mark.parametrize(
    "metadata",
    [
        b"[]",
        b"no JSON",
        b'{"info": null}',
        b'{"info": {"features": {"a": 1}}}',
        b'{"info": {"features": {"a": {"_type": "ClassLabel", "names": 5}}}}',
        b"[" * 100_000,
    ],
)
def test_an_odd_description_in_a_parquet_file_names_no_classes(tmp_path: Path, metadata: bytes):
    table = pa.table({"a": [1]}).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "a.parquet")
    assert opened(tmp_path / "a.parquet").columns == (Column("a", "whole"),)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([("text", ["a"]), ("text", ["b"])], "a.parquet has two columns named 'text'. Rename one of them, and"),
        ([("share", [0.5]), ("share", [1.5])], "a.parquet has two columns named 'share'."),
        ([("a.b", ["x"]), ("a", [{"b": "y"}])], "a.parquet has two columns named 'a.b'."),
        ([("when", pa.array([2**62], pa.timestamp("us")))], "column 'when' contains an out-of-range time"),
        ([("when", [{"t": pa.scalar(2**62, pa.timestamp("us"))}])], "column 'when.t' contains an out-of-range time"),
    ],
)
def test_odd_columns_of_a_parquet_file_are_refused_in_words(tmp_path: Path, columns: list, message: str):
    names, values = zip(*columns, strict=True)
    pq.write_table(pa.table([pa.array(column) for column in values], names=names), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=re.escape(message)):
        rows(opened(tmp_path / "a.parquet"))


def test_a_parquet_file_with_a_broken_name_or_text_is_refused(tmp_path: Path):
    broken = pa.array([b"caf\xe9"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": broken}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet is damaged, or not a parquet file \('utf-8' codec can't decode"):
        rows(opened(tmp_path / "a.parquet"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a device that is always full")
def test_a_full_disk_is_told_where_parquet_is_unpacked(tmp_path: Path, monkeypatch):
    pq.write_table(pa.table({"text": ["a"] * 10}), tmp_path / "a.parquet")
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: open("/dev/full", "r+b", buffering=0))  # noqa: SIM115, PTH123
    with pytest.raises(DataError, match=r"a.parquet.gz can't be unpacked: No space left on device. Make room in /"):
        opened(tmp_path / "a.parquet.gz")


def test_several_files_are_one_table_and_must_have_the_columns_that_are_read(tmp_path: Path):
    written(tmp_path / "a.jsonl", '{"text": "a"}\n')
    table = written(tmp_path / "b.jsonl", '{"text": "b", "more": 1}\n')
    both = opened(tmp_path)
    assert rows(both, "text") == [("a",), ("b",)]
    assert both.size == (tmp_path / "a.jsonl").stat().st_size + table.size
    written(tmp_path / "c.jsonl", '{"txt": "b"}\n')
    with pytest.raises(DataError, match=r"c.jsonl has no column 'text'; it has txt"):
        rows(opened(tmp_path), "text")


@pytest.mark.parametrize(
    ("content", "names", "first"),
    [
        ("3,Wall St. Bears\n4,Oil up\n", ["column_1", "column_2"], ("3", "Wall St. Bears")),
        ("good film here,pos\nbad film there,neg\nno film at all,pos\n", ["column_1", "column_2"], None),
        ("said,kind\nhello you there,1\nbye,2\n", ["said", "kind"], ("hello you there", "1")),
        ("who,what\nAnn,a rather long sentence\n", ["who", "what"], ("Ann", "a rather long sentence")),
        (",text,text\n0,a,b\n", ["column_1", "text", "text (2)"], ("0", "a", "b")),
        ("text\nHello\nYou\n", ["text"], ("Hello",)),
    ],
)
def test_a_header_is_known_by_its_look_and_a_missing_one_is_said(tmp_path: Path, content, names, first):
    table = written(tmp_path / "a.csv", content)
    assert [column.name for column in table.columns] == names
    assert table.first_rows(names, 1)[0] == (first or ("good film here", "pos"))
    assert bool(table.notes) == (names == ["column_1", "column_2"])
    assert all("seems to have no header" in note for note in table.notes)


def test_tabs_without_quoting_keep_a_lone_quote(tmp_path: Path):
    table = written(tmp_path / "a.tsv", 'text\tlabel\n"Well, he said\t1\n5" wide\t0\n')
    assert rows(table) == [('"Well, he said', "1"), ('5" wide', "0")]
    assert table.columns[1].kind == "whole"


LINE = '{"text": "abc", "label": 1}'


def broken(line: int, text: str, *, lines: bool) -> str:
    content = [LINE] * 50_000
    content[line - 1] = text
    return "\n".join(content) if lines else "[" + ",\n".join(content) + "]"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.json",
            broken(48_211, '{"text": "abc" "label": 1}', lines=False),
            "is not valid JSON: line 48,211, column 16: expecting ',' delimiter. Fix this place",
        ),
        ("a.json", broken(48_211, '{"text": "abc"}}', lines=False), "line 48,211, column 16: a comma or ] is missing"),
        ("a.json", f"[{LINE},\n{LINE}\n", "line 3, column 1: the ] at its end is missing"),
        ("a.json", f"[{LINE},\n" + '{"text": "abc', "line 2, column 10: unterminated string"),
        ("a.json", f"[{LINE}] [", "line 1, column 31: there is more after its end"),
        ("a.json", f"[{LINE}, 7]", "row 2 (line 1): 7 is not a record with named fields. Save it as a list of records"),
        ("a.json", "[" + '{"a":' * 5000 + "1" + "}" * 5000 + "]", "too deeply nested"),
        ("a.json", "hello", "it starts with neither [ nor {"),
        ("a.json", "  \n", "is empty: it contains only whitespace."),
        ("a.json", '{"text": ["a"', "is not valid JSON: line 1, column 14"),
        ("a.json", '{"1": {"text": "a"}, "2": {"text": "b"}}', "maps keys to records instead of listing rows."),
        ("a.json", '{"text": ["a"], "label": [1, 2]}', "columns have different lengths: text 1, label 2."),
        ("a.json", '{"text": "a"}', "contains a single record instead of rows."),
        ("a.json", "[]", "has no rows"),
        ("a.jsonl", broken(48_211, '{"text": "a', lines=True), "line 48,211, column 12: invalid control character."),
        ("a.jsonl", LINE + "\nword\n", "is not valid JSON: line 2, column 1: expecting value."),
        ("a.jsonl", "[1]\n[2]\n", "row 1 (line 1): 1 is not a record"),
        ("a.jsonl", '{"n": ' + "9" * 5000 + "}", "is not valid JSON: line 1"),
        ("a.csv", "text,label\na,1\nb\nc,3\n", "line 3: there are 1 fields, but 2 in the first line."),
        ("a.csv", 'text,label\na,1\n"b,2\nc,3\n', "line 3: the row that starts here can't be read: a double quote is"),
        ("a.csv", "text,label\ra,1\rb\rc,3\r", "line 3: there are 1 fields, but 2 in the first line."),
        ("a.csv", "\n \n", "is empty: it contains only whitespace."),
        ("a.csv", b"text,label\na,\0\n", "is not a text file: byte 13 is zero."),
        ("a.parquet", "PAR1 but no more", "a.parquet is damaged, or not a parquet file ("),
        ("a.parquet", "text", "a.parquet is damaged, or not a parquet file ("),
        ("a.parquet", b"", "a.parquet is empty."),
    ],
)
def test_each_fault_of_a_table_is_told_with_its_place(tmp_path: Path, name: str, content: str | bytes, message: str):
    assert message in refused(tmp_path / name, content)


def test_a_value_of_another_kind_is_told_with_its_place(tmp_path: Path):
    content = broken(48_211, '{"text": 7, "label": 2.5}', lines=True)
    table = written(tmp_path / "a.jsonl", content)
    with pytest.raises(DataError, match=r"line 48,211: column 'text' contains text, but here whole numbers \(7\)"):
        rows(table, "text")
    with pytest.raises(
        DataError, match=r"line 48,211: column 'label' contains whole numbers, but here numbers \(2.5\)"
    ):
        rows(table, "label")
    with pytest.raises(DataError, match=r"row 2 \(line 2\): column 'a' contains text, but here true or false"):
        rows(written(tmp_path / "a.json", '[{"a": "x"},\n{"a": true}]'))
    assert rows(written(tmp_path / "b.json", '[{"a": 1}, {"a": 0.5}, {}]')) == [(1,), (0.5,), (None,)]


def test_a_column_that_is_empty_in_all_rows_is_refused(tmp_path: Path):
    table = written(tmp_path / "a.csv", "text,label\n,1\n  ,2\n")
    assert rows(table, "label") == [("1",), ("2",)]
    with pytest.raises(DataError, match=r"The column 'text' of a.csv is empty in every row. Choose another column"):
        rows(table, "text", "label")


def test_ten_thousand_columns_are_read_and_not_all_listed(tmp_path: Path):
    names = [f"c{n}" for n in range(10_000)]
    table = written(tmp_path / "a.csv", ",".join(names) + "\n" + ",".join(["1"] * 10_000) + "\n")
    assert len(table.columns) == 10_000
    assert rows(table, "c9999") == [("1",)]
    with pytest.raises(DataError) as caught:
        rows(table, "text")
    assert re.search(r"it has c0, c1, .* and 9,988 more\.", str(caught.value))


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_a_line_or_record_that_never_ends_is_refused_and_not_held(tmp_path: Path, name: str):
    path = tmp_path / name
    beginning = {"a.jsonl": b'{"text": "', "a.json": b'[{"text": "', "a.csv": b'text,label\n"'}[name]
    with path.open("wb") as file:
        file.write(beginning)
        for _ in range(160):
            file.write(b"a" * 1_000_000)
    before = psutil.Process().memory_info().rss
    with pytest.raises(DataError, match=r"longer than 64 million characters"):
        rows(opened(path))
    assert psutil.Process().memory_info().rss - before < 400_000_000


def test_a_large_table_is_read_in_little_memory(tmp_path: Path):
    path = tmp_path / "a.json"
    with path.open("w") as file:
        file.write("[")
        for number in range(30_000):
            file.write(json.dumps({"text": "wörd " * 200, "label": number}) + (",\n" if number < 29_999 else "]"))
    table, process = opened(path), psutil.Process()
    before, most, numbers = process.memory_info().rss, 0, []
    for text, number in table.rows(["text", "label"]):
        numbers.append(number)
        assert len(text) == 1000
        if number % 1000 == 0:
            most = max(most, process.memory_info().rss - before)
    assert numbers == list(range(30_000)), "also where a block of the file ends"
    assert most < 20_000_000


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
def test_rows_are_the_same_wherever_the_blocks_of_a_file_end(tmp_path: Path, monkeypatch, block: int):
    monkeypatch.setattr(files, "_BLOCK", block)
    record = {"text": 'Größe \\ 世界 🦋 "}', "n": -12.5, "deep": {"a": True}}
    for name, content in (
        ("a.json", json.dumps([record] * 3, indent=2)),
        ("b.json", json.dumps([record] * 3, ensure_ascii=False)),
        ("a.jsonl", f"{json.dumps(record)}\n" * 3),
    ):
        assert rows(written(tmp_path / name, content), "text", "n", "deep.a") == [(record["text"], -12.5, True)] * 3
    for end in ("\r\n", "\n", "\r"):
        table = written(tmp_path / "a.csv", f'text,label{end}"Größe, ""世界""\r\n🦋",1{end}' + f"x,2{end}" * 3)
        assert rows(table) == [('Größe, "世界"\r\n🦋', "1")] + [("x", "2")] * 3


@pytest.mark.parametrize("sign", [";", ",", "\t", "^"])
def test_the_line_with_which_excel_names_its_sign_is_no_row(tmp_path, sign):
    rows = [f'text{sign}label\r\n"a{sign} b, c; d"{sign}1\r\n', f"two words{sign}2\r\n"]
    path = tmp_path / "excel.csv"
    path.write_bytes((f"sep={sign}\r\n" + "".join(rows)).encode())
    table = open_data(DataSpec(source=str(path)))
    assert [column.name for column in table.columns] == ["text", "label"]
    assert next(iter(table.rows(["text", "label"]))) == (f"a{sign} b, c; d", "1")
    assert len(list(table.rows(["text"]))) == 2
    path.write_bytes((f"sep={sign}\r\n" + "".join(rows) + f"a{sign}b{sign}c\r\n").encode())
    with pytest.raises(DataError, match=r"line 5: there are 3 fields, but 2 in"):
        list(open_data(DataSpec(source=str(path))).rows(["text"]))


def test_what_explains_the_table_in_a_zip_is_passed_over(tmp_path):
    beside = {"README.md": "# About", "data/LICENSE": "MIT", "__MACOSX/data/._train.csv": "x", "data/.DS_Store": "x"}
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name, content in {"data/train.csv": "text,label\none,1\ntwo,2\n", **beside}.items():
            archive.writestr(name, content)
    table = open_data(DataSpec(source=str(tmp_path / "data.zip")))
    assert [column.name for column in table.columns] == ["text", "label"]
    assert table.notes == ("Skipped README.md, data/LICENSE in the zip: they are no tables.",)
    assert len(list(table.rows(["text"]))) == 2
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for name in ("a.csv", "b.jsonl", "README.md"):
            archive.writestr(name, "text")
    with pytest.raises(DataError, match="contains files of several types"):
        open_data(DataSpec(source=str(tmp_path / "two.zip")))
    with zipfile.ZipFile(tmp_path / "texts.zip", "w") as archive:
        for name in ("README.md", "LICENSE"):
            archive.writestr(name, "A text like any other.")
    assert open_data(DataSpec(source=str(tmp_path / "texts.zip"))).documents == 2
