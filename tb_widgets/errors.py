"""Errors for people: what happened, in which field or file, and what to do next."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Sequence

LONGEST_QUOTE = 600  # characters
FAILED, WRONG_INPUT = 1, 2
"""Exit codes: what was asked for failed; what was given is wrong, or can't be loaded."""


def quoted(text: str, longest: int = LONGEST_QUOTE) -> str:
    """Return somebody else's words as they can be shown: on one line, not endless, and without commands to a terminal.

    >>> quoted("no\\n  \\x1b[31msuch thing")
    'no �[31msuch thing'
    """
    line = "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))
    half = longest // 2
    return line if len(line) <= longest else f"{line[:half]} … {line[-half:]}"


def print_traceback() -> None:
    """Print the error that is being handled to the log, unless its disk is full: a sentence about it matters more."""
    with contextlib.suppress(OSError):
        traceback.print_exc()


class TbError(Exception):
    """The root of every error that tb_widgets raises on purpose.

    Parameters
    ----------
    message
        One or two plain sentences: what happened and in which field or file.
    hint
        What to do next; shown after the message.
    exit_code
        What a command exits with, where it is not the usual one of its kind.
    """

    exit_code = FAILED

    def __init__(self, message: str, *, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows in place of a traceback, which says nothing to whoever reads the sentence."""
        return [str(self)]


class SpecError(TbError):
    """A run spec that can't be used. ``problems`` holds every (field, reason) pair, not only the first."""

    exit_code = WRONG_INPUT

    def __init__(self, problems: list[tuple[str, str]], *, hint: str = "") -> None:
        self.problems = problems
        super().__init__(" ".join(f"{field}: {reason}" if field else reason for field, reason in problems), hint=hint)


class ModelError(TbError):
    """A model that can't be found, loaded, or used for the task."""

    exit_code = WRONG_INPUT


class UndecidedError(ModelError):
    """A model of which only its author knows something. ``field`` is to be set to one of ``answers``."""

    def __init__(self, message: str, *, field: str, answers: Sequence[str], hint: str = "") -> None:
        self.field, self.answers = field, (*answers,)
        super().__init__(message, hint=hint or f"Set {field} to {' or to '.join(answers)}.")


class ConsentError(ModelError):
    """Code that would run and that nobody on this machine has agreed to run."""


class DataError(TbError):
    """A text or tokenizer that can't be read or does not fit the model."""

    exit_code = WRONG_INPUT


class RunError(TbError):
    """A run directory that is missing, unreadable, busy, or not writable."""

    exit_code = WRONG_INPUT


class DiskFullError(RunError):
    """A disk, or somebody's share of it, that takes no more."""


class CheckpointError(RunError):
    """A checkpoint that is missing or fails its own hashes."""


class TrainingError(TbError):
    """Training that can't go on, for example because the loss is no longer a number."""


class DivergedError(TrainingError):
    """A loss, gradient or weight that is no number any more, mostly because the learning rate is too high."""


class ProcessLostError(TrainingError):
    """One of several processes that trained together is gone."""


class MemoryShortError(TrainingError):
    """A model that does not fit into memory together with its batch."""


class PolicyError(TbError):
    """Something that a visitor of a shared page may not do."""


class ExportError(TbError):
    """A model that can't be written in a format, or comes back from it as another one."""


class PluginError(TbError):
    """A part that another installed package adds, and that can't be loaded."""

    exit_code = WRONG_INPUT


class ServiceError(TbError):
    """A worker that can't be started, reached or controlled."""
