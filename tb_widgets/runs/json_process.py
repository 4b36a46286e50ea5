"""Processes of ours that are asked and answer in lines of JSON: how they are started, heard, and ended.

What runs in such a process may be anybody's code: it may print into the pipe of the answers, print without end, start
programs that outlive it or hold its pipes open, or die in the middle of a line. None of that keeps whoever asked.
"""

from __future__ import annotations

import json
import math
import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, NoReturn, cast

import psutil

from tb_widgets.errors import FAILED, ServiceError, TbError

KEPT_WORDS = 8192  # bytes of what the process printed last
KEPT_FOREIGN = 65536  # bytes of what came among its answers
LONGEST = 64_000_000  # bytes of one answer; what has no end must not fill our memory
PIPES_WITHIN = 1.0  # seconds after its end in which its pipes are read: what has left its group may hold them for ever
ENDS_WITHIN = 5.0  # seconds that a killed process may take; one that waits for a disk takes longer
PARENT_EVERY = 2.0  # seconds between two looks whether the parent lives


class JsonProcess:
    """A module run as a process of its own group, which takes requests and gives answers.

    Each request carries a word that nobody else knows, and only lines that begin with it are answers.

    Parameters
    ----------
    module
        Run as ``python -m module PARENT``, with the pid of this process. It answers by an :class:`Asker`.
    environment
        All variables that it knows.
    name
        What it is, for the error.
    raises
        The error if the system can't start another process.
    folder
        Where it stands; here by default.
    outlives
        Whether it may outlive this process: then it gives no answers, and prints into a file that nobody else can find.

    Raises
    ------
    ServiceError
        If it can't be started; or what ``raises`` says.

    Attributes
    ----------
    printed
        How many bytes it has printed.
    foreign
        What came among the answers and is none, the first 64 kB of it.
    """

    def __init__(
        self,
        module: str,
        environment: Mapping[str, str],
        *,
        name: str = "worker process",
        raises: type[TbError] = ServiceError,
        folder: str | Path | None = None,
        outlives: bool = False,
    ) -> None:
        try:
            # Where nobody reads a pipe any more, whoever prints into it gets an error.
            self._file = tempfile.TemporaryFile() if outlives else None  # noqa: SIM115 - open as long as we are
            self._popen = subprocess.Popen(
                [sys.executable, "-u", "-m", module, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=self._file or subprocess.PIPE,
                stderr=self._file or subprocess.PIPE,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise raises(
                f"A {name} can't be started: {error.strerror or error}.",
                hint="Free some memory or disk space, then try again.",
            ) from error
        self.pid = self._popen.pid
        self.printed, self.foreign, self._words = 0, b"", b""
        self._word = secrets.token_hex(16)
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        # Both pipes are read all the time, or a process that prints much would wait for us.
        readers = [] if outlives else [_thread(self._read_answers), _thread(self._read_words)]
        self._end = _thread(self._await_end, readers)

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self.code is not None

    @property
    def code(self) -> int | None:
        """Its exit code; None while it lives."""
        return self._popen.poll()

    @property
    def words(self) -> str:
        """The end of what the process printed, besides answers; of one that outlives us once it has ended."""
        return self._words.decode(errors="replace")

    def last_words(self, lines: int = 3) -> str:
        """Return the last lines of what the process printed, as one."""
        return " ".join(self.words.splitlines()[-lines:])

    def send(self, request: Mapping[str, Any], *, last: bool = False) -> bool:
        """Ask, and tell whether the process listens. After the ``last`` request it is sent no more."""
        stdin = cast("IO[bytes]", self._popen.stdin)
        try:
            stdin.write(json.dumps({**request, "word": self._word}).encode() + b"\n")
            stdin.flush()
        except (OSError, ValueError):  # it has died, or its pipe is closed already
            self.hang_up()
            return False
        if last:
            self.hang_up()
        return True

    def hang_up(self) -> None:
        """Send no more requests, at which a process that waits for one leaves."""
        with suppress(BrokenPipeError):  # of a request that nobody reads
            cast("IO[bytes]", self._popen.stdin).close()

    def answers(self, until: float = math.inf) -> Iterator[dict[str, Any]]:
        """Yield the answers as they come, until the process has ended or a moment of ``time.monotonic()`` is over."""
        with suppress(queue.Empty):
            while True:
                wait = None if until == math.inf else max(0.0, until - time.monotonic())
                answer = self._answers.get(timeout=wait)
                if answer is None:
                    self._answers.put(None)  # for whoever listens next
                    return
                yield answer

    def wait(self) -> int:
        """Wait until the process is gone and everything that it said is here; return its exit code."""
        self._end.join()
        return self._popen.returncode

    def kill(self) -> None:
        """End the process with everything that it started."""
        if not self.has_ended:
            end_with_children(self.pid)
        self._end.join(ENDS_WITHIN)

    def _read_answers(self) -> None:
        with cast("IO[bytes]", self._popen.stdout) as pipe:
            while line := pipe.readline(LONGEST):
                word, _, answer = line.partition(b" ")
                if word == self._word.encode():
                    with suppress(ValueError, RecursionError):  # torn by somebody who wrote at the same moment
                        self._answers.put(json.loads(answer))
                elif line.strip():
                    self.foreign = (self.foreign + line)[:KEPT_FOREIGN]

    def _read_words(self) -> None:
        with cast("BufferedReader", self._popen.stderr) as pipe:
            while piece := pipe.read1(65536):
                self.printed += len(piece)
                self._words = (self._words + piece)[-KEPT_WORDS:]

    def _await_end(self, readers: list[threading.Thread]) -> None:
        # Somebody must collect the exit code, or the ended process stays in the system's table.
        self._popen.wait()
        self.hang_up()
        if self._file is None:
            _end_group(self.pid)
        else:
            with self._file as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - KEPT_WORDS))
                self._words = file.read()
        until = time.monotonic() + PIPES_WITHIN
        for reader in readers:
            reader.join(max(0.0, until - time.monotonic()))
        self._answers.put(None)


