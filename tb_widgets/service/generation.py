"""Letting checkpoints answer without loading a model into this process.

A model's code may be anybody's. It runs in a process of its own, without secrets in its environment; this side only
sends prompts and collects text.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

from tb_widgets.errors import ServiceError
from tb_widgets.models.trust import require_frozen
from tb_widgets.runs import RunDirectory
from tb_widgets.service.processes import Child
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
    finished: threading.Event = field(default_factory=threading.Event)

    def fail(self, message: str) -> None:
        """End without a result."""
        if not self.finished.is_set():
            self.state, self.message = "failed", message
            self.finished.set()


class GenerationService:
    """Keeps one process that has the last used checkpoint loaded, and writes one text at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._current: Generation | None = None

    def warm(self) -> None:
        """Start the process, so that the next text begins at once. Asking again does nothing.

        Raises
        ------
        ServiceError
            If no process can be started.
        """
        with self._lock:
            self._living_child()

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
        require_frozen(run.model_folder, "Writing", trust=trust)
        with self._lock:
            if self._current is not None and not self._current.finished.is_set():
                raise ServiceError("The last text is still being written.", hint="Wait for it, or stop it.")
            generation = Generation(run, checkpoint, prompt)
            self._current = generation
            child = self._living_child()
            request = {
                "run": str(run.path),
                "checkpoint": str(checkpoint),
                "prompt": prompt,
                "length": length,
                "temperature": temperature,
                "top_k": top_k,
                "seed": seed,
            }
            try:
                print(json.dumps(request), file=child.process.stdin, flush=True)
            except OSError as error:
                generation.fail("The process that writes has ended.")
                raise ServiceError("The process that writes has ended.", hint="Press Write again.") from error
            return generation

    def stop(self) -> None:
        """Stop writing; the next text loads its checkpoint anew."""
        with self._lock:
            if self._current is not None and not self._current.finished.is_set():
                self._current.state = "stopped"
                self._current.finished.set()
            if self._child is not None:
                self._child.process.kill()
                self._child = None  # the next text needs another one, also while this one is still dying

    def close(self) -> None:
        """End the process."""
        self.stop()

    def _living_child(self) -> Child:
        if self._child is None or self._child.process.poll() is not None:
            self._child = Child("tb_widgets.service.generation_worker")
            threading.Thread(target=self._collect, args=(self._child,), name="generation", daemon=True).start()
        return self._child

    def _collect(self, child: Child) -> None:
        for line in child.process.stdout or ():
            answer = json.loads(line)
            generation = self._current
            # What an older process still says must not land in the text of a newer one.
            if child is not self._child or generation is None or generation.finished.is_set():
                continue
            if "task" in answer:
                generation.task = answer["task"]
            elif "piece" in answer:
                generation.state = "writing"
                generation.pictures += [answer["picture"]] if "picture" in answer else []
                generation.text += answer["piece"]
            elif "error" in answer:
                generation.fail(answer["error"])
            elif answer.get("done"):
                generation.tokens_per_second = answer["tokens_per_second"]
                generation.state = "done"
                generation.finished.set()
        code = child.process.wait()
        if self._child is child and self._current is not None:
            self._current.fail(f"The process that writes ended (exit code {code}). {child.last_words()}".strip())
