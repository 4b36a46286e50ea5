"""Trying a model's code out without running it here.

A model's code may be anybody's. It runs in a process of its own, with neither secrets in its environment nor a way to
eat the machine: it has so much time and so much memory. Whatever it does (loop for ever, end its process, print
without end), the answer is a sentence, and this process goes on.

That catches accidents. It is no fence against malice, so nothing that needs consent is asked here before it has it.
"""

from __future__ import annotations

import logging
import math
import re
import signal
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import psutil

from tb_widgets.checks.result import CheckResult, read_result
from tb_widgets.errors import ModelError, TbError, UndecidedError, quoted
from tb_widgets.models import source_text
from tb_widgets.models import syntax as written
from tb_widgets.models.source import CODE, ModelSource
from tb_widgets.models.trust.consent import TrustStore
from tb_widgets.service.workers.process import LOOK_EVERY, TrialProcess
from tb_widgets.spec import ModelSpec, RunSpec
from tb_widgets.wording import size_in_words

logger = logging.getLogger(__name__)

ADAPT_WITHIN, CHECK_WITHIN, PREFLIGHT_WITHIN = 60.0, 180.0, 20.0  # seconds
COMPILE_WITHIN = 160.0  # seconds that a preflight has more for compiling
STEP_WITHIN = 60.0  # seconds for importing the code, building the model, calling it, and for each check
START_WITHIN = 60.0  # seconds that PyTorch may take to be imported
MEMORY_SHARE = 0.9  # of what is free
MUCH_PRINTED = 100_000  # bytes
PURPOSES = {"adapt": "Testing it", "check": "Checking it", "preflight": "Measuring it"}


def preflight_within(compiles: bool) -> float:
    """Return how many seconds a preflight takes at most."""
    return PREFLIGHT_WITHIN + COMPILE_WITHIN * compiles


ProbeState = Literal["working", "done", "failed", "stopped"]


@dataclass
class Probe:
    """One question to a model's code. It fills while the process works; nothing here touches a widget.

    Attributes
    ----------
    ask
        ``adapt``, ``check`` or ``preflight``.
    state
        ``working``, then ``done``, ``failed`` (``error`` says why) or ``stopped`` (by us).
    phase
        What is being done, in words; for checks the id of the check.
    results
        For ``check``: the results so far.
    answer
        For ``adapt``: ``title``, ``task``, ``parameters``, ``vocab_size``, ``decoder_vocab_size``, ``context_limit``,
        ``classes``, ``image``, ``leaks``, and ``conclusions``, a list of mappings with ``what``, ``value``, ``why``,
        ``override``. For ``check`` the same. For ``preflight``: what was measured so far, for
        :func:`tb_widgets.checks.preflight.read_preflight`.
    notes
        What the code did besides, one sentence each: files that it wrote, processes, a changed seed, much printing.
    error
        Why there is no answer.
    printed
        The end of what the code printed.
    """

    ask: Literal["adapt", "check", "preflight"]
    state: ProbeState = "working"
    phase: str = "Starting"
    results: list[CheckResult] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    error: TbError | None = None
    printed: str = ""
    finished: threading.Event = field(default_factory=threading.Event)
    _process: TrialProcess | None = None
    # Held by whatever changes the answer: it ends once, and is whole when ``finished`` is set.
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def known(cls, ask: Literal["adapt", "check", "preflight"], results: list[CheckResult]) -> Probe:
        """Return a question that was answered before."""
        probe = cls(ask, results=results)
        probe._end("done")
        return probe

    def wait(self, timeout: float | None = None) -> Probe:
        """Wait for the answer and return this probe.

        Raises
        ------
        ModelError, ServiceError
            If there is none, with the reason.
        TimeoutError
            If it takes longer than ``timeout`` seconds.
        """
        if not self.finished.wait(timeout):
            raise TimeoutError(f"No answer after {timeout} seconds.")
        if self.error is not None:
            raise self.error
        return self

    def stop(self) -> None:
        """End the process; there will be no more answer."""
        self._end("stopped")
        if self._process is not None:
            self._process.kill()

    def _end(self, state: ProbeState, error: TbError | None = None) -> None:
        with self._lock:
            if not self.finished.is_set():
                self.state, self.error, self.phase = state, error, ""
                self.finished.set()


