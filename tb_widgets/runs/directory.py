"""The run directory: the only truth about a run."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tb_widgets.errors import RunError
from tb_widgets.runs.checkpoints import CheckpointInfo, list_checkpoints
from tb_widgets.runs.control import Control
from tb_widgets.runs.durable import explain_os_error, read_json, replace_text
from tb_widgets.runs.process import ProcessIdentity
from tb_widgets.runs.status import Status, observe, write_status
from tb_widgets.spec import RunSpec
from tb_widgets.spec.labels import ZOO_TITLES
from tb_widgets.wording import listed


def default_runs_dir() -> Path:
    """Return where runs live: ``TB_RUNS_DIR``, or ``./runs``."""
    return Path(os.environ.get("TB_RUNS_DIR", "runs")).expanduser().absolute()


class RunDirectory:
    """The folder of one run: where its files are, and what they say.

    Parameters
    ----------
    path
        The folder. Use :func:`create_run` for a new one and :func:`open_run` for one that must exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self.spec_file = self.path / "run.yaml"
        self.status_file = self.path / "status.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.events_file = self.path / "events.jsonl"
        self.log_file = self.path / "log.txt"
        self.environment_file = self.path / "environment.json"
        self.model_folder = self.path / "model"
        self.tokenizer_folder = self.path / "tokenizer"
        self.checkpoints_folder = self.path / "checkpoints"
        self.data_file = self.path / "data.json"
        self.samples_file = self.path / "samples" / "samples.jsonl"
        self.control = Control(self.path / "control")

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"

    @property
    def id(self) -> str:
        """The folder's name, which is the run's id."""
        return self.path.name

    @cached_property
    def spec(self) -> RunSpec:
        """The frozen spec.

        Raises
        ------
        SpecError
            If ``run.yaml`` is missing, damaged, or of a newer version.
        """
        return RunSpec.load(self.spec_file)

    def plan(self, steps: int) -> None:
        """Change how many steps the run shall do in all; nothing else of its spec ever changes.

        Raises
        ------
        SpecError
            If there can't be that many.
        RunError
            If the folder can't be written.
        """
        longer = RunSpec.from_mapping(
            self.spec.to_mapping() | {"training": self.spec.training.model_dump() | {"steps": steps}}
        )
        replace_text(self.spec_file, longer.to_yaml(), sync=True)
        self.__dict__.pop("spec", None)  # it was read before

    @property
    def environment(self) -> dict[str, Any]:
        """What the run ran on: packages, code version, hardware, seed, checksums of data and model.

        Raises
        ------
        RunError
            If it has not begun yet, or the file is damaged.
        """
        try:
            found = read_json(self.environment_file)
        except FileNotFoundError:
            raise RunError(f"{self.id} has not started training, so it has no environment yet.") from None
        except (OSError, ValueError) as error:
            raise RunError(f"{self.environment_file} can't be read: {error}.") from error
        if not isinstance(found, dict):
            raise RunError(f"{self.environment_file} contains no environment.")
        return found

    def status(self) -> Status:
        """Return the status as it can be believed: an active run whose process is gone is interrupted."""
        return observe(self.status_file)

    def checkpoints(self) -> list[CheckpointInfo]:
        """Return the whole checkpoints, oldest first, the best one marked by the spec's own monitor."""
        rules = self.spec.checkpoints
        return list_checkpoints(self.checkpoints_folder, monitor=rules.monitor, mode=rules.better)

    def log_tail(self, lines: int = 20, limit: int = 64 * 1024) -> list[str]:
        """Return the last lines that the worker printed, from at most the last ``limit`` bytes."""
        try:
            with self.log_file.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - limit))
                text = file.read(limit).decode(errors="replace")
        except FileNotFoundError:
            return []
        return text.splitlines()[-lines:]

    def lock(self) -> FileLock:
        """Return the lock that the one worker of this run holds; the operating system frees it when that dies."""
        return FileLock(self.path / ".lock")

    def is_locked(self) -> bool:
        """Whether a worker holds this run's lock at this moment."""
        lock = self.lock()
        if not Path(lock.lock_file).exists():
            return False  # no worker has ever been here; a look leaves no file behind
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:
            return False  # a folder that only may be read has no worker either
        lock.release()
        return False


