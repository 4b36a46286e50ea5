"""Letting checkpoints answer without loading a model into this process.

A model's code may be anybody's. It runs in a process of its own, without secrets in its environment; this side only
sends prompts and collects text.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tb_widgets.errors import FAILED, ServiceError
from tb_widgets.models.trust.consent import require_frozen
from tb_widgets.runs import RunDirectory
from tb_widgets.runs.json_process import JsonProcess
from tb_widgets.service.workers.environment import worker_environment
from tb_widgets.spec import Task


@dataclass
class Generation:
    """One text in the making. ``text`` grows; ``state`` ends as ``done`` or ``failed`` (then ``message`` says why).

    ``task`` is what the model was built for, known once it is loaded: ``text`` goes on from the prompt for
    ``causal-lm``, and is an answer to it otherwise. For images there is a line of ``text`` for each of ``pictures``,
    which are PNGs in base64.
    """

    run: RunDirectory
    checkpoint: Path
    prompt: str
    state: str = "loading"
    text: str = ""
    message: str = ""
    task: Task | None = None
    tokens_per_second: float | None = None
    pictures: list[str] = field(default_factory=list)
    exit_code: int = FAILED
    finished: threading.Event = field(default_factory=threading.Event)

    def fail(self, message: str) -> None:
        """End without a result."""
        self._end("failed", message)

    def raise_failure(self) -> None:
        """Raise the reason if there is no result.

        Raises
        ------
        ServiceError
            If it failed.
        """
        if self.state == "failed":
            raise ServiceError(self.message, exit_code=self.exit_code)

    def _end(self, state: str, message: str = "") -> None:
        """End, unless the text has ended already: the first end stays."""
        if not self.finished.is_set():
            self.state, self.message = state, message
            self.finished.set()

    def _take_in(self, answer: dict[str, Any]) -> None:
        """Take in what the process that writes says, unless the text has ended."""
        if self.finished.is_set():
            return
        if "task" in answer:
            self.task = answer["task"]
        elif "piece" in answer:
            self.state = "writing"
            self.pictures += [answer["picture"]] if "picture" in answer else []
            self.text += answer["piece"]
        elif "error" in answer:
            self.exit_code = answer["exit_code"]
            self.fail(f"{answer['error']} {answer['hint']}".strip())
        elif answer.get("done"):
            self.tokens_per_second = answer["tokens_per_second"]
            self._end("done")


class GenerationService:
    """Keeps one process that has the last used checkpoint loaded, and writes one text at a time.

    The current text belongs to the current process. Whatever changes either of them, or the text itself, holds the
    lock: a process that is no longer the current one has no text, and can neither add to one nor end one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: JsonProcess | None = None
        self._current: Generation | None = None

    def warm(self) -> None:
        """Start the process, so that the next text begins at once. Asking again does nothing.

        Raises
        ------
        ServiceError
            If no process can be started.
        """
        with self._lock:
            self._living_process()

    def generate(
        self,
        run: RunDirectory,
        checkpoint: Path,
        prompt: str,
        *,
        length: int = 120,
        temperature: float = 0.8,
        top_k: int | None = 40,
        seed: int = 0,
        trust: bool = False,
    ) -> Generation:
        """Begin to write, and return at once; the text grows in the returned object.

        Parameters
        ----------
        trust
            Agree to run the code in the run's folder, where it was not started on this machine; this is remembered.

        Raises
        ------
        ConsentError
            If nobody on this machine has agreed to run that code.
        ServiceError
            If the last text is not finished, or no process can be started.
        """
        require_frozen(run.model_folder, "Generating", trust=trust)
        with self._lock:
            if self._current is not None and not self._current.finished.is_set():
                raise ServiceError("The last text is still being generated.", hint="Wait for it, or stop it.")
            process = self._living_process()
            generation = self._current = Generation(run, checkpoint, prompt)
        request = {
            "run": str(run.path),
            "checkpoint": str(checkpoint),
            "prompt": prompt,
            "length": length,
            "temperature": temperature,
            "top_k": top_k,
            "seed": seed,
        }
        # Without the lock: a long prompt waits here until the process reads, and may be stopped meanwhile.
        if not process.send(request):
            process.kill()
            with self._lock:
                generation.fail("The generation process has ended.")
            if generation.state == "failed":
                raise ServiceError("The generation process has ended.", hint="Try again.")
        return generation

    def stop(self) -> None:
        """Stop writing; the next text loads its checkpoint anew."""
        with self._lock:
            process, self._process = self._process, None
            if self._current is not None:
                self._current._end("stopped")
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the process."""
        self.stop()

    def _living_process(self) -> JsonProcess:
        if self._process is None or self._process.has_ended:
            self._process = JsonProcess("tb_widgets.service.workers.generate", worker_environment())
            threading.Thread(target=self._follow, args=(self._process,), name="generation", daemon=True).start()
        return self._process

    def _follow(self, process: JsonProcess) -> None:
        for answer in process.answers():
            with self._lock:
                if process is self._process and self._current is not None:
                    self._current._take_in(answer)
        with self._lock:
            if process is self._process and self._current is not None:
                end = f"The generation process ended (exit code {process.code})."
                self._current.fail(f"{end} {process.last_words()}".strip())