class ProbeService:
    """Asks questions to models, each in a process of its own.

    Parameters
    ----------
    memory_limit
        Bytes that a model's code may use; most of what is free by default.
    time_limit
        Seconds for each question, instead of the usual ones.
    """

    # One for all services of this process, as with waiting training workers.
    _waiting: ClassVar[TrialProcess | None] = None
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, *, memory_limit: int | None = None, time_limit: float | None = None) -> None:
        self.memory_limit, self.time_limit = memory_limit, time_limit

    def warm(self) -> None:
        """Start a process that waits, so that the next question is taken up at once. Asking again does nothing."""
        with self._lock:
            if self._waiting is None or self._waiting.has_ended:
                ProbeService._waiting = TrialProcess()

    def close(self) -> None:
        """Send the waiting process away."""
        process = self._take()
        if process is not None:
            process.kill()

    def adapt(self, source: ModelSource, spec: ModelSpec) -> Probe:
        """Build a model and find out how it is called, for what it was built and what it can take.

        Returns at once; the answer grows in the returned object.

        Raises
        ------
        ModelError
            If the source needs consent and has none.
        ServiceError
            If no process can be started.
        """
        return self._ask("adapt", source, {"spec": _only(spec)}, self.time_limit or ADAPT_WITHIN)

    def check(self, source: ModelSource, spec: ModelSpec, *, tier: int = 2) -> Probe:
        """Make the checks of tier 1, or of both; otherwise as :meth:`adapt`."""
        request = {"spec": _only(spec), "tier": tier}
        return self._ask("check", source, request, self.time_limit or CHECK_WITHIN)

    def preflight(
        self,
        source: ModelSource,
        spec: RunSpec,
        *,
        chosen: Collection[str] | None = None,
        micro_batches: bool = False,
        compiles: bool = False,
    ) -> Probe:
        """Measure on this machine what a run would be like; otherwise as :meth:`adapt`.

        It ends after 20 seconds with what is known by then, and later where a compiler is tried.

        Parameters
        ----------
        chosen
            The fields that somebody chose: the others are fitted to the model first. ``None`` leaves all as they are.
        micro_batches
            Try several micro-batches as well.
        compiles
            Try compiling as well, which a spec with ``hardware.compile`` asks for by itself.
        """
        compiles = compiles or spec.hardware.compile
        request = {"spec": spec.to_mapping(), "micro_batches": micro_batches, "compiles": compiles}
        request["chosen"] = None if chosen is None else sorted(chosen)
        return self._ask("preflight", source, request, self.time_limit or preflight_within(compiles))

    def _ask(
        self,
        ask: Literal["adapt", "check", "preflight"],
        source: ModelSource,
        request: dict[str, Any],
        seconds: float,
    ) -> Probe:
        TrustStore().require(source, PURPOSES[ask])
        probe = Probe(ask)
        process = self._take()
        if process is None or process.has_ended:
            process = TrialProcess()
        probe._process = process
        memory = self.memory_limit or int(psutil.virtual_memory().available * MEMORY_SHARE)
        request |= {"ask": ask, "origin": source.origin, "files": source.files, "memory": memory}
        question = _Question(probe, process, request, seconds, memory)
        threading.Thread(target=question.follow, name=f"probe-{ask}", daemon=True).start()
        return probe

    def _take(self) -> TrialProcess | None:
        with self._lock:
            process, ProbeService._waiting = self._waiting, None
            return process


