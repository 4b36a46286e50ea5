"""The process in which a model's code is tried: one question, answered bit by bit."""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import psutil

from tb_widgets.errors import TbError, UndecidedError, quoted
from tb_widgets.runs.json_process import Asker, leave
from tb_widgets.wording import listed, size_in_words

SEED = 42
NAMED_FILES = 3
OUTLIVES = 30  # seconds
LEAVES_BEFORE = 0.5  # seconds before a preflight's time is up


class Witness:
    """Notes what a model's code does besides computing, while it is told to look."""

    def __init__(self) -> None:
        self._looking = False
        self._files: list[str] = []
        self._others: list[str] = []
        sys.addaudithook(self._hear)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look while the block runs."""
        import torch

        threads = set(threading.enumerate())
        cores, kind = torch.get_num_threads(), torch.get_default_dtype()
        torch.manual_seed(SEED)
        self._looking = True
        try:
            yield
        finally:
            self._looking = False
            if torch.initial_seed() != SEED:
                seed = torch.initial_seed()
                self._note(f"It sets torch's seed to {seed}, so training.seed does not control the initial weights.")
            if torch.get_default_dtype() != kind:
                self._note(f"It sets the default dtype to {torch.get_default_dtype()}, for the run as well.")
            if torch.get_num_threads() != cores:
                self._note(f"It sets torch's threads to {torch.get_num_threads()}; it was measured with {cores}.")
                torch.set_num_threads(cores)
            if started := [thread for thread in threading.enumerate() if thread not in threads]:
                self._note(f"It starts threads that keep running: {len(started)}.")

    @property
    def notes(self) -> list[str]:
        """What was noted, one sentence each."""
        written = [f"It writes files: {listed(self._files, NAMED_FILES)}."] if self._files else []
        return [f"The model's code: {note}" for note in (*written, *self._others)]

    def _note(self, sentence: str) -> None:
        if sentence not in self._others:
            self._others.append(sentence)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._looking:
            return
        if event == "open":
            self._hear_open(*args)
        elif event in ("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec"):
            self._note(f"It starts another program: {args[0]}.")
        elif event == "socket.connect":
            self._note(f"It opens a network connection: {args[1]}.")

    def _hear_open(self, path: Any, mode: Any, flags: Any) -> None:
        writes = any(letter in (mode or "") for letter in "wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
        if not writes or not isinstance(path, str | bytes):
            return
        name = os.fsdecode(path)
        # What Python and the system write of their own accord.
        if "__pycache__" not in name and not name.startswith(("/dev/", "/proc/")) and name not in self._files:
            self._files.append(name)


def main() -> int:
    """Answer one question, and at a signal SIGUSR1 where the code is at that moment."""
    asker = Asker()
    # In C, from a signal: also where the code is in a native function and lets no other thread of Python go on.
    faulthandler.register(signal.SIGUSR1, file=asker.fileno(), all_threads=False)
    import torch  # noqa: F401 - the slow part, before anybody waits

    import tb_widgets.checks.run  # noqa: F401

    sys.dont_write_bytecode = True
    for request in asker.requests():
        _try(request, asker.tell)
        leave()
    return 0


def _try(request: dict[str, Any], tell: Callable[..., None]) -> None:
    tell(ready=True)
    # Should whoever asked be gone by then; also this is C, and needs no turn from code that lets no other thread go on.
    faulthandler.dump_traceback_later(request["seconds"] + OUTLIVES, exit=True)
    _limit_memory(request["memory"])
    witness = Witness()
    try:
        _answer(request, witness, tell)
    except TbError as error:
        wide = _too_wide(error, request["memory"])
        asks = {}
        if isinstance(error, UndecidedError) and not wide:
            asks = {"field": error.field, "answers": error.answers}
        hint = "Make the model smaller." if wide else error.hint
        tell(error=wide or error.message, hint=hint, asks=asks, notes=witness.notes)
    except (SystemExit, KeyboardInterrupt) as error:
        hint = "Remove sys.exit, exit and quit from the code."
        tell(error=f"The model's code ends the program ({type(error).__name__}: {quoted(str(error))}).", hint=hint)
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything; whoever asked must hear of it
        traceback.print_exc()
        tell(
            error=_too_wide(error, request["memory"]) or f"{type(error).__name__}: {quoted(str(error))}",
            hint="Fix the model.",
        )


def _answer(request: dict[str, Any], witness: Witness, tell: Callable[..., None]) -> None:
    from tb_widgets.models.load import build
    from tb_widgets.models.source import ModelSource
    from tb_widgets.service.fitting import ModelFacts, fit_or_refuse
    from tb_widgets.spec import RunSpec

    spec = RunSpec.from_mapping(request["spec"])
    with witness.looking():
        model = build(
            ModelSource(request["origin"], request["files"]), spec.model, on_step=lambda step: tell(phase=step)
        )
    if request["ask"] == "preflight":
        from tb_widgets.checks.rehearsal import Rehearsal

        notes = witness.notes
        if request["chosen"] is not None:
            spec, changes = fit_or_refuse(spec, ModelFacts.of_loaded(model), chosen=request["chosen"])
            notes += changes
        tell(phase="Measuring", notes=notes)
        Rehearsal(
            model,
            spec,
            until=request["until"] - LEAVES_BEFORE,
            micro_batches=request["micro_batches"],
            compiles=request["compiles"],
            on_measured=lambda measured: tell(answer=measured.to_mapping()),
        ).run()
        tell(phase="done")
        return
    adapter = model.adapter
    answer = {
        "title": type(model.module).__name__,
        "task": adapter.task,
        "parameters": model.parameters,
        "vocab_size": adapter.vocab_size,
        "decoder_vocab_size": adapter.decoder_vocab_size,
        "context_limit": adapter.context_limit,
        "classes": adapter.classes,
        "image": adapter.image,
        "leaks": adapter.leaks,
        "conclusions": [asdict(conclusion) for conclusion in adapter.conclusions],
    }
    tell(answer=answer, notes=witness.notes)
    if request["ask"] == "check":
        from tb_widgets.checks.run import run_checks

        run_checks(
            model,
            tier=request["tier"],
            on_start=lambda check: tell(phase=check),
            on_result=lambda result: tell(result=result.to_mapping()),
        )
    tell(phase="done")


def _limit_memory(size: int) -> None:
    """Let the process ask for no more memory than there is; not with CUDA, which reserves far more than it uses."""
    import torch

    if torch.cuda.is_available() or sys.platform != "linux":
        return
    me = psutil.Process()
    limit = me.memory_info().vms + size
    me.rlimit(psutil.RLIMIT_AS, (limit, limit))


def _too_wide(error: BaseException, memory: int) -> str:
    """Say that memory did not suffice, if that is at the bottom of an error."""
    bottom: BaseException | None = error
    while bottom is not None:
        text = str(bottom)
        if isinstance(bottom, MemoryError) or "can't allocate memory" in text or "out of memory" in text:
            asked = re.search(r"tried to allocate (\d+) bytes", text)
            wish = f"{size_in_words(int(asked.group(1)))} at once" if asked else "more memory"
            return f"The model's code asks for {wish}, but {size_in_words(memory)} are free."
        bottom = bottom.__cause__ or bottom.__context__
    return ""


if __name__ == "__main__":
    sys.exit(main())