def create_run(runs_dir: str | Path, spec: RunSpec, *, title: str = "", visitor: str = "") -> RunDirectory:
    """Create the folder of a new run with its frozen spec and a queued status.

    Parameters
    ----------
    title
        What the model is called, where its source does not tell.
    visitor
        Who starts it, where that is a visitor of a shared page.

    Raises
    ------
    RunError
        If the runs folder can't be written, or the disk is full.
    """
    runs_dir = Path(runs_dir).expanduser().absolute()
    title = title or model_title(spec)
    kind, _, zoo = spec.model.source.partition(":")
    label = spec.name or _as_name(f"{spec.model.preset}-{zoo}" if kind == "zoo" else title)
    text = spec.to_yaml()
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        while True:
            suffix = "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz23456789") for _ in range(4))
            path = runs_dir / f"{time.strftime('%Y%m%d-%H%M%S')}-{label}-{suffix}"
            try:
                path.mkdir()
            except FileExistsError:
                continue
            break
    except OSError as error:
        raise explain_os_error(error, runs_dir) from error
    run = RunDirectory(path)
    owner = ProcessIdentity.current()
    now = round(time.time(), 3)
    status = Status(
        state="queued",
        total=spec.training.steps,
        **owner.as_status(),
        created=now,
        heartbeat=now,
        name=label,
        visitor=visitor,
        model=title,
        data=spec.data.source,
    )
    try:
        for folder in (run.control.folder, run.samples_file.parent, run.checkpoints_folder):
            folder.mkdir()
        write_status(run.status_file, status)
        # The spec goes last: a folder without it is no run yet, and nobody lists it.
        replace_text(run.spec_file, text, sync=True)
    except (OSError, RunError) as error:
        shutil.rmtree(path, ignore_errors=True)
        raise error if isinstance(error, RunError) else explain_os_error(error, runs_dir) from error
    return run


def model_title(spec: RunSpec) -> str:
    """Return what a list calls the model: ``GPT tiny``, ``gist 0123abcd``, or the name of a repository or file."""
    kind, _, address = spec.model.source.partition(":")
    if kind == "zoo":
        return f"{ZOO_TITLES.get(address, address)} {spec.model.preset}"
    if kind in ("gist", "hub", "upload"):
        name = address.partition("@")[0].rpartition("/")[2]
        return name if kind == "hub" else f"{kind} {name[:8]}"
    path = Path(spec.model.source)
    return path.parent.name if path.name == "model.py" and path.parent.name else path.name.removesuffix(".py")


def _as_name(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", title).strip("-.")[:60] or "run"


def open_run(path: str | Path, runs_dir: str | Path | None = None) -> RunDirectory:
    """Open a run by its path, or by its id (or an unambiguous beginning or ending of it) inside a runs folder.

    Raises
    ------
    RunError
        If there is no such run, or several match.
    """
    given = Path(path).expanduser()
    if _is_run(given):
        return RunDirectory(given)
    folder = Path(runs_dir).expanduser() if runs_dir is not None else default_runs_dir()
    name = str(path)
    if name == "latest":
        newest = next(iter(list_entries(folder)), None)
        if newest is None:
            raise RunError(f"There are no runs in {folder} yet.", hint="Start one with: tb-widgets train")
        return newest.run
    runs = list(iter_runs(folder)) if name else []
    found = (
        [run for run in runs if run.id == name]
        or [
            run for run in runs if run.id.endswith(f"-{name}")
        ]  # what lists show of an id is enough, whatever begins so
        or [run for run in runs if run.id.startswith(name) or run.id.endswith(name)]
    )
    if len(found) == 1:
        return found[0]
    if found:
        ids = listed([run.id for run in found], most=5)
        raise RunError(f"{name!r} fits {len(found)} runs in {folder}: {ids}.", hint="Write more of the id.")
    raise RunError(f"There is no run {name!r} in {folder}.", hint="List them with: tb-widgets runs")


def iter_runs(runs_dir: str | Path) -> Iterator[RunDirectory]:
    """Yield the runs of a folder in no particular order; a missing folder has none."""
    try:
        entries = list(os.scandir(Path(runs_dir).expanduser()))
    except FileNotFoundError:
        return
    except OSError as error:
        raise explain_os_error(error, Path(runs_dir), reading=True) from error
    for entry in entries:
        if not entry.name.startswith(".") and _is_run(Path(entry.path)):
            yield RunDirectory(entry.path)


def _is_run(folder: Path) -> bool:
    try:
        return (folder / "run.yaml").is_file()
    except OSError:  # a folder of somebody else's, or a name that is too long
        return False


@dataclass(frozen=True)
class RunEntry:
    """One line of a run list: the run, and its status as it can be believed."""

    run: RunDirectory
    status: Status


def list_entries(runs_dir: str | Path) -> list[RunEntry]:
    """Return the runs of a folder, newest first. Reads one small file a run, so 1,000 runs take well under a second."""
    entries = [RunEntry(run, run.status()) for run in iter_runs(runs_dir)]
    return sorted(entries, key=lambda entry: (entry.status.created, entry.run.id), reverse=True)


__all__ = [
    "RunDirectory",
    "RunEntry",
    "create_run",
    "default_runs_dir",
    "iter_runs",
    "list_entries",
    "model_title",
    "open_run",
]
