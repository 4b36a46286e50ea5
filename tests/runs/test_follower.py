"""Whoever follows a journal gets every whole record exactly once, whatever happens to the file in between."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tb_widgets.errors import RunError
from tb_widgets.runs.durable import replace_text
from tb_widgets.runs.journal import (
    Follower,
    append_text,
    iter_records,
    last_event_number,
    parse_lines,
    read_records,
    rewind,
)


def lines(*numbers: int) -> bytes:
    return b"".join(json.dumps({"step": n, "text": "é"}, ensure_ascii=False).encode() + b"\n" for n in numbers)


@given(st.lists(st.integers(0, 140), max_size=8).map(sorted))
@settings(deadline=None)
def test_any_split_of_the_appends_gives_the_same_records_once(cuts):
    data = lines(*range(6))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "metrics.jsonl")
        follower, found = Follower(path), []
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            with path.open("ab") as file:
                file.write(data[start:end])
            news = follower.read()
            assert not news.restarted
            found += news.records
        assert found == parse_lines(data)


class Reader:
    """What a panel does: it adds news to what it has, and starts over when the file did."""

    def __init__(self, path: Path) -> None:
        self.follower = Follower(path)
        self.records: list[dict] = []

    def look(self) -> None:
        news = self.follower.read()
        self.records = news.records if news.restarted else self.records + news.records


operations = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 40)),  # bytes of the next line that are held back
    st.tuples(st.just("replace"), st.integers(0, 3)),  # records that the new file keeps
    st.tuples(st.just("truncate"), st.integers(0, 60)),  # bytes that stay
    st.tuples(st.just("delete"), st.none()),
    st.tuples(st.just("look"), st.none()),
)


@given(st.lists(operations, max_size=25))
@settings(max_examples=200, deadline=None)
@example([("append", 0), ("look", None), ("truncate", 0), ("append", 0), ("append", 0)])
@example([("append", 0), ("append", 0), ("look", None), ("delete", None), ("append", 0), ("append", 0)])
@example([("append", 0), ("look", None), ("replace", 0), ("replace", 0), ("append", 0), ("append", 0), ("append", 0)])
def test_a_file_that_grows_is_replaced_truncated_or_deleted_is_followed(script):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "metrics.jsonl")
        reader, number = Reader(path), 0
        for what, amount in script:
            if what == "append":
                number += 1
                line = lines(number)
                with path.open("ab") as file:
                    file.write(line[: len(line) - min(amount, len(line))])
            elif what == "replace":
                replace_text(path, b"".join(lines(n) for n in range(number, number + amount)).decode())
                number += amount
            elif what == "truncate" and path.exists():
                with path.open("rb+") as file:
                    file.truncate(min(amount, path.stat().st_size))
            elif what == "delete":
                path.unlink(missing_ok=True)
            else:
                reader.look()
        reader.look()
        reader.look()
        whole = path.read_bytes() if path.exists() else b""
        assert reader.records == parse_lines(whole[: whole.rfind(b"\n") + 1])


def test_a_missing_file_has_no_records_and_one_that_comes_later_is_read(tmp_path):
    follower = Follower(tmp_path / "metrics.jsonl")
    assert follower.read().records == []
    follower.path.write_bytes(lines(1))
    assert [record["step"] for record in follower.read().records] == [1]
    follower.path.unlink()
    assert follower.read().restarted
    assert not follower.read().restarted, "told once"


def test_a_long_file_is_read_in_parts(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(lines(*range(100)))
    follower, found = Follower(path), []
    while records := follower.read(limit=300).records:
        found += records
    assert [record["step"] for record in found] == list(range(100))
    assert read_records(path) == found


def test_a_line_without_an_end_holds_nobody_up(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(lines(1) + b"x" * 1000 + b"\n" + lines(2))
    follower, found = Follower(path), []
    for _ in range(20):
        found += follower.read(limit=100).records
    assert found == read_records(path) == parse_lines(lines(1, 2))


def test_a_long_file_is_gone_through_without_holding_all_of_it(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(lines(*range(200_000)))
    tracemalloc.start()
    assert sum(record["step"] for record in iter_records(path)) == sum(range(200_000))
    rewind(path, 199_998)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(1 for _ in iter_records(path)) == 199_999
    assert peak < 20e6  # bytes; the records of the whole file weigh 50e6


def test_going_back_to_the_beginning_keeps_what_was_written(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for number in (1, 2):
        append_text(path, lines(number).decode())
        rewind(path, 0)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["metrics.old-2.jsonl", "metrics.old.jsonl"]
    assert (tmp_path / "metrics.old.jsonl").read_bytes() == lines(1)
    path.touch()
    rewind(path, 0)
    assert len([*tmp_path.iterdir()]) == 3, "an empty file is not worth keeping"


def test_records_with_odd_numbers_are_rewound_and_counted(tmp_path):
    path = tmp_path / "events.jsonl"
    append_text(path, '{"n": "x", "step": "x"}\n{"n": 7, "step": 2}\n{"step": 1%s}\n' % ("0" * 400))
    assert last_event_number(path) == 7
    rewind(path, 1)
    assert read_records(path) == [{"n": "x", "step": "x"}, {"step": 10**400}]


def test_a_torn_last_line_waits_until_it_is_whole(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(lines(1) + b'{"step": 2, "tr')
    follower = Follower(path)
    assert len(follower.read().records) == 1
    assert follower.read().records == []
    with path.open("ab") as file:
        file.write(b'ain/loss": 1.5}\n')
    assert follower.read().records == [{"step": 2, "train/loss": 1.5}]


@pytest.mark.parametrize(
    "damage",
    [
        b"\x00\x00\x00\n",
        b'{"step": 2, \n',
        b"\xff\xfe\n",
        b"[" * 5000 + b"\n",
        b'{"a": 1\n"b": 2}\n',
        b"1, 2\n",
        b"7\n",
    ],
)
def test_a_damaged_line_in_the_middle_costs_only_itself(damage):
    assert [record["step"] for record in parse_lines(lines(1) + damage + lines(3))] == [1, 3]


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_to_records_or_left_out(data):
    assert all(isinstance(record, dict) for record in parse_lines(lines(1) + data + b"\n" + lines(2)))


def test_the_first_line_after_a_torn_one_is_not_lost(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines(1) + b'{"step": 2, "kil')
    append_text(path, lines(3).decode())
    append_text(path, lines(4).decode())
    assert [record["step"] for record in read_records(path)] == [1, 3, 4]
    assert b"\n\n" not in path.read_bytes()


def test_rewinding_drops_what_came_after_the_checkpoint_and_followers_notice(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rewind(path, 3)
    assert not path.exists(), "nothing to rewind"
    append_text(path, lines(1, 2, 3, 4, 5).decode())
    reader = Reader(path)
    reader.look()
    rewind(path, 3)
    append_text(path, lines(4, 5, 6, 7).decode())  # grown past the old file before anybody looked
    reader.look()
    assert [record["step"] for record in reader.records] == [1, 2, 3, 4, 5, 6, 7]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_events_are_counted_on_from_the_newest(tmp_path):
    path = tmp_path / "events.jsonl"
    assert last_event_number(path) == 0
    append_text(path, '{"n": 1}\n{"n": 7}\n')
    assert last_event_number(path) == 7


def test_a_journal_that_can_not_be_read_is_told_by_its_path(tmp_path):
    with pytest.raises(RunError, match="can't be read"):
        Follower(tmp_path).read()