class _Question:
    """One question on its way, and who watches over it."""

    def __init__(
        self, probe: Probe, process: TrialProcess, request: dict[str, Any], seconds: float, memory: int
    ) -> None:
        self.probe, self.process, self.request = probe, process, request
        self.seconds, self.memory = seconds, memory
        request["seconds"] = seconds
        self._began = time.monotonic()
        self._deadline = self._began + START_WITHIN
        self._printed_before = 0
        self._problem: ModelError | None = None
        self._concluded = False
        self._lock = threading.Lock()

    def follow(self) -> None:
        """Ask, watch, and collect, until the process is gone; whatever happens, the probe ends."""
        try:
            self._follow()
        except Exception as error:
            logger.exception("a probe could not be followed")
            problem = ModelError(
                f"The answer of the model's process can't be read: {type(error).__name__}: {quoted(str(error))}.",
                hint="Try again; the traceback is in the log.",
            )
            self._conclude("failed", lambda: problem)

    def _follow(self) -> None:
        probe, process = self.probe, self.process
        if probe.ask == "preflight":  # its budget includes the start of the process
            self._deadline = time.monotonic() + self.seconds
            self.request["until"] = time.time() + self.seconds
        threading.Thread(target=self._watch, name="probe-watch", daemon=True).start()
        process.send(self.request, last=True)
        for answer in process.answers():
            if self._take_in(answer):
                break
        if (problem := self._problem) is not None:
            self._conclude("failed", lambda: problem)
        elif self._is_answered:
            self._conclude("done")
        else:
            self._conclude("failed", self._death)

    @property
    def _is_answered(self) -> bool:
        return bool(self.probe.answer) and self.probe.phase == "done"

    def _take_in(self, answer: dict[str, Any]) -> bool:
        """Take in an answer, and tell whether it is the last."""
        probe = self.probe
        now = time.monotonic()
        if "ready" in answer:
            self._printed_before = self.process.printed
            if probe.ask != "preflight":
                self._deadline = now + self.seconds
        if "phase" in answer:
            self._began = now
        with probe._lock:
            if probe.finished.is_set():
                return True
            probe.phase = answer.get("phase", probe.phase)
            probe.answer |= answer.get("answer", {})
            probe.notes += answer.get("notes", [])
            if "result" in answer:
                probe.results.append(read_result(answer["result"]))
        if "error" in answer:
            self._problem = ModelError(answer["error"], hint=answer["hint"])
            if asks := answer.get("asks"):
                self._problem = UndecidedError(answer["error"], hint=answer["hint"], **asks)
        return self._problem is not None or self._is_answered

    def _watch(self) -> None:
        probe, process = self.probe, self.process
        while not probe.finished.wait(LOOK_EVERY):
            step = (
                math.inf if probe.ask == "preflight" else self._began + STEP_WITHIN
            )  # that one has little time at all
            if time.monotonic() > min(self._deadline, step):
                if probe.ask == "preflight" and probe.answer:
                    self._conclude("done")  # what is known by now, and it says what is not
                else:
                    self._conclude("failed", self._too_slow)
            elif process.memory() > self.memory:
                self._conclude("failed", self._too_large)

    def _conclude(self, state: ProbeState, why: Callable[[], TbError] | None = None) -> None:
        """End the process, and then the probe. The first to conclude decides how: the death that follows is no news.

        ``why`` is asked while the process still lives.
        """
        with self._lock:
            if self._concluded:
                return
            self._concluded = True
        error = why() if why is not None else None
        self.process.kill()  # with what it started and left behind
        self._tell_rest()
        self.probe._end(state, error)

    def _tell_rest(self) -> None:
        probe, process = self.probe, self.process
        with probe._lock:
            if probe.finished.is_set():
                return
            probe.printed = process.words
            printed = process.printed - self._printed_before
            if printed > MUCH_PRINTED:
                probe.notes.append(f"The model's code printed {size_in_words(printed)}; only the end is kept.")
            if process.foreign:
                probe.notes.append("The model's code wrote to an internal pipe; that was ignored.")

    def _too_slow(self) -> TbError:
        """Say which step does not end, and at which line of the model's code it is."""
        phase = self.probe.phase
        is_check = phase[:1].islower()
        passed = time.monotonic() - self._began
        what = f"The check “{phase.replace('_', ' ')}”" if is_check else phase
        if is_check and passed < STEP_WITHIN:
            what, passed = "The checks", self.seconds
        return ModelError(
            f"{what} did not end within {passed:.0f} s{self._place()}.",
            hint="Look for an endless loop, or make the model smaller.",
        )

    def _too_large(self) -> TbError:
        return ModelError(
            f"The model's code used more than {size_in_words(self.memory)} of memory{self._while()} and was killed.",
            hint="Make the model or its inputs smaller.",
        )

    def _place(self) -> str:
        found = re.search(rf'>/{CODE}", line (\d+) in ', self.process.stack())
        if found is None:
            return ""
        number, code = int(found[1]), self.request["files"][CODE]
        inside = written.place(written.parse(code, CODE), number)
        line = quoted("".join(source_text.lines(code)[number - 1 : number]))
        return f"; it was at line {number} of {CODE}{', in ' if inside else ''}{inside}: `{line}`"

    def _death(self) -> TbError:
        code, last = self.process.code or 0, self.process.last_words()
        if code < 0:
            name = signal.Signals(-code).name
            reason = f"was killed by the system ({name})"
            hint = "Usually memory ran out." if name == "SIGKILL" else "The code crashed Python itself."
        else:
            reason, hint = f"ended its process (exit code {code})", "Remove exit calls such as os._exit from the code."
        return ModelError(f"The model's code {reason}{self._while()}. {last}".strip(), hint=hint)

    def _while(self) -> str:
        return f" ({self.probe.phase.lower()})" if self.probe.phase else ""


def _only(model: ModelSpec) -> dict[str, Any]:
    return {"model": model.model_dump()}
