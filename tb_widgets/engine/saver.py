"""Writing checkpoints while training goes on."""

from __future__ import annotations

import math
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from tb_widgets.engine.failures import explain
from tb_widgets.engine.state import Snapshot
from tb_widgets.errors import DiskFullError, RunError, TbError, print_traceback
from tb_widgets.runs import CheckpointInfo, RunDirectory
from tb_widgets.runs.checkpoints import MANIFEST, list_checkpoints, retain, verify, write_checkpoint
from tb_widgets.runs.durable import explain_os_error, sync_file
from tb_widgets.runs.journal import JournalWriter
from tb_widgets.spec import CheckpointSpec


class CheckpointSaver:
    """Writes, verifies, mirrors and prunes checkpoints beside the training, one at a time.

    The loop hands over a copy of its state and goes on. A second checkpoint waits for the first; an error is raised
    in the loop at the next call. Where the disk is full, what was handed over waits in memory for :meth:`try_again`.

    Attributes
    ----------
    full
        Why checkpoints wait, while they do.
    """

    def __init__(self, run: RunDirectory, rules: CheckpointSpec, journal: JournalWriter) -> None:
        self._run = run
        self._rules = rules
        self._journal = journal
        self.full: DiskFullError | None = None
        self._error: TbError | None = None
        self._waiting: list[tuple[int, Snapshot]] = []
        self._thread: threading.Thread | None = None
        best = next((info for info in run.checkpoints() if info.best), None)
        self._sign = 1 if rules.better == "min" else -1
        self._best = self._sign * best.metrics[rules.monitor] if best else math.inf

    def is_best(self, metrics: Mapping[str, float]) -> bool:
        """Whether the monitored metric is better than ever before; one that is non-finite is not."""
        value = self._sign * metrics[self._rules.monitor]
        if not math.isfinite(value) or value >= self._best:
            return False
        self._best = value
        return True

    def save(self, step: int, take: Callable[[], Snapshot]) -> None:
        """Copy the state and let the copy be written.

        Parameters
        ----------
        step
            Optimiser steps done.
        take
            Makes the copy. It is called once the checkpoint before is on the disk, so that never more than one copy
            lies in memory, unless the disk is full: then the loop pauses with two.

        Raises
        ------
        TbError
            If an earlier checkpoint could not be written; a :class:`RunError` where the disk is the reason.
        """
        self.settle()
        self._waiting.append((step, take()))
        if self.full is None:
            self._start()

    def settle(self) -> None:
        """Wait until everything is on the disk, or ``full`` says that it does not fit there.

        Raises
        ------
        TbError
            If a checkpoint could not be written for another reason.
        """
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Wait until everything is on the disk.

        Raises
        ------
        TbError
            If a checkpoint could not be written; a :class:`DiskFullError` if it does not fit there.
        """
        self.settle()
        if self.full is not None:
            raise self.full

    def try_again(self) -> None:
        """Write what had to wait; ``full`` says whether it still does not fit."""
        self.full = None
        if self._waiting:
            self._start()
        self.settle()

    @property
    def needs(self) -> int:
        """Bytes that the checkpoint takes which waits for room; 0 where none does."""
        if self.full is None or not self._waiting:
            return 0
        snapshot = self._waiting[0][1]
        return sum(tensor.nbytes for part in (snapshot.weights, snapshot.training) for tensor in part.values())

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            while self._waiting:
                self._write(*self._waiting[0])
                self._waiting.pop(0)  # lets go of the copy
        except DiskFullError as error:
            self.full = error
        except OSError as error:
            told = explain_os_error(error, self._run.checkpoints_folder)
            if isinstance(told, DiskFullError):
                self.full = told
            else:
                self._error = told
        except BaseException as error:  # noqa: BLE001 - whatever it is, the loop must hear of it
            self._error = explain(error)
            print_traceback()

    def _write(self, step: int, snapshot: Snapshot) -> None:
        rules, folder = self._rules, self._run.checkpoints_folder
        # A resume goes on after the checkpoint's step: the lines up to it must be on the disk before it counts.
        self._journal.flush()
        if self._run.metrics_file.exists():
            sync_file(self._run.metrics_file)
        written = write_checkpoint(folder, step, snapshot.parts(), snapshot.meta)
        verify(written.path)
        self._retain(folder, written)
        best = next(
            (info for info in list_checkpoints(folder, monitor=rules.monitor, mode=rules.better) if info.best), None
        )
        if best is not None:
            self._journal.update(
                best={"step": best.step, "monitor": rules.monitor, "value": best.metrics[rules.monitor]}
            )
        self._journal.event(
            "checkpoint",
            step=step,
            bytes=written.size,
            best=best is not None and best.step == step,
            metrics=written.metrics,
        )
        if rules.mirror is not None:
            self._mirror(Path(rules.mirror).expanduser() / self._run.id, written)

    def _retain(self, folder: Path, written: CheckpointInfo) -> None:
        rules = self._rules
        retain(
            folder,
            written=written.path,
            keep_last=rules.keep_last,
            keep_best=rules.keep_best,
            monitor=rules.monitor,
            mode=rules.better,
        )

    def _mirror(self, target: Path, written: CheckpointInfo) -> None:
        """Copy a verified checkpoint to the second folder; a mirror that fails is reported, and training goes on."""
        try:
            (target / "checkpoints").mkdir(parents=True, exist_ok=True)
            for folder in (self._run.model_folder, self._run.tokenizer_folder):
                if folder.is_dir():
                    shutil.copytree(folder, target / folder.name, dirs_exist_ok=True)
            shutil.copyfile(self._run.spec_file, target / self._run.spec_file.name)
            copy = target / "checkpoints" / written.path.name
            # The manifest goes last: a copy without it is not a checkpoint.
            shutil.copytree(written.path, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
            shutil.copyfile(written.path / MANIFEST, copy / MANIFEST)
            self._retain(copy.parent, verify(copy))
        except (OSError, shutil.Error, RunError) as error:
            self._journal.event(
                "warning",
                message=f"The copy of step {written.step} to {target} failed ({error}). The checkpoint itself is safe.",
            )
