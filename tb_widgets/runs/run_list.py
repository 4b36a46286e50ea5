"""The runs of a folder, listed again and again at little cost. No widget is known here."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tb_widgets.runs import RunDirectory, RunEntry
from tb_widgets.runs.durable import explain_os_error

Mark = tuple[int, int, int]
SHARE = 0.05  # of the time, at most, goes into looking: on a mounted drive every look at a file is slow


class RunList:
    """Every run of a folder, newest first, for a page that asks twice a second.

    Only the runs whose status file was replaced, and those that are at work, are read anew; the others cost one look
    at a file. ``version`` grows when anything differs.

    Parameters
    ----------
    runs_dir
        The folder; it need not be there.
    """

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir
        self.entries: list[RunEntry] = []
        self.version = 0
        self._known: dict[str, tuple[Mark, RunEntry]] = {}
        self._rest_until = 0.0

    def refresh(self, *, now: bool = False) -> None:
        """Look what has changed, unless the last look took so long that it is too soon.

        Parameters
        ----------
        now
            Look in any case.

        Raises
        ------
        RunError
            If the folder is there and can't be read.
        """
        began = time.monotonic()
        if began < self._rest_until and not now:
            return
        known = self._look()
        took = time.monotonic() - began
        self._rest_until = began + took / SHARE
        if known != self._known:
            self._known = known
            found = (entry for _, entry in known.values())
            self.entries = sorted(found, key=lambda entry: (entry.status.created, entry.run.id), reverse=True)
            self.version += 1

    def _look(self) -> dict[str, tuple[Mark, RunEntry]]:
        try:
            with os.scandir(self.runs_dir) as folders:
                names = [folder.name for folder in folders if not folder.name.startswith(".")]
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise explain_os_error(error, self.runs_dir, reading=not isinstance(error, NotADirectoryError)) from error
        found = {}
        for name in names:
            mark = _mark(f"{self.runs_dir}{os.sep}{name}{os.sep}status.json")
            before = self._known.get(name)
            if before is not None and before[0] == mark and not before[1].status.is_active:
                found[name] = before
            elif _is_file(f"{self.runs_dir}{os.sep}{name}{os.sep}run.yaml"):
                run = before[1].run if before is not None else RunDirectory(self.runs_dir / name)
                found[name] = (mark, RunEntry(run, run.status()))
        return found


def _mark(file: str) -> Mark:
    """Return what differs once a file was replaced."""
    try:
        found = os.stat(file)  # noqa: PTH116 - a Path for each of 1,000 files would cost more than the look
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _is_file(file: str) -> bool:
    try:
        return os.path.isfile(file)  # noqa: PTH113 - as above
    except ValueError:
        return False
