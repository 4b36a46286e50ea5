"""Checkpoints are whole and verified, or not there: whenever their writer dies, and whatever happens to their bytes."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tb_widgets.errors import CheckpointError
from tb_widgets.runs.checkpoints import (
    CheckpointInfo,
    list_checkpoints,
    newest_verified,
    pin,
    read_checkpoint,
    remove_leftovers,
    retain,
    verify,
    write_checkpoint,
)

posix = pytest.mark.skipif(os.name != "posix", reason="kills processes by POSIX signals")


def save(folder: Path, step: int, content: bytes = b"weights", **metrics: float | None) -> CheckpointInfo:
    parts = {
        "model.safetensors": lambda path: path.write_bytes(content),
        "optimizer.safetensors": lambda path: path.write_bytes(b"momentum"),
    }
    meta = {"metrics": {f"val/{name}": value for name, value in metrics.items()}}
    return write_checkpoint(folder, step, parts, meta)


def steps(folder: Path) -> list[int]:
    return [info.step for info in list_checkpoints(folder)]


def test_a_checkpoint_tells_what_it_is(tmp_path):
    folder = tmp_path / "checkpoints"
    written = save(folder, 500, loss=1.5, accuracy=None)
    assert written.path == folder / "step-00000500"
    assert written.metrics == {"val/loss": 1.5}
    assert written.size == sum(p.stat().st_size for p in written.path.iterdir() if p.name != "MANIFEST.json")
    verify(written.path)
    assert list_checkpoints(folder)[0].best
    assert [path.name for path in folder.iterdir()] == ["step-00000500"]


def test_there_are_none_where_there_is_no_folder(tmp_path):
    folder = tmp_path / "missing"
    assert list_checkpoints(folder) == []
    assert newest_verified(folder) == (None, {})
    remove_leftovers(folder)
    with pytest.raises(CheckpointError, match="missing or not whole"):
        verify(folder)


def test_a_part_that_fails_leaves_nothing(tmp_path):
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("the tensor is gone")

    save(tmp_path, 5, b"old")
    with pytest.raises(RuntimeError, match="the tensor is gone"):
        write_checkpoint(tmp_path, 5, {"model": fail}, {})
    assert (tmp_path / "step-00000005" / "model.safetensors").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_one_flipped_bit_anywhere_is_noticed(tmp_path):
    info = save(tmp_path, 500, loss=1.5)
    chance = random.Random(0)
    for file in sorted(info.path.iterdir()):
        whole = file.read_bytes()
        for position in range(len(whole)) if file.name == "MANIFEST.json" else range(0, len(whole), 3):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << chance.randrange(8)
            file.write_bytes(damaged)
            with pytest.raises(CheckpointError):
                verify(info.path)
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(CheckpointError):
            verify(info.path)
        file.write_bytes(whole)
    verify(info.path)


@pytest.mark.parametrize("name", ["model.safetensors", "meta.json", "MANIFEST.json"])
def test_a_missing_file_is_named(tmp_path, name):
    info = save(tmp_path, 500)
    (info.path / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        verify(info.path)


def test_the_newest_good_checkpoint_is_found_and_the_damaged_one_is_told(tmp_path):
    for step in (5, 10, 15):
        save(tmp_path, step)
    (tmp_path / "step-00000015" / "model.safetensors").write_bytes(b"weightz")
    (tmp_path / "step-00000010" / "optimizer.safetensors").unlink()
    info, passed_over = newest_verified(tmp_path)
    assert info is not None
    assert info.step == 5
    assert [path.name for path in passed_over] == ["step-00000015", "step-00000010"]
    assert "model.safetensors is damaged" in passed_over[tmp_path / "step-00000015"]
    assert "optimizer.safetensors can't be read" in passed_over[tmp_path / "step-00000010"]


def hostile(path: Path, meta: str | None = None, files: dict[str, object] | None = None) -> None:
    """Write other facts into a checkpoint, with a manifest that fits them."""
    if meta is not None:
        (path / "meta.json").write_text(meta)
    manifest = json.loads((path / "MANIFEST.json").read_text())
    raw = (path / "meta.json").read_bytes()
    manifest["files"]["meta.json"] = {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
    manifest["files"] |= files or {}
    (path / "MANIFEST.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "meta",
    [
        "[" * 100_000,
        '{"step": "x", "time": 1.0}',
        '{"step": 10.0, "time": 1.0}',
        '{"step": 1%s, "time": 1.0}' % ("0" * 400),
        '{"step": 10, "time": null}',
        '{"step": 10, "time": 1e400}',
        '{"step": 10, "time": 1.0, "metrics": [1]}',
        "[10]",
        '{"step": 10, "time": 1.0, "note": "%s"}' % ("x" * 2**20),
    ],
)
def test_a_checkpoint_with_odd_facts_is_passed_over_and_harms_no_other(tmp_path, meta):
    save(tmp_path, 5)
    hostile(save(tmp_path, 10).path, meta)
    assert steps(tmp_path) == [5]
    info, passed_over = newest_verified(tmp_path)
    assert info is not None
    assert (info.step, [*passed_over]) == (5, [tmp_path / "step-00000010"])


def test_figures_that_are_no_figures_are_left_out(tmp_path):
    path = save(tmp_path, 10).path
    hostile(path, '{"step": 10, "time": 1, "metrics": {"a": 1e400, "b": 1%s, "c": "x", "d": 2}}' % ("0" * 400))
    assert verify(path).metrics == {"d": 2.0}


@pytest.mark.parametrize("name", ["../secret", "/dev/zero", "..", "", "folder/file", "C:x", "a\\b"])
def test_a_manifest_names_files_of_its_own_folder_only(tmp_path, name):
    path = save(tmp_path, 10).path
    hostile(path, files={name: {"bytes": 0, "sha256": ""}})
    with pytest.raises(CheckpointError, match="not the name of a file in this folder"):
        verify(path)


@posix
@pytest.mark.parametrize("file", ["model.safetensors", "meta.json", "MANIFEST.json"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_plain_file_is_not_opened(tmp_path, file, kind):
    path = save(tmp_path, 10).path
    hostile(path, files={"model.safetensors": {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}})
    (path / file).unlink()
    os.mkfifo(path / file) if kind == "pipe" else (path / file).symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match=file):
        verify(path)
    assert newest_verified(tmp_path)[0] is None


def test_the_newest_the_best_and_the_pinned_stay(tmp_path):
    losses = {1: 9.0, 2: 1.0, 3: 2.0, 4: 8.0, 5: None, 6: 7.0, 7: 6.0}
    for step, loss in losses.items():
        save(tmp_path, step, loss=loss)
    pin(tmp_path / "step-00000004")
    newest = tmp_path / "step-00000007"
    deleted = retain(tmp_path, written=newest, keep_last=2, keep_best=2, monitor="val/loss", mode="min")
    assert [path.name for path in deleted] == ["step-00000001", "step-00000005"]
    assert steps(tmp_path) == [2, 3, 4, 6, 7]
    pin(tmp_path / "step-00000004", pinned=False)
    retain(tmp_path, written=newest, keep_last=1, keep_best=1, monitor="val/loss", mode="max")
    assert steps(tmp_path) == [4, 7]
    assert [info.best for info in list_checkpoints(tmp_path, mode="max")] == [True, False]
    retain(tmp_path, written=newest, keep_last=0, keep_best=1, monitor="val/loss", mode="min")
    assert steps(tmp_path) == [7]
    again = save(tmp_path, 1, loss=9.0)
    retain(tmp_path, written=again.path, keep_last=1, keep_best=1, monitor="val/loss", mode="min")
    assert steps(tmp_path) == [1, 7], "what has just been written stays, whatever lies there with a later step"


def test_steps_are_ordered_as_numbers(tmp_path):
    for step in (100_000_000, 99_999_999):
        save(tmp_path, step)
    assert steps(tmp_path) == [99_999_999, 100_000_000]


def test_a_checkpoint_that_is_written_again_stays_pinned(tmp_path):
    pin(save(tmp_path, 5, b"old").path)
    again = save(tmp_path, 5, b"new")
    assert again.pinned
    assert (again.path / "model.safetensors").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000005"]


def test_leftovers_are_removed_and_nothing_else(tmp_path):
    save(tmp_path, 5)
    half = tmp_path / ".step-00000010.4711.tmp"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    deleted = tmp_path / "step-00000003"
    deleted.mkdir()
    (deleted / "model.safetensors").touch()
    (tmp_path / "notes.txt").touch()
    assert steps(tmp_path) == [5]
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "step-00000005"]


def test_a_reader_never_meets_half_a_checkpoint(tmp_path):
    done = threading.Event()
    failures: list[Exception] = []
    looks: list[int] = []

    def look() -> None:
        while not done.is_set():
            for info in list_checkpoints(tmp_path):
                try:
                    looks.append(len((info.path / "model.safetensors").read_bytes()))
                    verify(info.path)
                except (FileNotFoundError, CheckpointError):
                    if (info.path / "MANIFEST.json").exists():
                        failures.append(AssertionError(f"{info.path} is there and not whole"))

    reader = threading.Thread(target=look)
    reader.start()
    for step in range(1, 40):
        save(tmp_path, step, os.urandom(50_000))
    done.set()
    reader.join()
    assert failures == []
    assert set(looks) == {50_000}


WRITER = """
import os, sys
from pathlib import Path
from tb_widgets.runs.checkpoints import retain, write_checkpoint
folder = Path(sys.argv[1])
step = 0
while True:
    step += 1
    parts = {name: lambda path: path.write_bytes(os.urandom(200_000)) for name in ("a", "b", "c")}
    written = write_checkpoint(folder, step // 2, parts, {"metrics": {"val/loss": step % 7}})
    retain(folder, written=written.path, keep_last=2, keep_best=2, monitor="val/loss", mode="min")
    if step == 6:
        print("writing", flush=True)
"""


@posix
@pytest.mark.fault
@pytest.mark.parametrize("seed", range(3))
def test_a_writer_killed_at_a_random_moment_leaves_only_whole_checkpoints(tmp_path, seed):
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(random.Random(seed).uniform(0, 0.2))
        writer.kill()
    found = list_checkpoints(tmp_path)
    assert found
    for info in found:
        verify(info.path)
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {info.path.name for info in list_checkpoints(tmp_path)}
    assert newest_verified(tmp_path)[1] == {}


def killed_before_operation(number: int, action: Callable[[], object]) -> bool:
    """Run an action in a child that SIGKILLs itself before its n-th change to the disk; whether it came so far."""
    child = os.fork()
    if child == 0:
        left = [number]

        def count(event: str, _: object) -> None:
            if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "open"):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            action()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@posix
@pytest.mark.fault
def test_a_writer_killed_between_any_two_operations_loses_no_checkpoint(tmp_path):
    """Writing step 20 again over its older self, and dropping step 10, with a death at every single operation."""
    number, killed = 0, True
    while killed:
        folder = tmp_path / str(number)
        save(folder, 10, b"ten")
        pin(save(folder, 20, b"old").path)

        def write_and_retain(folder: Path = folder) -> None:
            new = save(folder, 20, b"new")
            retain(folder, written=new.path, keep_last=1, keep_best=0, monitor="val/loss", mode="min")

        killed = killed_before_operation(number, write_and_retain)
        for info in list_checkpoints(folder):
            verify(info.path)
        remove_leftovers(folder)
        newest, passed_over = newest_verified(folder)
        assert newest is not None
        assert newest.step == 20, f"lost at operation {number}"
        assert newest.pinned
        assert passed_over == {}
        assert (newest.path / "model.safetensors").read_bytes() in (b"old", b"new")
        assert {path.name for path in folder.iterdir()} <= {"step-00000010", "step-00000020"}
        number += 1
    assert number > 20, "every operation had its turn"
    assert steps(folder) == [20]
    assert (read_checkpoint(newest.path).path / "model.safetensors").read_bytes() == b"new"
