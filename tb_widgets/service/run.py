"""Runs as scripts see them: train, look, steer, plot, generate."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tb_widgets.errors import FAILED, RunError, TrainingError
from tb_widgets.models.trust.consent import require_frozen
from tb_widgets.runs import CheckpointInfo, RunDirectory, State, Status, default_runs_dir, list_entries, open_run
from tb_widgets.runs.baselines import Baselines
from tb_widgets.runs.checkpoints import pin
from tb_widgets.runs.environment import MACHINE, differences
from tb_widgets.runs.journal import Record, iter_records, read_records
from tb_widgets.service.evaluating import evaluate_checkpoint
from tb_widgets.service.gathering import gather
from tb_widgets.service.preparing import prepared
from tb_widgets.service.service import FOREIGN, LIVE, TrainingService
from tb_widgets.spec import TASKS, RunSpec, Task, asked_for

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from torch import nn

    from tb_widgets.display.hints import Hint


@dataclass(frozen=True)
class Checkpoint:
    """A saved state of a run, which can write text.

    ``info`` holds its step, size in bytes, validation metrics, and whether it is the best or pinned.
    """

    run: RunDirectory
    info: CheckpointInfo

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        return self.info.step

    @property
    def path(self) -> Path:
        """The checkpoint's folder."""
        return self.info.path

    @property
    def metrics(self) -> dict[str, float]:
        """Validation metrics at this step, empty where none were taken."""
        return self.info.metrics

    def generate(
        self,
        prompt: str = "",
        *,
        length: int = 200,
        temperature: float = 0.8,
        top_k: int | None = 40,
        seed: int = 0,
        module: nn.Module | None = None,
        trust: bool = False,
    ) -> str:
        """Return the prompt continued by this checkpoint's model; where its task is another one, its answer.

        A masked language model fills each ``[MASK]`` of the prompt, a sequence-to-sequence model turns the prompt into
        another text, a classifier says how probable each class is. A classifier of images is shown shapes that it has
        never seen, ``length`` of them and 16 at most, and answers a line for each. The model is built in this process,
        and one from a Gist or the Hub in a process of its own. It has one thread there unless the run's spec says how
        many (``hardware.threads``); what this process has set is restored.

        Parameters
        ----------
        prompt
            Where to begin; empty begins with the validation text's first token.
        length
            New tokens.
        temperature
            0 always takes the likeliest token, 1 follows the model's probabilities.
        top_k
            Choose among the k likeliest tokens; None among all.
        module
            Needed for a run that trained a live ``nn.Module``: one of the same shape; its weights are replaced.
        trust
            Agree to run the code in the run's folder, where it was not started on this machine; this is remembered.

        Raises
        ------
        ConsentError
            If nobody on this machine has agreed to run that code.
        CheckpointError
            If the weights do not fit the model.
        ServiceError
            If the process of its own fails; the message says why.
        """
        options: dict[str, Any] = {"length": length, "temperature": temperature, "top_k": top_k, "seed": seed}
        if module is None and self.run.spec.model.source.startswith(FOREIGN):
            task, text = self._write_apart(prompt, trust=trust, **options)
        else:
            if module is None:
                require_frozen(self.run.model_folder, "Generating", trust=trust)
            from tb_widgets.engine.inference.writer import open_writer

            with _threads(self.run.spec.hardware.threads):
                writer = open_writer(self.run, self.path, module=module)
                task, text = writer.model.task, "".join(writer.write(prompt, **options))
        return prompt + text if task is not None and TASKS[task].continues else text

    def _write_apart(self, prompt: str, **options: Any) -> tuple[Task | None, str]:
        from tb_widgets.service.generation import GenerationService

        service = GenerationService()
        try:
            text = service.generate(self.run, self.path, prompt, **options)
            text.finished.wait()
        finally:
            service.close()
        text.raise_failure()
        return text.task, text.text

    def evaluate(self, *, batches: int | None = None, trust: bool = False) -> dict[str, float]:
        """Return every validation metric by its key, over all validation data.

        Parameters
        ----------
        batches
            How many batches are read; all of them by default.
        trust
            Agree to run the code in the run's folder, where it was not started on this machine; this is remembered.

        Raises
        ------
        TrainingError
            If the model or its data can't be used any more.
        ConsentError
            If nobody on this machine has agreed to run that code.

        Examples
        --------
        >>> Run("latest").best.evaluate()  # doctest: +SKIP
        {'val/loss': 3.211, 'val/perplexity': 24.8, 'val/accuracy': 0.37}
        """
        return evaluate_checkpoint(self.run, self.path, batches=batches, trust=trust)

    def pin(self, pinned: bool = True) -> None:
        """Keep this checkpoint for ever, or let the run's rules decide again."""
        pin(self.path, pinned)


