"""A full disk lets a run wait, and end only if somebody stops it: what could not be written stays in memory."""

from __future__ import annotations

import shutil

from tb_widgets.data.cache.limit import cache_use
from tb_widgets.engine.saver import CheckpointSaver
from tb_widgets.errors import DataError
from tb_widgets.runs import RunDirectory
from tb_widgets.runs.folders import default_cache_dir
from tb_widgets.runs.journal import JournalWriter
from tb_widgets.wording import listed, size_in_words


class Room:
    """Knows whether the disk of a run is full, says what could be freed, and writes what waited once it is asked to.

    Parameters
    ----------
    run
        Its folder is on the disk.
    journal, saver
        Those who write there.
    """

    def __init__(self, run: RunDirectory, journal: JournalWriter, saver: CheckpointSaver) -> None:
        self._run, self._journal, self._saver = run, journal, saver
        self._has_told = False

    def is_short(self) -> bool:
        """Whether something waits to be written until there is room."""
        return self._journal.full is not None or self._saver.full is not None

    def look(self) -> None:
        """Ask for a pause where the disk is full; where somebody has ended that pause, try again first."""
        if not self.is_short() or self._run.control.is_requested("pause"):
            return
        if self._has_told:
            self._has_told = False
            self._journal.try_again()
            self._saver.try_again()
        if not self.is_short():
            self._journal.update(message="", hint="")
            return
        self._has_told = True
        self._journal.update(message=self._reason(), hint=self._way_out())
        self._journal.give_up_reserve()  # so that the pause can be asked for and told
        self._run.control.request("pause")

    def _reason(self) -> str:
        free = size_in_words(shutil.disk_usage(self._run.path).free)
        needs = f", a checkpoint needs {size_in_words(self._saver.needs)}" if self._saver.needs else ""
        return f"The disk is full: {free} free{needs}."

    def _way_out(self) -> str:
        could = [text for text in (self._old_checkpoints(), self._cache()) if text]
        freed = f" You could delete {' or '.join(could)}." if could else ""
        return f"Free some space, then press Resume: the run waits in memory, and nothing is lost.{freed}"

    def _old_checkpoints(self) -> str:
        """Name those that nothing depends on: neither the newest, nor the best, nor pinned."""
        old = [info for info in self._run.checkpoints()[:-1] if not info.best and not info.pinned]
        if not old:
            return ""
        size = size_in_words(sum(info.size for info in old))
        return f"{listed([info.path.name for info in old], most=4)} in {self._run.checkpoints_folder} ({size})"

    def _cache(self) -> str:
        folder = default_cache_dir()
        try:
            if folder.stat().st_dev != self._run.path.stat().st_dev or not (size := cache_use().size):
                return ""
        except (OSError, DataError):  # it is not there, or its limit is no size, which whoever fetches is told
            return ""
        return f"the cache of data and models ({size_in_words(size)}: Clear on the Data step, or {folder})"
