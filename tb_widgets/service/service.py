"""The training service: starts workers and steers runs, for the dashboard, scripts and the terminal alike."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import psutil

from tb_widgets.data.reading.open import open_data
from tb_widgets.data.sources.resolve import resolve_source
from tb_widgets.errors import RunError, ServiceError, TbError, print_traceback
from tb_widgets.models.describe import given_name
from tb_widgets.models.source import CODE, ModelSource, write_source
from tb_widgets.models.sources.resolve import is_fetched, zoo_code
from tb_widgets.models.trust.consent import TrustStore, require_frozen
from tb_widgets.models.zoo import sizes
from tb_widgets.runs import RunDirectory, RunEntry, Status, create_run, default_runs_dir, list_entries, open_run
from tb_widgets.runs.json_process import end_with_children
from tb_widgets.runs.process import ProcessIdentity
from tb_widgets.runs.status import AT_REST, read_status, write_status
from tb_widgets.service.gathering import gather_model, with_pinned_data
from tb_widgets.service.lost import is_lost, only_here
from tb_widgets.service.machines import begin, require_even
from tb_widgets.service.queue import RunQueue
from tb_widgets.service.workers.process import WaitingWorker, is_worker
from tb_widgets.service.workers.ranks import Machines
from tb_widgets.spec import RunSpec

if TYPE_CHECKING:
    from torch import nn

LIVE = "live:"  # what a spec names as the source of a model that lives in a notebook
OURS = "zoo:"
FOREIGN = ("gist:", "hub:")  # what it names where the code is somebody else's
_LOOK_EVERY = 0.2  # seconds between two looks at a run that somebody waits for
LET_GO_WITHIN = 3.0  # seconds
ENDS_WITHIN = 10.0  # seconds that the system may take to end a process

logger = logging.getLogger(__name__)


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
        self._queue = RunQueue(self.runs_dir, self._launch_waiting, self.resume_lost)

    # ---- starting ------------------------------------------------------------------------------------------------

    def warm(self) -> None:
        """Start a worker that waits, so that the next start acts at once. Asking again does nothing."""
        with self._waiting_lock:
            if self._waiting is None or self._waiting.has_ended:
                TrainingService._waiting = WaitingWorker()

    def close(self) -> None:
        """Send the waiting worker away. Runs go on."""
        worker = self._take_waiting()
        if worker is not None:
            worker.hang_up()

    def start(
        self,
        spec: RunSpec,
        *,
        module: nn.Module | None = None,
        queue: bool = False,
        trust: bool = False,
        visitor: str = "",
        machines: Machines | None = None,
    ) -> RunDirectory:
        """Start a run and return its directory at once.

        A model that is not ours is frozen into the run here; one from elsewhere is fetched, and the run names its full
        revision from then on: workers know no network. Data from elsewhere must be here already, as
        ``gathering.gather`` leaves them.

        Parameters
        ----------
        spec
            What to train.
        module
            A live model of this process; it is then trained in a thread of this process.
        queue
            Wait until no other run of this folder is at work on this machine, or fewer than :attr:`at_once`.
        trust
            Agree to run the model's code, if it comes from a Gist or the Hub; this is remembered for these very files.
        visitor
            Who starts it, where that is a visitor of a shared page.
        machines
            Those that train it together, of which this is the first; the others join by
            ``tb-widgets train --nnodes``. Such a run is started at once, and does not resume by itself.

        Raises
        ------
        DataError
            If the data can't be read, or come from elsewhere and have not been fetched yet.
        ModelError
            If the model can't be had, or nobody has agreed to run its code, or that can't be remembered.
        RunError
            If the runs folder can't be written.
        ServiceError
            If no worker process can be started.
        """
        spec = with_pinned_data(_with_whole_paths(spec))
        source, name = None, spec.model.source
        if module is None and not name.startswith(OURS):
            spec, source = gather_model(spec, trust=trust)
        require_data(spec)  # what can't be read is refused here, and leaves no run that never began
        title = given_name(source) if source is not None and is_fetched(name) else ""
        run = create_run(self.runs_dir, spec, title=title, visitor=visitor)
        with _failing(run):
            if module is None:
                self._freeze(run, source)
            if machines is not None:
                require_even(spec, machines)
                owner = begin(run, machines, lambda *end: _tell_if_silent(run, *end))
                if owner is not None:
                    _queue_for(run, owner)
            elif not (queue and module is None and self._queue.enter(run)):
                with self._lock:
                    self._launch(run, module)
        return run

    @staticmethod
    def _freeze(run: RunDirectory, source: ModelSource | None) -> None:
        """Write a model into its run, and remember on this machine that it may run from there."""
        store, name = TrustStore(), run.spec.model.source
        if source is not None:
            write_source(source, run.model_folder)
            store.remember(source.files, name)
        elif (zoo := name.removeprefix(OURS)) in sizes.FILES:  # the worker writes it, in the sizes of the data
            store.remember({CODE: zoo_code(zoo)}, name)

    def resume(
        self, run: RunDirectory, *, module: nn.Module | None = None, trust: bool = False, from_start: bool = False
    ) -> None:
        """Go on with a run that is paused, or with one that ended before its last step, from its newest checkpoint.

        Parameters
        ----------
        module
            Needed for a run that trained a live ``nn.Module`` of a notebook: one of the same shape.
        trust
            Agree to run the code in the run's folder, where it was not started on this machine; this is remembered.
        from_start
            Agree to begin again at step 0 where no checkpoint is whole any more; otherwise such a run fails at once.

        Raises
        ------
        ConsentError
            If nobody on this machine has agreed to run that code.
        RunError
            If the run is at work already, has done all its steps, or trained a live module and none is given.
        """
        with only_here(run):
            self._resume(run, module, trust=trust, from_start=from_start)

    def _resume(
        self, run: RunDirectory, module: nn.Module | None, *, trust: bool, from_start: bool, after_loss: bool = False
    ) -> None:
        status = run.status()
        if status.state == "paused":
            run.control.withdraw("pause")
            return
        if status.state == "done":
            raise RunError(
                f"{run.id} is done after {status.step:,} steps.",
                hint=f"To train it longer: tb-widgets resume {run.id[-4:]} --more-steps N",
            )
        if status.is_active:
            raise RunError(f"{run.id} is already {status.state}.", hint="Open it to watch it.")
        self._require_ready(run, status, module, trust=trust)
        with self._lock:
            run.control.clear()
            if from_start:
                run.control.request("from-start")
            if after_loss:
                run.control.request("after-loss")
            me = ProcessIdentity.current()
            queued = replace(
                read_status(run.status_file),
                state="queued",
                message="",
                hint="",
                remedy=None,
                phase="",
                lost=False,
                restarts=status.restarts + 1 if after_loss else 0,
                **me.as_status(),
                heartbeat=time.time(),
            )
            with _failing(run):
                write_status(run.status_file, queued)
                self._launch(run, module)

    def resume_lost(self, run: RunDirectory) -> bool:
        """Go on with a run whose process is gone without a word, and return whether it is at work.

        Whoever has seen the run at work calls this when it is no more; of any number who do, one resumes it. How often
        that may happen is ``hardware.restarts`` of its spec; then the run waits, interrupted, for somebody to ask.
        """
        if is_lost(run):
            try:
                with only_here(run):
                    if is_lost(run):
                        self._resume(run, None, trust=False, from_start=False, after_loss=True)
            except TbError:  # it stays interrupted, and Resume will say the same to somebody who can do something
                logger.warning("%s could not be resumed after its process was lost", run.id, exc_info=True)
        return run.status().is_active

    def extend(self, run: RunDirectory, steps: int, *, module: nn.Module | None = None, trust: bool = False) -> None:
        """Let a run that has done all its steps go on from its last checkpoint for more of them.

        The learning rate follows its schedule as if the run had been planned that long.

        Parameters
        ----------
        steps
            How many more.
        module, trust
            As for :meth:`resume`.

        Raises
        ------
        ConsentError, RunError
            As :meth:`resume` does; also if the run is not done.
        """
        status = run.status()
        if status.state != "done":
            hint = "Wait until it is done." if status.is_active else "Resume it instead."
            raise RunError(f"{run.id} is {status.state}: it has steps left.", hint=hint)
        self._require_ready(run, status, module, trust=trust)  # before anything is written
        longer = status.step + steps
        run.plan(longer)
        write_status(run.status_file, replace(read_status(run.status_file), state="stopped", total=longer))
        self.resume(run, module=module, trust=trust)

    @staticmethod
    def _require_ready(run: RunDirectory, status: Status, module: nn.Module | None, *, trust: bool) -> None:
        """Check that a run that has ended can go on."""
        if not _is_let_go(run):
            raise RunError(
                f"{run.id} is {status.state}, but another process still holds it.",
                hint="Wait a moment for that process to end, then resume again.",
            )
        # A damaged or newer run.yaml is told now, not in a log.
        if run.spec.model.source.startswith(LIVE) and module is None:
            raise RunError(
                f"{run.id} trained a live nn.Module, whose code is not in the run.",
                hint="Resume it from Python: tb_widgets.Run(id).resume(module=my_model), a module of the same shape.",
            )
        if module is None:
            require_frozen(run.model_folder, "Resuming", trust=trust)

    def _launch(self, run: RunDirectory, module: nn.Module | None) -> None:
        if module is not None or run.spec.hardware.backend == "kernel":
            threading.Thread(target=_train_here, args=(run, module), name=f"train-{run.id}", daemon=True).start()
            return
        try:
            self._hand_over(run, self._take_waiting() or WaitingWorker())
        except ServiceError:
            # The waiting worker was killed, by the system or by somebody: a fresh one can do the work.
            self._hand_over(run, WaitingWorker())

    def _hand_over(self, run: RunDirectory, worker: WaitingWorker) -> None:
        """Make the run the worker's, before it is told: from then on we may go, and the run counts as alive."""
        owner = worker.identity
        if owner is not None:
            _queue_for(run, owner)

        def on_exit(code: int, words: str) -> None:
            _tell_if_silent(run, owner, code, words)
            self.resume_lost(run)

        worker.train(run.path, on_exit)

    def _launch_waiting(self, run: RunDirectory) -> None:
        require_frozen(run.model_folder, "Training")  # a folder that says it waits may have come from anywhere
        with self._lock:
            self._launch(run, None)

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
        if self._queue.leave(run):
            return
        self._require_active(run, "stopped")
        run.control.request("stop")

    def put_first(self, run: RunDirectory) -> None:
        """Let a run that waits in the queue be the next."""
        self._queue.put_first(run)

    def save_now(self, run: RunDirectory) -> None:
        """Let a run save a checkpoint after its current step."""
        self._require_active(run, "saved")
        run.control.request("save-now")

    def kill(self, run: RunDirectory) -> None:
        """End a run's process at once, with all that it started; what it did after its newest checkpoint is lost.

        Raises
        ------
        RunError
            If no process of this machine trains the run, it is this very process, or it does not end.
        """
        with only_here(run):  # or whoever watches takes its end for a mishap, and resumes it
            self._kill(run)

    @staticmethod
    def _kill(run: RunDirectory) -> None:
        status = run.status()
        process = status.process
        if not status.is_active or process is None or not process.is_here:
            raise RunError(f"{run.id} has no process on this machine to end.")
        if is_worker(process.pid):
            if status.state == "queued":  # else whoever started the worker takes its end for a mishap
                _end_by_hand(run)
            end_with_children(process.pid)
        elif status.state == "queued":
            raise RunError(f"{run.id} is queued and has no process yet.", hint="Stop it instead.")
        elif process.pid == os.getpid():
            raise RunError(f"{run.id} trains inside this process.", hint="Stop it instead.")
        else:  # a notebook's kernel, whose children may train other runs
            with contextlib.suppress(psutil.Error):  # gone already, or another user's: that is seen below
                psutil.Process(process.pid).kill()
        deadline = time.monotonic() + ENDS_WITHIN
        while process.is_alive():
            if time.monotonic() > deadline:
                raise RunError(
                    f"Process {process.pid} of {run.id} did not end within {ENDS_WITHIN:.0f} s.",
                    hint="It may belong to another user, or be waiting for a disk. Try again in a moment.",
                )
            time.sleep(0.02)
        _end_by_hand(run)

    def _require_active(self, run: RunDirectory, done: str) -> None:
        status = run.status()
        if not status.is_active:
            raise RunError(f"{run.id} can't be {done}: it is {status.state}.")

    # ---- looking -------------------------------------------------------------------------------------------------

    def runs(self) -> list[RunEntry]:
        """Return every run of the folder, newest first."""
        return list_entries(self.runs_dir)

    def attach(self, name: str | Path) -> RunDirectory:
        """Return a run by id or path, whoever started it."""
        return open_run(name, self.runs_dir)

    def active(self) -> list[RunDirectory]:
        """Return the runs that are at work or waiting, newest first."""
        return [entry.run for entry in self.runs() if entry.status.is_active]

    def wait(self, run: RunDirectory, timeout: float | None = None) -> str:
        """Wait until a run has ended and return its state; one whose process is lost meanwhile is resumed once.

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
        was_active = False
        while (status := run.status()).is_active or (was_active and self.resume_lost(run)):
            was_active = True
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"{run.id} is still {status.state} after {timeout} seconds.")
            time.sleep(_LOOK_EVERY)
        return status.state

    # ---- queue ---------------------------------------------------------------------------------------------------

    @property
    def queue(self) -> list[RunDirectory]:
        """The runs of the folder that wait for their turn, next first, whichever process has started them."""
        return self._queue.waiting()

    @property
    def at_once(self) -> int:
        """How many runs of the folder may be at work on this machine at once; those that queue wait for that."""
        return self._queue.at_once

    @at_once.setter
    def at_once(self, number: int) -> None:
        self._queue.at_once = number

    def tend_queue(self) -> None:
        """See to it that runs which wait are started, also those that a notebook has left which is gone."""
        self._queue.tend()


def _train_here(run: RunDirectory, module: nn.Module | None) -> None:
    try:
        from tb_widgets.engine.session import train_run

        train_run(run, module=module)
    except BaseException as error:  # noqa: BLE001 - a thread that ended without a word would leave the run active
        print_traceback()
        told = error if isinstance(error, TbError) else ServiceError(f"{type(error).__name__}: {error}")
        _fail(run, told.message, told.hint)


def require_data(spec: RunSpec) -> None:
    """Raise a :class:`DataError` where a spec's data can't be read."""
    if not resolve_source(spec.data).is_built_in:
        open_data(spec.data)


def _with_whole_paths(spec: RunSpec) -> RunSpec:
    """A run may be resumed from another folder, and must find its text there too."""
    source = spec.data.source
    if resolve_source(spec.data).kind != "files" or Path(source).is_absolute():
        return spec
    path = Path(source).expanduser()
    try:
        is_there = path.exists() or any(sign in source for sign in "*?[")
    except OSError:  # who reads it will say why that can't be
        is_there = False
    return spec.with_values({"data.source": str(path.absolute())}) if is_there else spec


def _is_let_go(run: RunDirectory) -> bool:
    """A killed process is gone a moment before the system frees its lock: give it that moment."""
    deadline = time.monotonic() + LET_GO_WITHIN
    while run.is_locked():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _queue_for(run: RunDirectory, owner: ProcessIdentity) -> None:
    before = read_status(run.status_file)
    queued = replace(before, state="queued", message="", hint="", phase="", heartbeat=time.time(), queued_at=None)
    write_status(run.status_file, replace(queued, **owner.as_status()))


def _tell_if_silent(run: RunDirectory, owner: ProcessIdentity | None, code: int, words: str) -> None:
    """Write down why a worker left before it wrote anything itself."""
    status = read_status(run.status_file)
    # A worker whose run failed may leave when the run is queued again already, for the next worker.
    if status.state == "queued" and (owner is None or status.pid == owner.pid):
        _fail(run, f"The training process ended before training began (exit code {code}). {words}".strip(), "")


def _end_by_hand(run: RunDirectory) -> None:
    status = read_status(run.status_file)
    message, hint = (
        f"Process ended manually at step {status.step:,}.",
        "Press Resume to continue from the newest checkpoint.",
    )
    write_status(run.status_file, replace(status, state="stopped", message=message, hint=hint, **AT_REST))


@contextmanager
def _failing(run: RunDirectory) -> Iterator[None]:
    """Write down why a run could not be started, or it would wait for ever: it counts as queued by this process."""
    try:
        yield
    except TbError as error:
        with contextlib.suppress(TbError):  # on a full disk, the first error is the one to tell
            _fail(run, error.message, error.hint)
        raise


def _fail(run: RunDirectory, message: str, hint: str) -> None:
    changes: dict[str, Any] = {"state": "failed", "message": message, "hint": hint, "queued_at": None}
    write_status(run.status_file, replace(read_status(run.status_file), **changes))