@contextlib.contextmanager
def _threads(asked: int | Literal["auto"]) -> Iterator[None]:
    """Let torch use so many threads for a while; ``auto`` is one, as for the page and the terminal.

    One token at a time is too little work to share: with more of them, a training beside it makes it wait many times.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1 if asked == "auto" else asked)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Run:
    """A run, wherever it was started and whether or not it is still at work.

    Parameters
    ----------
    path
        A run's folder, or its id inside ``runs_dir`` (a part that fits only one will do; ``"latest"`` is the newest).
    runs_dir
        ``TB_RUNS_DIR`` or ``./runs`` by default.

    Examples
    --------
    >>> run = Run("latest")  # doctest: +SKIP
    >>> run.state, run.best.metrics["val/loss"]  # doctest: +SKIP
    ('done', 2.31)
    """

    def __init__(self, path: str | Path, runs_dir: str | Path | None = None) -> None:
        self.directory = open_run(path, runs_dir)
        self._service = TrainingService(self.directory.path.parent)

    def __repr__(self) -> str:
        status = self.status
        return f"<Run {self.id}: {status.state}, step {status.step:,} of {status.total:,}>"

    @property
    def id(self) -> str:
        """The run's id, which is its folder's name."""
        return self.directory.id

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.directory.path

    @property
    def spec(self) -> RunSpec:
        """What was asked for."""
        return self.directory.spec

    @property
    def status(self) -> Status:
        """State, step, speed, time left and newest metrics, as they can be believed at this moment."""
        return self.directory.status()

    @property
    def state(self) -> State:
        """One of queued, preparing, running, paused, stopping, done, stopped, failed, interrupted."""
        return self.status.state

    @property
    def environment(self) -> dict[str, Any]:
        """What it ran on: packages, code version, hardware, seed, checksums of data and model."""
        return self.directory.environment

    def environment_differences(self, other: Run | None = None) -> dict[str, tuple[Any, Any]]:
        """Return in what another run's environment differs, or this machine as it is now where none is given.

        Returns
        -------
        dict
            ``{"packages.torch": ("2.10.0", "2.11.0"), ...}``: this run's and the other's; ``None`` where one has none.

        Raises
        ------
        RunError
            If a run has not begun yet.
        """
        if other is not None:
            return differences(self.environment, other.environment)
        then = {key: value for key, value in self.environment.items() if key in MACHINE}
        return differences(then, this_machine(self.spec))

    @property
    def metrics(self) -> list[Record]:
        """The whole journal: one dictionary a line, ready for ``pandas.DataFrame``."""
        return read_records(self.directory.metrics_file)

    @property
    def events(self) -> list[Record]:
        """What happened, in order: started, checkpoints, warnings, pauses, the end."""
        return read_records(self.directory.events_file)

    @property
    def baselines(self) -> dict[str, float]:
        """Losses that guessing and counting the training data get on the validation data, by name, highest first."""
        return {line.name: line.loss for line in self._baselines().lines}

    def _baselines(self) -> Baselines:
        return Baselines(iter_records(self.directory.events_file))

    @property
    def hints(self) -> list[Hint]:
        """What the curves tell, the most urgent first: of each hint its ``sentence``, ``why`` and ``action``."""
        from tb_widgets.display.hints import hints_of

        return hints_of(self.directory, self.status)

    @property
    def samples(self) -> list[Record]:
        """What the model wrote while it trained."""
        return read_records(self.directory.samples_file)

    @property
    def log(self) -> str:
        """The end of what the worker printed."""
        return "\n".join(self.directory.log_tail(200))

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """The whole checkpoints, oldest first."""
        return [Checkpoint(self.directory, info) for info in self.directory.checkpoints()]

    @property
    def best(self) -> Checkpoint:
        """The checkpoint with the best monitored metric.

        Raises
        ------
        RunError
            If there is none yet.
        """
        for checkpoint in self.checkpoints:
            if checkpoint.info.best:
                return checkpoint
        raise RunError(f"{self.id} has no evaluated checkpoint yet.", hint="Wait for its first evaluation.")

    @property
    def last(self) -> Checkpoint:
        """The newest checkpoint.

        Raises
        ------
        RunError
            If there is none yet.
        """
        if not (found := self.checkpoints):
            raise RunError(f"{self.id} has no checkpoint yet.", hint="Wait for its first evaluation, or save one now.")
        return found[-1]

    def checkpoint(self, which: str | int = "best") -> Checkpoint:
        """Return a checkpoint: ``"best"``, ``"last"``, or the one of a step."""
        if which == "best":
            return self.best
        if which == "last":
            return self.last
        for checkpoint in self.checkpoints:
            if str(checkpoint.step) == str(which):
                return checkpoint
        steps = ", ".join(str(checkpoint.step) for checkpoint in self.checkpoints) or "none"
        raise RunError(f"{self.id} has no checkpoint of step {which}.", hint=f"There are: {steps}.")

    def pause(self) -> None:
        """Let the run wait after its current step."""
        self._service.pause(self.directory)

    def extend(self, steps: int, *, module: nn.Module | None = None, trust: bool = False) -> None:
        """Train a run that is done for more steps; ``module`` and ``trust`` as for :meth:`resume`.

        Raises
        ------
        ConsentError, RunError
            As :meth:`resume` does; also if the run is not done.
        """
        if self.state == "done":
            gather(self.spec)  # its copy may have made room for others since
        self._service.extend(self.directory, steps, module=module, trust=trust)

    def resume(self, *, module: nn.Module | None = None, trust: bool = False, from_start: bool = False) -> None:
        """Go on: after a pause at once, after an end from the newest checkpoint.

        Parameters
        ----------
        module
            Needed for a run that trained a live ``nn.Module``: one of the same shape.
        trust
            Agree to run the code in the run's folder, where it was not started on this machine; this is remembered.
        from_start
            Agree to begin again at step 0 where no checkpoint is whole any more. What the journal holds is kept in
            ``metrics.old.jsonl``.
        """
        if not self.status.is_active:
            gather(self.spec)  # its copy may have made room for others since
        self._service.resume(self.directory, module=module, trust=trust, from_start=from_start)

    def stop(self) -> None:
        """Let the run finish its step, save, and leave."""
        self._service.stop(self.directory)

    def save_now(self) -> None:
        """Let the run save a checkpoint after its current step."""
        self._service.save_now(self.directory)

    def kill(self) -> None:
        """End the run's process at once."""
        self._service.kill(self.directory)

    def wait(self, timeout: float | None = None, *, show_progress: bool = False) -> Run:
        """Wait for the end.

        Parameters
        ----------
        timeout
            Seconds; None waits for ever.
        show_progress
            Draw a progress bar in the notebook or terminal.

        Raises
        ------
        RunError
            If the run failed or was cut off; the message says why.
        TimeoutError
            If it has not ended in time.
        """
        if show_progress:
            from tb_widgets.display.terminal import watch

            was_active = self.status.is_active
            watch(self.directory, timeout=timeout)
            while was_active and self._service.resume_lost(self.directory):
                watch(self.directory, timeout=timeout)
        else:
            self._service.wait(self.directory, timeout)
        status = self.status
        if status.state in ("failed", "interrupted"):
            raise RunError(
                f"{self.id} {status.state}: {status.message}",
                hint=status.hint or f"See {self.directory.log_file}.",
                exit_code=FAILED,
            )
        return self

    def plot(self) -> Figure:
        """Return a Plotly figure of loss, perplexity, accuracy and learning rate."""
        from tb_widgets.display.figure import run_figure
        from tb_widgets.display.marks import marks_of

        records = iter_records(self.directory.metrics_file)
        return run_figure(
            records, title=self.id, task=self.status.task, baselines=self._baselines(), marks=marks_of(self.events)
        )


