"""What was chosen on a page, kept in its runs folder: a reload, another tab and a new kernel begin with it.

Nothing secret and nobody's consent is in it: whose code may run is remembered elsewhere, by the code's checksums.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tb_widgets.runs.durable import explain_os_error, read_json, replace_json, set_aside

FILE = ".page.json"


@dataclass(frozen=True)
class Choices:
    """What a page holds that no run does.

    Attributes
    ----------
    step
        The step that was in sight.
    run
        Id of the run that was open; empty if none was.
    draft
        The form, see :meth:`tb_widgets.app.state.draft.Draft.keep`.
    checks
        Results of the last checks, and of which model they are.
    saved
        When, in seconds since the epoch.
    """

    step: str = ""
    run: str = ""
    draft: dict[str, Any] = field(default_factory=dict)
    checks: dict[str, Any] = field(default_factory=dict)
    saved: float = 0.0


_CHOICES = TypeAdapter(Choices)


class Kept:
    """The file that holds the choices made in a runs folder.

    Parameters
    ----------
    runs_dir
        The folder; it is made when there is something to keep.
    """

    def __init__(self, runs_dir: Path) -> None:
        self.file = runs_dir / FILE
        self._last: Choices | None = None
        self._first = Choices()
        self._mark = 0

    def begin(self, choices: Choices) -> None:
        """Hear what a page begins with: as long as nothing was kept and nothing differs from it, no file is written."""
        self._first = choices

    def read(self) -> Choices | None:
        """Return what was kept; ``None`` where nothing was.

        Raises
        ------
        RunError
            If the file can't be read.
        ValueError
            If it is damaged.
        """
        try:
            self._last = self._read()
            self._mark = self.file.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        except OSError as error:
            raise explain_os_error(error, self.file, reading=True) from error
        return self._last

    def _read(self) -> Choices:
        try:
            return _CHOICES.validate_python(read_json(self.file))
        except ValidationError as error:
            raise ValueError(f"{self.file} does not hold what a page keeps") from error

    def news(self) -> Choices | None:
        """Return what another page has kept since; ``None`` where the form and the checks are what they were here."""
        try:
            mark = self.file.stat().st_mtime_ns
        except OSError:
            return None  # not there, or not at this moment: what is chosen here will be written
        if mark == self._mark:
            return None
        mine, found = self._last, self._read()
        self._mark = mark
        if mine is not None and (found.draft, found.checks) == (mine.draft, mine.checks):
            return None
        return found

    def accept(self, choices: Choices) -> None:
        """Hear that this page now holds what another one has kept: it need not be written again."""
        self._last = choices

    def set_aside(self) -> Path:
        """Give a damaged file another name, and return it."""
        self._last = None
        return set_aside(self.file, f"{FILE}.damaged")

    def write(self, choices: Choices) -> None:
        """Keep these choices, if they are others than those that were kept last.

        Raises
        ------
        RunError
            If the folder can't be written.
        """
        before = self._last if self._last is not None else self._first
        if asdict(choices) | {"saved": before.saved} == asdict(before):
            return
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            replace_json(self.file, asdict(choices) | {"saved": time.time()})
        except OSError as error:
            raise explain_os_error(error, self.file) from error
        self._last = choices
        self._mark = self.file.stat().st_mtime_ns
