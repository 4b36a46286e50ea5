"""Checkpoints are written beside the training: one copy at a time, and every error reaches the loop."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from tb_widgets.engine.saver import CheckpointSaver
from tb_widgets.engine.state import Snapshot
from tb_widgets.errors import DiskFullError, RunError, TrainingError
from tb_widgets.runs import Status, create_run
from tb_widgets.runs.journal import JournalWriter
from tb_widgets.spec import CheckpointSpec

Part = Callable[[Path], None]


def write_slowly(path: Path) -> None:
    time.sleep(0.1)
    path.write_bytes(b"weights")


@dataclass(frozen=True)
class Copy(Snapshot):
    """A copy of a state, and the disk that it is written to."""

    weights: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    write: Part = write_slowly

    def parts(self) -> dict[str, Part]:
        return {"model.safetensors": self.write}


@pytest.fixture
def run(tmp_path, tiny):
    return create_run(tmp_path, tiny())


@pytest.fixture
def saver(run):
    journal = JournalWriter(run.metrics_file, run.events_file, run.status_file, Status(state="running"))
    yield CheckpointSaver(run, CheckpointSpec(), journal)
    journal.close()


def test_never_more_than_one_copy_of_the_state_lies_in_memory(run, saver):
    copies: list[weakref.ref[Snapshot]] = []

    def take() -> Snapshot:
        assert all(copy() is None for copy in copies), "the copy before is still there"
        copy = Copy()
        copies.append(weakref.ref(copy))
        return copy

    for step in range(1, 6):
        saver.save(step, take)
    saver.close()
    assert run.checkpoints()[-1].step == len(copies) == 5


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (ZeroDivisionError("by zero"), TrainingError, "ZeroDivisionError: by zero"),
        (SystemExit(1), TrainingError, "sys.exit"),
        (OSError(5, "Input/output error"), RunError, "reports an error of its own"),
        (ValueError("I/O error: Read-only file system (os error 30)"), RunError, "can't be written: Read-only"),
        (ValueError("I/O error: File too large (os error 27)"), RunError, "larger than this process, or its disk"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_whatever_goes_wrong_in_the_thread_is_raised_in_the_loop(run, saver, error, kind, sentence):
    def fail(_path: Path) -> None:
        raise error

    saver.save(1, lambda: Copy(write=fail))
    with pytest.raises(kind, match=sentence):
        saver.save(2, Copy)
    with pytest.raises(kind, match=sentence):
        saver.close()
    assert [*run.checkpoints_folder.iterdir()] == []


def test_what_does_not_fit_waits_until_it_is_tried_again(run, saver):
    room = []

    def write(path: Path) -> None:
        if not room:
            raise ValueError("Error while serializing: I/O error: Quota exceeded (os error 122)")
        path.write_bytes(b"weights")

    for step in (1, 2):  # the second one does not push the first one out
        saver.save(step, lambda: Copy(write=write, weights={"a": torch.zeros(25)}))
        saver.settle()
    assert "is full" in saver.full.message
    assert saver.needs == 100
    with pytest.raises(DiskFullError, match="is full"):
        saver.close()
    saver.try_again()
    assert saver.full is not None
    room.append(True)
    saver.try_again()
    saver.close()
    assert (saver.full, saver.needs) == (None, 0)
    assert [info.step for info in run.checkpoints()] == [1, 2]


def test_equal_runs_write_equal_weights(tiny, train):
    every = tiny({"checkpoints.every": 1, "checkpoints.keep_last": 100})
    one, two = (sorted(train(every).checkpoints_folder.glob("*/*.safetensors")) for _ in range(2))
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]
    assert len(one) == 2 * 20