def this_machine(spec: RunSpec) -> dict[str, Any]:
    """Return what would be true of a run that began now: packages, code versions, hardware.

    A device that is not here counts as ``auto``.
    """
    from tb_widgets.engine.environment import machine_environment, project_folder
    from tb_widgets.engine.hardware import choose_device

    try:
        chosen = choose_device(spec.hardware.device)
    except TrainingError:
        chosen = choose_device("auto")
    return machine_environment(chosen, project_folder(spec))


def list_runs(runs_dir: str | Path | None = None) -> list[Run]:
    """Return the runs of a folder, newest first."""
    folder = Path(runs_dir) if runs_dir is not None else default_runs_dir()
    return [Run(entry.run.path) for entry in list_entries(folder)]


def train(
    spec: RunSpec | str | Path | None = None,
    *,
    preset: str | None = None,
    model: str | Path | nn.Module | None = None,
    data: str | Path | None = None,
    runs_dir: str | Path | None = None,
    trust: bool = False,
    wait: bool = True,
    show_progress: bool = True,
    settings: dict[str, Any] | None = None,
    **fields: Any,
) -> Run:
    """Train a model, and return its run.

    A model that is not ours is tried first, and fields that nobody chose are fitted to it: data that its task can
    learn from, a context and a vocabulary that it can take. Whatever a spec, ``settings`` or ``fields`` give stays.

    Parameters
    ----------
    spec
        A spec or the path of its YAML file; otherwise ``preset`` (``quick``, ``small``, ``standard``,
        ``shakespeare-char``), otherwise the default spec.
    model
        ``zoo:gpt``, a path, a Gist's address, ``hub:OWNER/NAME``, or a live ``nn.Module``, which is trained in this
        process.
    data
        ``python-docs``, ``python-source``, the path of a file, folder or glob, ``https://...``, or
        ``hub:OWNER/NAME``; what is elsewhere is fetched first.
    runs_dir
        ``TB_RUNS_DIR`` or ``./runs`` by default.
    trust
        Agree to run the code of a Gist or Hub repository; this is remembered for these very files.
    wait
        Return when the run has ended; otherwise at once.
    show_progress
        Draw a progress bar while fetching and waiting.
    settings
        Fields by their dotted names, for example ``{"training.learning_rate": 3e-4}``.
    **fields
        Fields whose last name is unique, for example ``steps=200, learning_rate=3e-4``.

    Raises
    ------
    SpecError
        With every field that is wrong.
    ModelError
        If the model can't be had, built or run, its task can't be told, or it sees the tokens that it should predict;
        or if it comes from elsewhere and nobody has agreed to run its code.
    DataError
        If data from elsewhere can't be had.
    RunError
        If the run failed while it was waited for.

    Examples
    --------
    >>> run = train(preset="quick", steps=100)  # doctest: +SKIP
    >>> print(run.best.generate("The import statement"))  # doctest: +SKIP
    """
    live, named, settings = None, None, dict(settings or {})
    if isinstance(model, (str, Path)):
        named = model
    elif model is not None:
        live = model
        settings |= {"hardware.backend": "kernel", "model.source": f"{LIVE}{type(model).__name__}"}
    asked, chosen = asked_for(spec, preset, model=named, data=data, settings=settings, fields=fields)
    screen = None
    if show_progress:
        from tb_widgets.display.terminal import Screen

        screen = Screen()
    ready = prepared(asked, chosen=chosen, module=live, trust=trust, screen=screen)
    run = Run(TrainingService(runs_dir).start(ready, module=live).path)
    if wait:
        # Interrupting the cell leaves the run at work; it can be watched, paused or stopped from anywhere.
        run.wait(show_progress=show_progress)
    return run
