"""The training service: starts workers and steers runs, for the dashboard, scripts and the terminal alike."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tb_widgets.data.fetching import needs_fetch
from tb_widgets.data.opened import open_data
from tb_widgets.data.sources import is_built_in
from tb_widgets.errors import ModelError, RunError, ServiceError, TbError, print_traceback
from tb_widgets.models.describe import given_name
from tb_widgets.models.source import is_fetched, write_source
from tb_widgets.runs import RunDirectory, RunEntry, create_run, default_runs_dir, list_runs, open_run
from tb_widgets.runs.process import ProcessIdentity
from tb_widgets.runs.status import AT_REST, read_status, write_status
from tb_widgets.service.gathering import gather_model, with_pinned_data
from tb_widgets.service.processes import WaitingWorker
from tb_widgets.spec import RunSpec

if TYPE_CHECKING:
    from torch import nn

LIVE = "live:"  # what a spec names as the source of a model that lives in a notebook
FOREIGN = ("gist:", "hub:")  # what it names where the code is somebody else's
LOOK_EVERY = 0.2  # seconds between two looks at a run that somebody waits for
LET_GO_WITHIN = 3.0  # seconds


class TrainingService:
    """Starts and steers the runs of one folder.

    Nothing that matters lives in this object: any number of services, in any number of processes, may look after the
    same folder, and a new one finds everything that an old one started.

    Parameters
    ----------
    runs_dir
        Where runs live; ``TB_RUNS_DIR`` or ``./runs`` by default. Made when the first run is started.

    Examples
    --------
    >>> service = TrainingService("runs")  # doctest: +SKIP
    >>> run = service.start(RunSpec())  # doctest: +SKIP
    >>> service.pause(run)  # doctest: +SKIP
    """

    # One for all services of this process: a notebook cell that is run again makes a new service each time.
    _waiting: ClassVar[WaitingWorker | None] = None
    _waiting_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, runs_dir: str | Path | None = None) -> None:
        self.runs_dir = Path(runs_dir).expanduser().absolute() if runs_dir is not None else default_runs_dir()
        self._lock = threading.RLock()
        self._queue: deque[RunDirectory] = deque()
        self._queue_thread: threading.Thread | None = None
        self._current: RunDirectory | None = None

    # ---- starting ------------------------------------------------------------------------------------------------

    def warm(self) -> None:
        """Start a worker that waits, so that the next start acts at once. Asking again does nothing."""
        with self._waiting_lock:
            if self._waiting is None or not self._waiting.is_alive:
                TrainingService._waiting = WaitingWorker()

    def close(self) -> None:
        """Send the waiting worker away. Runs go on."""
        worker = self._take_waiting()
        if worker is not None:
            worker.discard()

    def start(
        self, spec: RunSpec, *, module: nn.Module | None = None, queue: bool = False, trust: bool = False
    ) -> RunDirectory:
        """Start a run and return its directory at once.

        A model from elsewhere is fetched here and frozen into the run, which from then on names its full revision:
        workers know no network. Data from elsewhere must be here already, as ``gathering.gather`` leaves them.

        Parameters
        ----------
        spec
            What to train.
        module
            A live model of this process; it is then trained in a thread of this process.
        queue
            Wait until the run that this service started before has ended.
        trust
            Agree to run the model's code, if it comes from a Gist or the Hub; this is remembered for these very files.

        Raises
        ------
        DataError
            If the data can't be read, or come from elsewhere and have not been fetched yet.
        ModelError
            If the model comes from elsewhere and can't be had, or nobody has agreed to run its code.
        RunError
            If the runs folder can't be written.
        ServiceError
            If no worker process can be started.
        """
        spec = with_pinned_data(_with_whole_paths(spec))
        source = None
        if module is None and is_fetched(spec.model.source):
            spec, source = gather_model(spec, trust=trust)
        if not is_built_in(spec.data.source):
            open_data(spec.data)  # what can't be read is refused here, and leaves no run that never began
        run = create_run(self.runs_dir, spec, title=given_name(source) if source is not None else "")
        if source is not None:
            try:
                write_source(source, run.model_folder)
            except ModelError as error:
                _fail(run, error.message, error.hint)
                raise
        with self._lock:
            busy = self._current is not None and self._current.status().is_active
            if queue and module is None and (busy or self._queue):
                write_status(run.status_file, replace(read_status(run.status_file), phase="Waiting for its turn"))
                self._queue.append(run)
                self._start_queue_thread()
            else:
                self._launch(run, module)
        return run

    def resume(self, run: RunDirectory, *, module: nn.Module | None = None, from_start: bool = False) -> None:
        """Go on with a run that is paused, or with one that ended before its last step, from its newest checkpoint.

        Parameters
        ----------
        module
            Needed for a run that trained a live ``nn.Module`` of a notebook: one of the same shape.
        from_start
            Agree to begin again at step 0 where no checkpoint is whole any more; otherwise such a run fails at once.

        Raises
        ------
        RunError
            If the run is at work already, has done all its steps, or trained a live module and none is given.
        """
        status = run.status()
        if status.state == "paused":
            run.control.withdraw("pause")
            return
        if status.state == "done":
            raise RunError(
                f"{run.id} has done all its {status.total:,} steps.", hint="Start a new run to train for longer."
            )
        if status.is_active:
            raise RunError(f"{run.id} is already {status.state}.", hint="Open it to watch it.")
        if not _is_let_go(run):
            raise RunError(
                f"{run.id} is {status.state}, but another process still holds it.",
                hint="Wait a moment for it to end, then resume again.",
            )
        # A damaged or newer run.yaml is told now, not in a log.
        if run.spec.model.source.startswith(LIVE) and module is None:
            raise RunError(
                f"{run.id} trained a live nn.Module, whose code is not in the run.",
                hint="Resume it from Python: tb_widgets.Run(id).resume(module=my_model), with one of the same shape.",
            )
        with self._lock:
            run.control.clear()
            if from_start:
                run.control.request("from-start")
            me = ProcessIdentity.current()
            queued = replace(
                read_status(run.status_file),
                state="queued",
                message="",
                hint="",
                phase="",
                pid=me.pid,
                process_started=me.started,
                host=me.host,
                heartbeat=time.time(),
            )
            write_status(run.status_file, queued)
            self._launch(run, module)

    def _launch(self, run: RunDirectory, module: nn.Module | None) -> None:
        if module is not None or run.spec.hardware.backend == "kernel":
            threading.Thread(target=_train_here, args=(run, module), name=f"train-{run.id}", daemon=True).start()
            self._current = run
            return
        try:
            try:
                _hand_over(run, self._take_waiting() or WaitingWorker())
            except ServiceError:
                # The waiting worker was killed, by the system or by somebody: a fresh one can do the work.
                _hand_over(run, WaitingWorker())
        except ServiceError as error:
            # Else it would wait for ever: it counts as queued by this process, which lives on.
            _fail(run, error.message, error.hint)
            raise
        self._current = run

    def _take_waiting(self) -> WaitingWorker | None:
        with self._waiting_lock:
            worker, TrainingService._waiting = self._waiting, None
            return worker

    # ---- steering ------------------------------------------------------------------------------------------------

    def pause(self, run: RunDirectory) -> None:
        """Let a run wait after its current step: it keeps its state in memory and computes nothing."""
        self._require_active(run, "paused")
        run.control.request("pause")

    def stop(self, run: RunDirectory) -> None:
        """Let a run finish its step, save a checkpoint, and leave. A run that waits in the queue leaves it."""
        with self._lock:
            if run.path in [queued.path for queued in self._queue]:
                self._queue = deque(queued for queued in self._queue if queued.path != run.path)
                write_status(run.status_file, replace(read_status(run.status_file), state="stopped"))
                return
        self._require_active(run, "stopped")
        run.control.request("stop")

    def save_now(self, run: RunDirectory) -> None:
        """Let a run save a checkpoint after its current step."""
        self._require_active(run, "saved")
        run.control.request("save-now")

    def kill(self, run: RunDirectory) -> None:
        """End a run's process at once; what it did after its newest checkpoint is lost.

        Raises
        ------
        RunError
            If no process of this machine trains the run, or it is this very process.
        """
        status = run.status()
        process = status.process
        if status.state == "queued" or not status.is_active or process is None or not process.is_here:
            raise RunError(f"{run.id} has no process on this machine that could be ended.")
        if process.pid == os.getpid():
            raise RunError(f"{run.id} is trained inside this very process.", hint="Stop it instead.")
        os.kill(process.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        message = f"Ended by hand at step {status.step:,}."
        final = replace(
            read_status(run.status_file),
            state="stopped",
            message=message,
            hint="Press Resume to go on from the newest checkpoint.",
            **AT_REST,
        )
        write_status(run.status_file, final)

    def _require_active(self, run: RunDirectory, done: str) -> None:
        status = run.status()
        if not status.is_active:
            raise RunError(f"{run.id} can't be {done}: it is {status.state}.")

    # ---- looking -------------------------------------------------------------------------------------------------

    def runs(self) -> list[RunEntry]:
        """Return every run of the folder, newest first."""
        return list_runs(self.runs_dir)

    def attach(self, name: str | Path) -> RunDirectory:
        """Return a run by id or path, whoever started it."""
        return open_run(name, self.runs_dir)

    def active(self) -> list[RunDirectory]:
        """Return the runs that are at work or waiting, newest first."""
        return [entry.run for entry in self.runs() if entry.status.is_active]

    def wait(self, run: RunDirectory, timeout: float | None = None) -> str:
        """Wait until a run has ended and return its state.

        Parameters
        ----------
        timeout
            Seconds; None waits for ever.

        Raises
        ------
        TimeoutError
            If the run has not ended in time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := run.status()).is_active:
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"{run.id} is still {status.state} after {timeout} seconds.")
            time.sleep(LOOK_EVERY)
        return status.state

    # ---- queue ---------------------------------------------------------------------------------------------------

    @property
    def queue(self) -> list[RunDirectory]:
        """The runs that wait in this service's queue, next first."""
        with self._lock:
            return [*self._queue]

    def _start_queue_thread(self) -> None:
        if self._queue_thread is None or not self._queue_thread.is_alive():
            self._queue_thread = threading.Thread(target=self._work_off_queue, name="queue", daemon=True)
            self._queue_thread.start()

    def _work_off_queue(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._queue_thread = None
                    return
                if self._current is None or not self._current.status().is_active:
                    run = self._queue.popleft()
                    try:
                        self._launch(run, None)
                    except TbError as error:
                        with contextlib.suppress(TbError):  # its folder may be gone, and the next one waits
                            _fail(run, error.message, error.hint)
            time.sleep(LOOK_EVERY)


def _train_here(run: RunDirectory, module: nn.Module | None) -> None:
    try:
        from tb_widgets.engine.session import train_run

        train_run(run, module=module)
    except BaseException as error:  # noqa: BLE001 - a thread that ended without a word would leave the run active
        print_traceback()
        told = error if isinstance(error, TbError) else ServiceError(f"{type(error).__name__}: {error}")
        _fail(run, told.message, told.hint)


def _with_whole_paths(spec: RunSpec) -> RunSpec:
    """A run may be resumed from another folder, and must find its text there too."""
    source = spec.data.source
    if is_built_in(source) or needs_fetch(spec.data) or Path(source).is_absolute():
        return spec
    path = Path(source).expanduser()
    is_there = path.exists() or any(sign in source for sign in "*?[")
    return spec.with_values({"data.source": str(path.absolute())}) if is_there else spec


def _is_let_go(run: RunDirectory) -> bool:
    """A killed process is gone a moment before the system frees its lock: give it that moment."""
    deadline = time.monotonic() + LET_GO_WITHIN
    while run.is_locked():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _hand_over(run: RunDirectory, worker: WaitingWorker) -> None:
    """Make the run the worker's, before it is told: from then on we may go, and the run counts as alive."""
    owner = worker.identity
    if owner is not None:
        _queue_for(run, owner)
    worker.train(run.path, lambda code, words: _tell_if_silent(run, owner, code, words))


def _queue_for(run: RunDirectory, owner: ProcessIdentity) -> None:
    before = read_status(run.status_file)
    queued = replace(before, state="queued", message="", hint="", phase="", heartbeat=time.time())
    write_status(run.status_file, replace(queued, pid=owner.pid, process_started=owner.started, host=owner.host))


def _tell_if_silent(run: RunDirectory, owner: ProcessIdentity | None, code: int, words: str) -> None:
    """Write down why a worker left before it wrote anything itself."""
    status = read_status(run.status_file)
    # A worker whose run failed may leave when the run is queued again already, for the next worker.
    if code != 0 and status.state == "queued" and (owner is None or status.pid == owner.pid):
        _fail(run, f"The training process ended before it began (exit code {code}). {words}".strip(), "")


def _fail(run: RunDirectory, message: str, hint: str) -> None:
    changes: dict[str, Any] = {"state": "failed", "message": message, "hint": hint}
    write_status(run.status_file, replace(read_status(run.status_file), **changes))