class Asker:
    """Whoever started this process by a :class:`JsonProcess`, as it is seen from here.

    From now on input is at its end and what anybody prints goes where errors go: requests and answers have their pipes
    to themselves. This process leaves when whoever asks is gone.
    """

    def __init__(self) -> None:
        self._requests = os.fdopen(os.dup(0), encoding="utf-8")
        self._answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        self._word = ""
        leave_with(int(sys.argv[1]))

    def fileno(self) -> int:
        """Return the descriptor of the pipe of the answers; what else is written there arrives as ``foreign``."""
        return self._answers.fileno()

    def requests(self) -> Iterator[dict[str, Any]]:
        """Yield what is asked, until whoever asks hangs up."""
        for line in self._requests:
            request = json.loads(line)
            self._word = request.pop("word")
            yield request

    def serve(self, answer: Callable[[dict[str, Any]], None], *, failing: str = "") -> int:
        """Answer all requests, and return the exit code.

        An error is an answer as well: ``error``, ``hint``, ``exit_code``.
        ``failing`` says what a model failed at, whose code may raise anything; otherwise only our own errors are told.
        """
        for request in self.requests():
            try:
                answer(request)
            except TbError as error:
                self.tell(error=error.message, hint=error.hint, exit_code=error.exit_code)
            except Exception as error:
                if not failing:
                    raise
                traceback.print_exc()
                told = f"The model failed {failing}: {type(error).__name__}: {error}"
                self.tell(error=told, hint="", exit_code=FAILED)
        return 0

    def tell(self, **answer: Any) -> None:
        """Give one answer to the last request."""
        try:
            # On a line of its own, whatever somebody may have left unfinished before it.
            self._answers.write(f"\n{self._word} {json.dumps(answer)}\n")
        except OSError:  # whoever asked is gone
            leave(1)


def leave_with(parent: int) -> threading.Event:
    """End this process when its parent is gone, until the returned event is set.

    Standard input closes with the parent as well; but not where something that the parent forked holds it open.
    """
    stays = threading.Event()

    def watch() -> None:
        while not stays.wait(PARENT_EVERY):
            # The second look lets a last word that the parent has written be read.
            if os.getppid() != parent and not stays.wait(PARENT_EVERY):
                leave()

    _thread(watch)
    return stays


def leave(code: int = 0) -> NoReturn:
    """End this process now, with all programs that it started; its threads must not keep it."""
    for process in family(os.getpid())[1:]:
        with suppress(psutil.Error):
            process.kill()
    os._exit(code)


def end_with_children(pid: int) -> None:
    """Kill a process with everything that it started, also what left its process group.

    Our own process group is spared, whoever is in it. A process that has ended already is no error.
    """
    members = family(pid)
    _end_group(pid)
    for process in members:
        with suppress(psutil.Error):
            process.kill()


def _end_group(pid: int) -> None:
    # By the system's own call and not by psutil, which knows no groups: the parent of a member may have died, and then
    # nothing else tells whose it is.
    if pid != os.getpgrp():
        with suppress(ProcessLookupError, PermissionError):  # it leads no group, or one of somebody else
            os.killpg(pid, signal.SIGKILL)


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all that descend from it; nothing if it has ended."""
    with suppress(psutil.Error):
        leader = psutil.Process(pid)
        return [leader, *leader.children(recursive=True)]
    return []


def _thread(target: Any, *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, name=target.__name__.strip("_"), daemon=True)
    thread.start()
    return thread
