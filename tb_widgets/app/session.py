"""What the dashboard does and knows, without a widget.

What a click does is a public method here, so a script can do the same, and the page can show the code of it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import traitlets

from tb_widgets.app.state.at_work import AtWork
from tb_widgets.app.state.data_choice import DataChoice
from tb_widgets.app.state.draft import Draft
from tb_widgets.app.state.fields import CARDS
from tb_widgets.app.state.locking import one_at_a_time
from tb_widgets.app.state.model_choice import ModelChoice
from tb_widgets.app.state.options import read_more_steps, read_option, usual_extension
from tb_widgets.app.state.watch import Watch
from tb_widgets.app.words import Message, error_message
from tb_widgets.errors import ConsentError, RunError, TbError
from tb_widgets.runs import RunDirectory, RunEntry
from tb_widgets.service.generation import Generation, GenerationService
from tb_widgets.service.models import require_frozen
from tb_widgets.service.policy import Policy
from tb_widgets.service.probing import Probe
from tb_widgets.service.run import Run
from tb_widgets.service.service import TrainingService
from tb_widgets.spec import RunSpec, task_record
from tb_widgets.wording import run_name

_LOOK_EVERY = 0.05  # seconds between two looks of a script that waits

DOUBLE_CLICK = 1.0  # seconds
Watched = Literal["draft", "model", "data", "run", "runs", "page"]
"""A part of a session that changes by itself: the form, its model, its data, the run in sight, all runs, the page."""

logger = logging.getLogger(__name__)


class Session(traitlets.HasTraits):
    """The commands and the state of a dashboard.

    A page observes ``step`` and ``message`` and calls :meth:`refresh`; a script reads and calls what it likes. It takes
    what a :class:`tb_widgets.app.dashboard.Dashboard` takes; without ``run`` it opens none.

    Attributes
    ----------
    step, field
        The step that a page should show, and the field in it to type into, which the page takes back to empty.
    message
        What was said last, to whoever pressed something; ``None`` if there is nothing to say.
    draft
        The next run, as far as it has been filled in; see :class:`tb_widgets.app.state.draft.Draft`.
    choice
        Fetches and tries models; see :class:`tb_widgets.app.state.model_choice.ModelChoice`.
    data
        Finds, fetches and looks at data; see :class:`tb_widgets.app.state.data_choice.DataChoice`.
    watch
        Follows the run in sight; see :class:`tb_widgets.app.state.watch.Watch`.
    policy
        What may be done here; see :class:`tb_widgets.service.policy.Policy`.
    generation
        The text that a checkpoint of the run in sight wrote last, or writes.
    untrusted
        A run from elsewhere that was to go on or to write, and whose code nobody here has agreed to run.
    work
        Which runs are at work or wait, and what was asked of them; see :class:`tb_widgets.app.state.at_work.AtWork`.
    has_page, figure_is_there, page_is_narrow
        What a page has said of itself. Before there is one, nothing slow is begun by itself.
    """

    step = traitlets.Unicode("train")
    field = traitlets.Unicode()
    message: Message | None = traitlets.Instance(Message, allow_none=True)  # type: ignore[assignment]

    def __init__(
        self, spec: RunSpec | None = None, *, runs_dir: str | Path | None = None, run: str | Path | None = None
    ) -> None:
        super().__init__()
        self.service = TrainingService(runs_dir)
        self.writer = GenerationService()
        self._lock = threading.RLock()
        self.policy = Policy(own=spec)
        self.draft = Draft(spec, self.policy)
        self.choice = ModelChoice(self.draft, self.policy)
        self.data = DataChoice(self.draft, self.policy, self._lock)
        self.watch = Watch()
        self.work = AtWork(self.service.runs_dir, self.policy, self.watch)
        self.generation: Generation | None = None
        self.untrusted: RunDirectory | None = None
        self._started_at = 0.0
        self.has_page = self.figure_is_there = self.page_is_narrow = False
        self._is_warm = False
        self._failure = ""
        self._failure_message: Message | None = None
        if run is not None:
            self.watch.attach(self.service.attach(run))

    # ---- what buttons do, and scripts may ------------------------------------------------------------------------

    @one_at_a_time
    def start(self) -> RunDirectory:
        """Start a run with what the form holds; while another one is at work, the new one waits for its turn.

        Raises
        ------
        TbError
            If the form holds something that can't be started, or the run can't be created.
        """
        self.draft.check(look_again=True)
        if self.draft.blockers:
            raise RunError("This can't be started yet. " + " ".join(self.draft.blockers))
        self.policy.require_spec(self.draft.spec)
        self.policy.require_room(self.service)
        self.work.refresh(now=True)  # one may have ended since
        run = self.service.start(self.draft.spec, queue=True, visitor=self.policy.visitor)
        self._started_at = time.monotonic()
        self._is_warm = False
        if self.work.first is None:
            self._attach(run)
            self.show("train")
        else:  # what is in sight stays there: the new run waits
            self.message = Message(
                f"{run_name(run.id, run.status().name)} waits for its turn.", "on", "The queue is under Runs."
            )
        self.work.refresh(now=True)
        return run

    @one_at_a_time
    def start_again(self) -> RunDirectory:
        """Start a new run with the settings of one that failed, changed so that it does not fail so again.

        Raises
        ------
        TbError
            If nobody knows what would help, or the run can't be started.
        """
        run = self._own_run()
        remedy = self.remedy()
        if not remedy:
            raise RunError("No setting is known to help here.", hint="Change one in the form, then press Start.")
        # A form that still holds these settings keeps what was chosen and what follows the model.
        if not self.draft.is_valid or self.draft.spec.differences(run.spec):
            self.draft.preset = ""
            self.draft.load(run.spec)
        for path, value in remedy.items():
            self.draft.set(path, value)
        return self.start()

    @one_at_a_time
    def extend(self, steps: int | str | None = None) -> None:
        """Go on with the run in sight for more steps, once it is done.

        Parameters
        ----------
        steps
            How many more, also as a person types it. By default those that it has left where it stopped early, else as
            many as it has done.

        Raises
        ------
        TbError
            If that is no number of steps, or the run can't go on.
        """
        run = self._own_run()
        status = run.status()
        more = read_more_steps(steps, status.step) if steps is not None else usual_extension(status)
        self.policy.require_spec(run.spec.with_values({"training.steps": status.step + more}))
        self.policy.require_room(self.service)
        with self._asking_for_consent(run):
            self.service.extend(run, more)
        self._ask("resume", run)

    @one_at_a_time
    def pause(self, run: RunDirectory | None = None) -> None:
        """Pause a run, that in sight by default, after its current step."""
        run = self._own_run(run)
        self.service.pause(run)
        self._ask("pause", run)

    @one_at_a_time
    def resume(self, run: RunDirectory | None = None) -> None:
        """Go on with a run, that in sight by default: at once after a pause, else from its newest checkpoint.

        Raises
        ------
        ConsentError
            If it was started elsewhere and nobody on this machine has agreed to run its code; the page then shows it.
        """
        run = self._own_run(run)
        if not run.status().is_active:
            self.policy.require_spec(run.spec)
            self.policy.require_room(self.service)
        with self._asking_for_consent(run):
            self.service.resume(run)
        self._ask("resume", run)

    @one_at_a_time
    def trust_run(self) -> None:
        """Agree to run the code in the folder of the run that waits for that; this is remembered for these very files.

        Raises
        ------
        TbError
            If no run waits for that, or your consent can't be remembered.
        """
        self.policy.require_owner("agree to run code")
        if self.untrusted is None:
            raise RunError("No run waits for your consent.", hint="Press Resume first, or ask a checkpoint something.")
        require_frozen(self.untrusted.model_folder, "Going on", trust=True)
        self.untrusted = None
        self.message = Message("You agreed to run this code.", "ok", "Press the same button again.")

    @one_at_a_time
    def leave_run_untrusted(self) -> None:
        """Do not agree to run the code of the run that waits for that."""
        self.untrusted = None

    @contextmanager
    def _asking_for_consent(self, run: RunDirectory) -> Iterator[None]:
        try:
            yield
        except ConsentError:
            self.untrusted = run
            raise

    @one_at_a_time
    def stop(self, run: RunDirectory | None = None) -> None:
        """Let a run, that in sight by default, finish its step, save, and leave; one that waits leaves the queue."""
        run = self._own_run(run)
        self.service.stop(run)
        self._ask("stop", run)

    @one_at_a_time
    def save_now(self, run: RunDirectory | None = None) -> None:
        """Let a run, that in sight by default, save a checkpoint after its current step."""
        run = self._own_run(run)
        self.service.save_now(run)
        self._ask("save", run)

    @one_at_a_time
    def put_first(self, run: RunDirectory) -> None:
        """Let a run that waits in the queue be the next."""
        self.policy.require_owner("change the order of the queue")
        self.service.put_first(self._own_run(run))
        self.work.refresh(now=True)

    @one_at_a_time
    def open_run(self, name: str | Path) -> None:
        """Show another run, by id or path, whoever trains or trained it; on a shared page one's own, by its id.

        Raises
        ------
        RunError
            If there is none.
        """
        run = self.service.attach(name) if self.policy.is_owner else self._own_by_id(str(name))
        self._attach(run)
        self.work.refresh(now=True)

    @one_at_a_time
    def use_preset(self, name: str) -> None:
        """Fill the form from a preset; model source and text stay."""
        self.draft.use_preset(name)

    @one_at_a_time
    def use_defaults(self) -> None:
        """Fill the form with what it begins with: model, data and settings. Runs stay as they are."""
        self.data.cancel()
        self.choice.cancel()
        self.draft.begin_again()

    @one_at_a_time
    def load_model(self, source: str) -> ModelChoice:
        """Take another model; returns at once, and what is found out about it arrives in the returned object.

        Parameters
        ----------
        source
            Any address of a Gist, ``hub:OWNER/NAME``, the path of a model.py or of its folder, or ``zoo:gpt``.

        Raises
        ------
        ModelError
            If there is no such model here; the one that was chosen before stays.

        Notes
        -----
        Nothing of a Gist or Hub repository is run before :meth:`trust_model`. A path that you type is consent.
        """
        self.choice.load(source)
        return self.choice

    @one_at_a_time
    def upload_model(self, files: Mapping[str, bytes]) -> ModelChoice:
        """Take a model from the content of its files by name: model.py and config.json, or one zip that holds them.

        Raises
        ------
        ModelError
            If one of the two is missing, too large, or not text.
        """
        self.choice.upload(files)
        return self.choice

    @one_at_a_time
    def trust_model(self) -> None:
        """Agree that this revision's code may run on this machine, with your permissions; it is then tried.

        Raises
        ------
        TbError
            If no model waits for that, or your consent can't be remembered.
        """
        self.choice.agree()

    @one_at_a_time
    def answer(self, answer: str) -> None:
        """Answer what only the author of a model knows, for example ``masked-lm``; the model is then tried again.

        Raises
        ------
        RunError
            If nothing is asked, or that is no answer.
        """
        self.choice.decide(answer)

    @one_at_a_time
    def stop_trying(self) -> None:
        """Stop fetching or trying the model.

        Raises
        ------
        RunError
            If nothing is being fetched or tried.
        """
        self.choice.stop()

    @one_at_a_time
    def repair_model(self, ids: Sequence[str]) -> None:
        """Apply these repairs to the model's source and no others; an empty list takes them back."""
        self.choice.repair(ids)

    @one_at_a_time
    def check_model(self, tier: Literal[1, 2] = 2) -> Probe:
        """Make the checks of tier 1, or of both, in a process of its own; results arrive in the returned object.

        Raises
        ------
        TbError
            If there is no model yet, or its code may not run.
        """
        self.policy.require_spec(self.draft.spec)
        return self.choice.check(tier)

    @one_at_a_time
    def preflight(self, *, micro_batches: bool = False) -> Probe:
        """Measure on this machine what a run with the form's settings would be like; the answer arrives in the object.

        Parameters
        ----------
        micro_batches
            Find out as well which micro-batch is the fastest.

        Raises
        ------
        TbError
            If there is no model yet, or its code may not run.
        """
        self.policy.require_spec(self.draft.spec)
        return self.choice.measure(micro_batches=micro_batches)

    def wait_for_model(self, timeout: float = 120.0) -> ModelChoice:
        """Wait until the model is fetched or tried, for scripts: the page looks by itself.

        Raises
        ------
        ModelError
            If what was asked for can't be had; the model that was chosen before stays.
        TimeoutError
            If that takes longer than ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        fetches = self.choice.state == "fetching"
        self.refresh()
        while self.choice.state in ("fetching", "trying"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"The model is still {self.choice.state} after {timeout} seconds.")
            time.sleep(_LOOK_EVERY)
            self.refresh()
        if fetches and self.choice.refused is not None:
            raise self.choice.refused.error
        return self.choice

    @one_at_a_time
    def use_what_fits(self) -> None:
        """Choose the text and the sizes that fit the model, in place of what you chose and it can't use."""
        self.draft.use_what_fits()

    @one_at_a_time
    def use_settings_of_run(self) -> None:
        """Fill the form with the settings of the run in sight, for a new run."""
        self.draft.preset = ""
        self.draft.load(self._run().spec)
        self.show("train")

    @one_at_a_time
    def generate(
        self,
        prompt: str,
        *,
        checkpoint: str = "best",
        temperature: float | str = 0.8,
        top_k: int | str | None = 40,
        length: int | str = 120,
        seed: int = 0,
    ) -> Generation:
        """Let a checkpoint of the run in sight continue a prompt; the text grows in the returned object.

        A model that sorts images takes no prompt: it looks at ``length`` shapes that ``seed`` chooses.

        Parameters
        ----------
        checkpoint
            ``best``, ``last`` or a step.
        temperature, top_k, length
            Numbers, also as a person types them; an empty ``top_k`` means all tokens.
        seed
            The same seed writes the same text.

        Raises
        ------
        TbError
            If there is no such checkpoint, or a number is out of its range.
        """
        run = self._run()
        record = task_record(self.watch.task)
        if not prompt.strip() and not (record.continues or record.reads_images):
            raise RunError("The prompt is empty.", hint=f"Enter a text, then press {record.ask_verb}.")
        found = Run(run.path).checkpoint(checkpoint)
        options = {
            "temperature": read_option("Temperature", temperature),
            "top_k": read_option("Top k", top_k),
            "length": read_option("Length", length),
            "seed": seed,
        }
        with self._asking_for_consent(run):
            self.generation = self.writer.generate(run, found.path, prompt, **options)
        return self.generation

    @one_at_a_time
    def stop_writing(self) -> None:
        """Stop the text that is being written."""
        self.writer.stop()

    @one_at_a_time
    def show(self, step: str) -> None:
        """Ask the page to show a step, for example ``train``."""
        self.step = step

    @one_at_a_time
    def try_it(self) -> None:
        """Show where a checkpoint of the run in sight answers prompts."""
        self._run()
        self.show("runs")
        self.field = "playground"

    @one_at_a_time
    def show_field(self, path: str) -> None:
        """Ask the page to show a field of the form, by its path in the spec, and to begin typing there."""
        section = path.partition(".")[0]
        self.show({"model": "model", "data": "data", "tokenizer": "data"}.get(section, "train"))
        self.field = path

    @one_at_a_time
    def close(self) -> None:
        """End what was begun, except for runs: they go on without it."""
        self.choice.close()
        self.data.close()
        self.writer.close()
        self.service.close()

    def remedy(self) -> dict[str, Any]:
        """Return the settings with which the run in sight would not fail again as it did, by their paths."""
        status = self.watch.status
        found = (status.remedy or {}) if status is not None and status.state == "failed" else {}
        return {
            path: int(value) if CARDS[path].kind == "int" else value for path, value in found.items() if path in CARDS
        }

    @property
    def has_just_started(self) -> bool:
        """Whether a run was started a moment ago: the second click of a double click starts no other one."""
        return time.monotonic() - self._started_at < DOUBLE_CLICK

    def code(self) -> str:
        """Return Python and a terminal command that do what Start does."""
        refused = "".join(f"# Left out, because it can't be started: {reason}\n" for reason in self.draft.blockers)
        folder = self.service.runs_dir.absolute()
        elsewhere = None if folder == Path("runs").absolute() or not self.policy.is_owner else folder
        return f"{refused}# Python\n{self.draft.code(elsewhere)}\n\n# Terminal\n{self.draft.command(elsewhere)}"

    @property
    def is_writing(self) -> bool:
        """Whether a checkpoint writes a text at this moment."""
        return self.generation is not None and not self.generation.finished.is_set()

    @property
    def is_busy(self) -> bool:
        """Whether something moves: the run in sight, a text, the model or the data."""
        status = self.watch.status
        active = status is not None and status.is_active
        return active or self.is_writing or self.choice.is_busy or self.data.is_busy

    @property
    def versions(self) -> Mapping[Watched, object]:
        """Values that differ from what they were before once that part of the session has changed."""
        return {
            "draft": self.draft.version,
            "model": self.choice.version,
            "data": self.data.version,
            "run": self.watch.version,
            "runs": self.work.version,
            "page": (self.has_page, self.figure_is_there, self.page_is_narrow),
        }

    # ---- from one moment to the next -----------------------------------------------------------------------------

    def act(self, handler: Callable[[], Any]) -> None:
        """Run a click's handler: one at a time, its error told in words, its traceback in the log.

        Handlers may arrive on any thread of the kernel; this lock is what makes them one after the other.
        """
        with self._lock:
            self.message = None
            try:
                handler()
            except ConsentError as error:
                if self.untrusted is None:  # else the page shows the code and asks
                    self.message = error_message(error)
            except TbError as error:
                logger.info("shown to the user", exc_info=True)
                self.message = error_message(error)
            except Exception as error:
                logger.exception("a click failed")
                text = f"Something in tb_widgets failed: {type(error).__name__}: {error}"
                self.message = Message(text, "bad", "The traceback is in the notebook server's log.")
            self.bring_up_to_date()

    def refresh(self) -> None:
        """Read what is new. The heartbeat of a page calls this; so may a script."""
        with self._lock:
            self.watch.refresh()
            self.choice.refresh(may_try=self.has_page)
            self.data.refresh(may_look=self.has_page)
            for ended in self.work.refresh():
                if not self.service.resume_lost(ended.run):
                    self._tell_of(ended)

    def bring_up_to_date(self, before: Callable[[], None] | None = None) -> None:
        """Refresh. One refresh that fails must not end the heartbeat: a message says so, the next tries again.

        The log gets one traceback for a failure that lasts, and the message goes when it is over.
        """
        try:
            if before is not None:
                before()
            self.refresh()
        except Exception as error:
            if repr(error) != self._failure:
                logger.exception("the page could not be brought up to date")
            self._failure = repr(error)
            self._failure_message = (
                error_message(error)
                if isinstance(error, TbError)
                else Message("The page could not be brought up to date.", "bad", f"Trying again. {self._failure[:200]}")
            )
            if self.message is None:
                self.message = self._failure_message
        else:
            if self._failure and self.message == self._failure_message:
                self.message = None
            self._failure = ""

    def open_newest(self) -> None:
        """Show the newest run that is at work, if no run is open yet."""
        if self.watch.run is None:
            entries = (entry for entry in self.service.runs() if self.policy.may_see(entry.status))
            found = next((entry.run for entry in entries if entry.status.is_active), None)
            if found is not None:
                self.watch.attach(found)

    def warm(self) -> None:
        """Let a worker wait for the next start, once, unless a run is at work."""
        if self._is_warm or (self.watch.status is not None and self.watch.status.is_active):
            return
        self._is_warm = True
        try:
            self.service.warm()
        except TbError as error:
            self.message = error_message(error)
        except Exception:
            logger.exception("no worker could be made to wait")  # the next start tries itself, and says what it finds

    def _tell_of(self, ended: RunEntry) -> None:
        """Say that a run has ended which is not in sight; of that one the bar speaks."""
        if self.message is None and (self.watch.run is None or self.watch.run.id != ended.run.id):
            status = ended.status
            tone = "ok" if status.state == "done" else "bad" if status.state == "failed" else "warn"
            name = run_name(ended.run.id, status.name)
            self.message = Message(f"{name} is {status.state}.", tone, f"{status.message} Open it under Runs.".strip())

    def _run(self) -> RunDirectory:
        if self.watch.run is None:
            raise RunError("No run is open.", hint="Press Start, or choose one under Runs.")
        return self.watch.run

    def _attach(self, run: RunDirectory) -> None:
        """Show another run; what was generated or asked of the one before is not its."""
        if self.is_writing:
            self.writer.stop()
        self.watch.attach(run)
        self.generation = self.untrusted = None

    def _own_run(self, run: RunDirectory | None = None) -> RunDirectory:
        """Return a run, that in sight by default, which whoever is at the page may steer."""
        run = run or self._run()
        self.policy.require_steering(run.id, run.status())
        return run

    def _own_by_id(self, name: str) -> RunDirectory:
        for entry in self.service.runs():
            if entry.run.id == name and self.policy.may_see(entry.status):
                return entry.run
        raise RunError("There is no run of yours with this id.", hint="Choose one in the table under Runs.")

    def _ask(self, what: str, run: RunDirectory) -> None:
        self.work.ask(what, run)
        self._is_warm = False
        self.watch.refresh()
