"""The journal: append-only JSON lines, written by one thread and followed by any number of readers."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tb_widgets.errors import DiskFullError, RunError, print_traceback
from tb_widgets.runs.durable import explain_os_error, replace_lines, set_aside
from tb_widgets.runs.numbers import as_json, finite
from tb_widgets.runs.status import Status, write_status

Record = dict[str, Any]
_BLOCK = 1 << 20  # bytes parsed at a time where all of a file is read: records weigh several times their text
_LONGEST = 1 << 26  # bytes; a line that is longer is no record
RESERVE = 64 * 1024  # bytes kept back on the disk, so that a full one can still be told in the status
TAIL = 256  # bytes by which a follower knows its file again: a line or two, and each line holds the time


class JournalWriter:
    """Writes metrics, events and the status of one run from a thread of its own.

    The training loop only puts small records into a bounded queue. When the disk is slower than the loop for so
    long that the queue is full, ``metrics`` waits: no line is ever dropped. An error of the disk is raised in the
    loop, at the next call, unless the disk is full: then lines wait in memory, as many as the queue holds.

    Parameters
    ----------
    metrics_file, events_file, status_file
        Where to write.
    status
        The first status; ``update`` replaces fields of it.
    samples_file
        Where samples are written, if there are any.
    interval
        Seconds between two writes, which is also the heartbeat's period.

    Attributes
    ----------
    full
        Why lines had to wait, from the moment at which the disk was full until :meth:`try_again` finds room.
    """

    full: DiskFullError | None = None

    def __init__(
        self,
        metrics_file: Path,
        events_file: Path,
        status_file: Path,
        status: Status,
        *,
        samples_file: Path | None = None,
        interval: float = 0.25,
    ) -> None:
        self._files = {"metrics": metrics_file, "events": events_file}
        self._files |= {"samples": samples_file} if samples_file is not None else {}
        self._status_file = status_file
        self._reserve = status_file.with_name(".reserve")
        self._status = status
        self._interval = interval
        self._queue: queue.Queue[tuple[str, Record]] = queue.Queue(maxsize=20_000)
        self._lock = threading.Lock()
        # Numbered and queued under a lock of their own: events stand in the file in the order of their numbers, and
        # a producer that waits for room in the queue does not hold up the thread that makes it.
        self._events_lock = threading.Lock()
        self._writing = threading.Lock()  # the thread and a flush take turns, so that lines keep their order
        self._wake = threading.Event()
        self._closing = False
        self._error: RunError | None = None
        self._lines: dict[str, list[str]] = {kind: [] for kind in self._files}  # read from the queue, not yet written
        self._unwritten: DiskFullError | None = None  # why the last attempt has left something of that
        self._next_event = last_event_number(events_file) + 1
        self._make_reserve()
        self.flush()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def status(self) -> Status:
        """The newest status, written or about to be."""
        return self._status

    def metrics(self, record: Record) -> None:
        """Append one line to the metrics. Non-finite numbers are written as null.

        Raises
        ------
        RunError
            If the record is none that JSON can hold, or something could not be written.
        """
        self._put("metrics", record)

    def sample(self, record: Record) -> None:
        """Append one line to the samples, as :meth:`metrics` does to the metrics."""
        self._put("samples", record)

    def event(self, kind: str, **details: Any) -> None:
        """Append one numbered line to the events and write it at once."""
        with self._events_lock:
            record = {"n": self._next_event, "time": round(time.time(), 3), "kind": kind, **details}
            self._put("events", record)
            self._next_event += 1
        self._wake.set()

    def update(self, *, now: bool = False, **changes: Any) -> None:
        """Change fields of the status; with ``now`` they are written at once instead of at the next beat.

        Non-finite numbers are left out, also among the metrics.
        """
        fields: dict[str, Any] = self._held_by_json(self._status_file, changes)
        if metrics := fields.get("metrics"):
            fields["metrics"] = {key: value for key, value in metrics.items() if value is not None}
        with self._lock:
            self._status = replace(self._status, **fields)
        if self._error is not None:
            # The thread has ended, and why is what the status has to say, if it can still be written.
            with contextlib.suppress(RunError):
                write_status(self._status_file, self._status)
        if now:
            self._wake.set()

    def flush(self) -> None:
        """Write what was handed over so far, before something that counts on it, such as a checkpoint, is written.

        Raises
        ------
        RunError
            If something could not be written.
        """
        self._raise_error()
        self._write()
        self._raise_error()
        if self._unwritten is not None:
            raise self._unwritten

    def try_again(self) -> None:
        """Write what had to wait, and keep some room for the next time; ``full`` says whether there is any."""
        self._write()
        self.full = self._unwritten or self._make_reserve()

    def close(self) -> None:
        """Write what is left and end the thread.

        Raises
        ------
        RunError
            If something could not be written.
        """
        self._closing = True
        self._wake.set()
        self._thread.join()
        self.give_up_reserve()
        if self._unwritten is not None:
            self._write()  # now that there is the reserve's room
            self._error = self._error or self._unwritten
        self._raise_error()

    def _held_by_json(self, path: Path, record: Record) -> Record:
        """Return a record as it is written: here, where it is handed over, so that none can end the thread."""
        try:
            held: Record = as_json(record)
        except TypeError as error:
            raise RunError(f"{path}: {record!r} is no record of a journal ({error}).") from error
        return held

    def _put(self, kind: str, record: Record) -> None:
        record = self._held_by_json(self._files[kind], record)
        while True:
            self._raise_error()
            if self._closing:
                raise RunError(f"The journal {self._files[kind]} is closed; nothing more can be written to it.")
            try:
                self._queue.put((kind, record), timeout=1.0)
            except queue.Full:
                if self._unwritten is not None:
                    raise self._unwritten from None
                continue
            return

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while True:
            closing = self._closing
            self._write()
            if closing or self._error is not None:
                break
            self._wake.wait(self._interval)
            self._wake.clear()

    def _write(self) -> None:
        with self._writing:
            try:
                self._write_queued()
            except BaseException as error:  # noqa: BLE001 - else the loop would wait for a thread that is gone
                self._error = RunError(f"{self._status_file.parent}: the journal broke down ({error!r}).")
                print_traceback()

    def _write_queued(self) -> None:
        if self._unwritten is not None:
            self._write_read()
        if self._unwritten is not None:
            return  # the rest stays in the queue, which is as long as it may get
        # What is there now and no more: a loop that is faster than this one would never let it come to the writing.
        for _ in range(self._queue.qsize()):
            kind, record = self._queue.get_nowait()
            self._lines[kind].append(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
        self._write_read()

    def _write_read(self) -> None:
        """Write the status, and the lines that were read from the queue."""
        with self._lock:
            status = replace(self._status, heartbeat=round(time.time(), 3))
        try:
            self._write_files(status)
            self._unwritten = None
        except DiskFullError as error:
            self.full = self._unwritten = error
            self.give_up_reserve()
            with contextlib.suppress(RunError):  # first what somebody has to see
                write_status(self._status_file, status)
            with contextlib.suppress(RunError):
                self._write_files(status)
                self._unwritten = None
        except RunError as error:
            self._error = error
            with contextlib.suppress(RunError):
                self._write_files(status)

    def _write_files(self, status: Status) -> None:
        for kind, texts in self._lines.items():
            if texts:
                append_text(self._files[kind], "".join(texts))
                texts.clear()
        write_status(self._status_file, status)

    def _make_reserve(self) -> DiskFullError | None:
        try:
            self._reserve.write_bytes(b"\0" * RESERVE)
        except OSError as error:
            self.give_up_reserve()
            told = explain_os_error(error, self._reserve.parent)
            return told if isinstance(told, DiskFullError) else None  # anything else the next write tells better
        return None

    def give_up_reserve(self) -> None:
        """Free what was kept back, so that a full disk can still take a status or a small file."""
        with contextlib.suppress(OSError):
            self._reserve.unlink(missing_ok=True)


def append_text(path: Path, text: str) -> None:
    """Append whole lines in one write, or nothing: a part that fitted on a full disk is taken back.

    A torn line at the end, left by a writer that was killed, is closed first, so that it damages no line but itself.

    Raises
    ------
    RunError
        If the file can't be written.
    """
    size: int | None = None
    try:
        # Unbuffered: a failed write must not be tried again when the file is closed.
        with path.open("ab+", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            torn = size > 0 and file.seek(size - 1) >= 0 and file.read(1) != b"\n"
            data = memoryview(("\n" + text if torn else text).encode(errors="backslashreplace"))
            while data:
                data = data[file.write(data) :]
    except OSError as error:
        if size is not None:
            with contextlib.suppress(OSError):
                os.truncate(path, size)
        raise explain_os_error(error, path) from error


def last_event_number(path: Path) -> int:
    """Return the number of the newest event in a file, 0 when there is none."""
    return max((number for record in iter_records(path) if isinstance(number := record.get("n"), int)), default=0)


def parse_lines(data: bytes) -> list[Record]:
    """Parse complete JSON lines; a damaged line (a torn write after a power loss) is left out, the rest is kept."""
    lines = [line for line in data.split(b"\n") if line.strip()]
    try:
        # One call for all lines is several times faster than one for each.
        found = json.loads(b"[" + b",".join(lines) + b"]")
    except (ValueError, RecursionError):
        found = []
    if len(found) != len(lines):  # also where two damaged lines, joined, would pass for a record
        found = []
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                found.append(json.loads(line))
    return [record for record in found if isinstance(record, dict)]


def iter_records(path: Path) -> Iterator[Record]:
    """Yield every complete record of a journal file, a block at a time; a missing file has none.

    Raises
    ------
    RunError
        If the file is there and can't be read.
    """
    rest = b""
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                data = rest + block
                complete = data.rfind(b"\n") + 1
                yield from parse_lines(data[:complete])
                # A line without an end is no record of ours, and may be as long as the disk.
                rest = data[complete:] if len(data) < _LONGEST else b""
    except FileNotFoundError:
        return
    except OSError as error:
        raise explain_os_error(error, path, reading=True) from error


def read_records(path: Path) -> list[Record]:
    """Return every complete record of a journal file; a missing file has none."""
    return [*iter_records(path)]


@dataclass(frozen=True)
class News:
    """What a follower found: new records, and whether the file was replaced, so that they start from its beginning."""

    records: list[Record]
    restarted: bool


class Follower:
    """Reads a growing journal file from where it last stopped.

    A resumed run replaces its metrics by a shorter file (see :func:`rewind`); the follower notices and starts over.
    It compares the last bytes that it read as well, for the new file may have grown past the old one by now, or have
    been given the old one's number.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._file_id: int | None = None
        self._tail = b""

    def read(self, limit: int = _LONGEST) -> News:
        """Return the records that were completed since the last call, from at most ``limit`` bytes.

        A line that is longer than that is no record of ours, and is passed over.

        Raises
        ------
        RunError
            If the file is there and can't be read.
        """
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                file.seek(max(0, self._offset - len(self._tail)))
                restarted = self._offset > 0 and (
                    found.st_ino != self._file_id or file.read(len(self._tail)) != self._tail
                )
                self._file_id = found.st_ino
                if restarted:
                    self._offset, self._tail = 0, b""
                if found.st_size == self._offset:
                    return News([], restarted)
                file.seek(self._offset)
                data = file.read(limit)
        except FileNotFoundError:
            restarted = self._offset > 0
            self._offset, self._file_id, self._tail = 0, None, b""
            return News([], restarted)
        except OSError as error:
            raise explain_os_error(error, self.path, reading=True) from error
        complete = data.rfind(b"\n") + 1 or (len(data) if len(data) == limit else 0)
        self._offset += complete
        self._tail = (self._tail + data[:complete])[-TAIL:]
        return News(parse_lines(data[:complete]), restarted)


def rewind(path: Path, step: int) -> None:
    """Drop the metrics after a step, so that a run resumed there writes each step once. The old file is replaced.

    Going back to step 0, which would drop them all, keeps the old file under another name (``metrics.old.jsonl``).
    """
    if not path.exists():
        return
    if step == 0 and path.stat().st_size:
        set_aside(path, f"{path.stem}.old{path.suffix}")
        return
    kept = (record for record in iter_records(path) if (finite(record.get("step")) or 0) <= step)
    replace_lines(path, (json.dumps(record, ensure_ascii=False) + "\n" for record in kept), sync=True)
